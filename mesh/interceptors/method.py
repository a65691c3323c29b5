"""Interceptors that treat every call of a method alike, and the four shapes a method's handler can have."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import grpc

Behaviour = Callable[[Any, Any], Any]
"""What a servicer does: takes the request (or an iterator over requests) and the context."""

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"  # generic in its stubs alone


class MethodInterceptor(grpc.aio.ServerInterceptor):
    """Wraps handlers by method alone, so the in-process server can wrap each once instead of at every call."""

    @abstractmethod
    def wrap(self, method: str, handler: Handler) -> Handler:
        """The handler to run in this one's place. `method` is `/package.Service/Method`."""

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        handler = await continuation(handler_call_details)
        return handler and self.wrap(handler_call_details.method, handler)


def behaviour_of(handler: Handler) -> Behaviour:
    """The function of the handler's shape."""
    behaviour: Any
    if handler.request_streaming:
        behaviour = handler.stream_stream if handler.response_streaming else handler.stream_unary
    else:
        behaviour = handler.unary_stream if handler.response_streaming else handler.unary_unary
    return behaviour  # type: ignore[no-any-return]  # the published types know only blocking handlers


def with_behaviour(handler: Handler, behaviour: Behaviour, read: Callable[[bytes], Any] | None = None) -> Handler:
    """The same handler around another function of its shape; with `read`, its requests are read by that."""
    if handler.request_streaming:
        make = (
            grpc.stream_stream_rpc_method_handler
            if handler.response_streaming
            else grpc.stream_unary_rpc_method_handler
        )
    else:
        make = (
            grpc.unary_stream_rpc_method_handler if handler.response_streaming else grpc.unary_unary_rpc_method_handler
        )
    return make(behaviour, read or handler.request_deserializer, handler.response_serializer)
