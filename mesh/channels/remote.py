"""A `grpc.aio` channel that takes part in traces and metrics, and whose calls end when they are dropped.

It wraps rather than intercepts: `grpc.aio`'s client interceptors lose cancellation and put a generator between every
message and its reader. And since grpcio 1.85 a channel keeps its calls alive, so that one which is dropped half-read
would go on until the peer is done; here the caller holds a handle, and dropping the handle cancels the call.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Callable, Generator, Iterable
from typing import Any, Self

import grpc

from mesh.channels.observation import Metadata, Observation
from mesh.metrics import Metrics
from mesh.tracing import Tracer

_Requests = AsyncIterable[Any] | Iterable[Any] | None


class RemoteChannel(grpc.aio.Channel):
    """Wraps a channel to a target."""

    def __init__(self, channel: grpc.aio.Channel, target: str, tracer: Tracer, metrics: Metrics) -> None:
        self._channel, self._target, self._tracer, self._metrics = channel, target, tracer, metrics

    def unary_unary(self, method: str, *args: Any, **kwargs: Any) -> Any:
        return _UnaryUnary(self._channel.unary_unary(method, *args, **kwargs), self._observe(method))

    def unary_stream(self, method: str, *args: Any, **kwargs: Any) -> Any:
        return _UnaryStream(self._channel.unary_stream(method, *args, **kwargs), self._observe(method))

    def stream_unary(self, method: str, *args: Any, **kwargs: Any) -> Any:
        return _StreamUnary(self._channel.stream_unary(method, *args, **kwargs), self._observe(method))

    def stream_stream(self, method: str, *args: Any, **kwargs: Any) -> Any:
        return _StreamStream(self._channel.stream_stream(method, *args, **kwargs), self._observe(method))

    def _observe(self, method: str) -> Observation:
        return Observation(self._target, self._tracer, self._metrics, method)

    async def close(self, grace: float | None = None) -> None:
        await self._channel.close(grace)

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        return self._channel.get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        await self._channel.wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        await self._channel.channel_ready()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *raised: object) -> None:
        await self.close()


class _MultiCallable:
    """A method of a stub."""

    def __init__(self, method: Callable[..., Any], observation: Observation) -> None:
        self._method, self._observation = method, observation

    def _call(self, request: Any, timeout: float | None, metadata: Metadata, **rest: Any) -> Any:
        span, metadata = self._observation.open(metadata)
        if timeout is not None and timeout <= 0:
            timeout = -1  # gRPC would let a call with no time left through, if it is quick
        try:
            call = self._method(request, timeout=timeout, metadata=metadata, **rest)
        except BaseException as error:
            if span is not None:
                span.fail(type(error).__name__)
                span.end()
            raise
        self._observation.watch(call, span)
        return call


class _UnaryUnary(_MultiCallable, grpc.aio.UnaryUnaryMultiCallable[Any, Any]):
    def __call__(
        self, request: Any, *, timeout: float | None = None, metadata: Metadata = None, **rest: Any
    ) -> UnaryUnaryCall:
        return UnaryUnaryCall(self._call(request, timeout, metadata, **rest))


class _UnaryStream(_MultiCallable, grpc.aio.UnaryStreamMultiCallable[Any, Any]):
    def __call__(
        self, request: Any, *, timeout: float | None = None, metadata: Metadata = None, **rest: Any
    ) -> UnaryStreamCall:
        return UnaryStreamCall(self._call(request, timeout, metadata, **rest))


class _StreamUnary(_MultiCallable, grpc.aio.StreamUnaryMultiCallable[Any, Any]):
    def __call__(
        self,
        request_iterator: _Requests = None,
        timeout: float | None = None,
        metadata: Metadata = None,
        *args: Any,
        **rest: Any,
    ) -> StreamUnaryCall:
        return StreamUnaryCall(self._call(request_iterator, timeout, metadata, **rest))


class _StreamStream(_MultiCallable, grpc.aio.StreamStreamMultiCallable[Any, Any]):
    def __call__(
        self,
        request_iterator: _Requests = None,
        timeout: float | None = None,
        metadata: Metadata = None,
        *args: Any,
        **rest: Any,
    ) -> StreamStreamCall:
        return StreamStreamCall(self._call(request_iterator, timeout, metadata, **rest))


class _Handle(grpc.aio.Call):
    """Holds a call for its caller. A done callback keeps it, and so the call, until the call has ended."""

    def __init__(self, call: Any) -> None:
        self._call = call
        self._loop = asyncio.get_running_loop()

    def __del__(self) -> None:
        if not self._call.done() and not self._loop.is_closed():
            self._call.cancel()

    def cancel(self) -> bool:
        cancelled: bool = self._call.cancel()
        return cancelled

    def cancelled(self) -> bool:
        cancelled: bool = self._call.cancelled()
        return cancelled

    def done(self) -> bool:
        done: bool = self._call.done()
        return done

    def time_remaining(self) -> float | None:
        remaining: float | None = self._call.time_remaining()
        return remaining

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        self._call.add_done_callback(lambda _: callback(self))

    async def initial_metadata(self) -> grpc.aio.Metadata:
        metadata: grpc.aio.Metadata = await self._call.initial_metadata()
        return metadata

    async def trailing_metadata(self) -> grpc.aio.Metadata:
        metadata: grpc.aio.Metadata = await self._call.trailing_metadata()
        return metadata

    async def code(self) -> grpc.StatusCode:
        code: grpc.StatusCode = await self._call.code()
        return code

    async def details(self) -> str:
        details: str = await self._call.details()
        return details

    async def debug_error_string(self) -> str:
        details: str = await self._call.debug_error_string()
        return details

    async def wait_for_connection(self) -> None:
        await self._call.wait_for_connection()


class _OneResponse(_Handle):
    def __await__(self) -> Generator[Any, None, Any]:
        return (yield from self._call.__await__())  # a frame of our own, which keeps the handle while it waits


class _ManyResponses(_Handle):
    """Its own iterator; `aclose` cancels what still runs."""

    _iterator: Any = None

    def __aiter__(self) -> Self:
        self._iterator = aiter(self._call)
        return self

    async def __anext__(self) -> Any:
        if self._iterator is None:
            self._iterator = aiter(self._call)
        return await self._iterator.__anext__()

    async def aclose(self) -> None:
        self.cancel()

    async def read(self) -> Any:
        return await self._call.read()


class _ManyRequests(_Handle):
    async def write(self, request: Any) -> None:
        await self._call.write(request)

    async def done_writing(self) -> None:
        await self._call.done_writing()


class UnaryUnaryCall(_OneResponse, grpc.aio.UnaryUnaryCall[Any, Any]): ...


class UnaryStreamCall(_ManyResponses, grpc.aio.UnaryStreamCall[Any, Any]): ...


class StreamUnaryCall(_ManyRequests, _OneResponse, grpc.aio.StreamUnaryCall[Any, Any]): ...


class StreamStreamCall(_ManyRequests, _ManyResponses, grpc.aio.StreamStreamCall[Any, Any]): ...
