"""The serving side of in-process calls: finds a method's handler and runs it, one task a call."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import suppress
from contextvars import Context, copy_context
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple

import grpc

from mesh.channels.inprocess.context import InProcessContext, Requests
from mesh.channels.inprocess.metadata import Metadatum
from mesh.channels.inprocess.rpc import Rpc
from mesh.interceptors.method import Behaviour, Handler, MethodInterceptor, behaviour_of

_log = logging.getLogger(__name__)
_CLEAN_UP = 5.0
"""Seconds that `stop` waits for cancelled handlers to come to their end."""


class _Style(Enum):
    """How a handler answers."""

    RETURNS = "returns"  # a coroutine function, with its one response
    WRITES = "writes"  # a coroutine function that calls context.write
    YIELDS = "yields"  # an async generator function
    BLOCKS = "blocks"  # a plain function, such as those generated for the methods a servicer leaves out


class _Method(NamedTuple):
    """A method as it is run, inside its interceptors."""

    behaviour: Behaviour
    style: _Style
    request_streaming: bool
    response_streaming: bool


@dataclass
class _CallDetails:
    """What an interceptor is told of a call."""

    method: str
    invocation_metadata: Any


class InProcessServer(grpc.aio.Server):
    """Serves the channels of its own process. It listens nowhere, and serves from the moment it is made.

    Handlers run in a task of their own, in a copy of the context the server was made in, so neither side sees the
    other's context variables. Messages are passed as they are: no copy, no serialisation, and no limit on their size,
    since nothing is allocated for them that the sender had not allocated already.
    """

    def __init__(self, interceptors: Sequence[grpc.aio.ServerInterceptor] = ()) -> None:
        self._interceptors = tuple(interceptors)
        self._by_method = [each for each in interceptors if isinstance(each, MethodInterceptor)]
        self._generic: list[grpc.GenericRpcHandler] = []
        self._registered: dict[str, Handler] = {}
        self._methods: dict[str, _Method] = {}
        self._context: Context = copy_context()
        self._idle = asyncio.Event()
        self._stopping = False
        self.running: set[Rpc] = set()

    def add_generic_rpc_handlers(self, generic_rpc_handlers: Iterable[grpc.GenericRpcHandler]) -> None:
        self._generic.extend(generic_rpc_handlers)

    def add_registered_method_handlers(self, service_name: str, method_handlers: Mapping[str, Handler]) -> None:
        for name, handler in method_handlers.items():
            self._registered[f"/{service_name}/{name}"] = handler

    def add_insecure_port(self, address: str) -> int:
        raise grpc.aio.UsageError("An in-process server listens nowhere.")

    def add_secure_port(self, address: str, server_credentials: grpc.ServerCredentials) -> int:
        raise grpc.aio.UsageError("An in-process server listens nowhere.")

    async def start(self) -> None: ...

    async def stop(self, grace: float | None) -> None:
        """Refuses new calls, waits up to `grace` seconds for those that run, and cancels the rest."""
        self._stopping = True
        if self.running and grace:
            with suppress(TimeoutError):
                async with asyncio.timeout(grace):
                    await self._idle.wait()
        tasks = [rpc.task for rpc in self.running if rpc.task is not None]
        for rpc in tuple(self.running):
            rpc.break_off(grpc.StatusCode.UNAVAILABLE, "Cancelling all calls")
        if tasks:
            await asyncio.wait(tasks, timeout=_CLEAN_UP)

    async def settled(self, seconds: float) -> None:
        """Waits for the handlers that run to come to their end, at most that long. New calls are taken meanwhile."""
        if tasks := [rpc.task for rpc in self.running if rpc.task is not None]:
            await asyncio.wait(tasks, timeout=seconds)

    async def wait_for_termination(self, timeout: float | None = None) -> bool:
        raise grpc.aio.UsageError("An in-process server ends when it is stopped.")

    def begin(self, rpc: Rpc, request: Any) -> None:
        """Starts to serve a call."""
        if self._stopping:
            rpc.end(grpc.StatusCode.UNAVAILABLE, "The server is shutting down.")
        if rpc.code is None:
            rpc.task = rpc.loop.create_task(self._serve(rpc, request), context=self._context.copy())
            self.running.add(rpc)

    async def _serve(self, rpc: Rpc, request: Any) -> None:
        context = InProcessContext(rpc)
        try:
            method = self._methods.get(rpc.method) or await self._find(rpc)
            if method is None:
                rpc.end(grpc.StatusCode.UNIMPLEMENTED, "Method not found!")
            elif rpc.requests is not None:
                await _run(method, Requests(rpc.requests, context), rpc, context)
            else:
                await _run(method, request, rpc, context)
        except grpc.aio.AbortError:
            pass  # the abort has ended the call
        except asyncio.CancelledError:
            rpc.end(grpc.StatusCode.CANCELLED, "The handler was cancelled.")  # if nothing else has
        except Exception as error:  # noqa: BLE001 - the process's edge, as grpc's own server is on a wire
            if rpc.code is None:
                _log.exception("Unexpected %s raised by %s", type(error).__name__, rpc.method)
                context.fail(error)
        finally:
            self.running.discard(rpc)
            if self._stopping and not self.running:
                self._idle.set()
            for callback in context.callbacks:
                rpc.loop.call_soon(callback, context)

    async def _find(self, rpc: Rpc) -> _Method | None:
        """The method behind all interceptors; kept, where they need not see every call."""
        details = _CallDetails(rpc.method, tuple(map(Metadatum._make, rpc.metadata)))

        async def step(remaining: int, details: grpc.HandlerCallDetails) -> Handler | None:
            if not remaining:
                return self._handler(details)
            interceptor = self._interceptors[-remaining]
            return await interceptor.intercept_service(lambda details: step(remaining - 1, details), details)

        handler = await step(len(self._interceptors), details)
        if handler is None:
            return None
        behaviour = behaviour_of(handler)
        method = _Method(behaviour, _style(behaviour, handler), handler.request_streaming, handler.response_streaming)
        if len(self._by_method) == len(self._interceptors):
            self._methods[rpc.method] = method
        return method

    def _handler(self, details: grpc.HandlerCallDetails) -> Handler | None:
        if details.method in self._registered:
            return self._registered[details.method]
        found = (generic.service(details) for generic in self._generic)
        return next((handler for handler in found if handler is not None), None)


def _style(behaviour: Behaviour, handler: Handler) -> _Style:
    if inspect.isasyncgenfunction(behaviour):
        return _Style.YIELDS
    if inspect.iscoroutinefunction(behaviour):
        return _Style.WRITES if handler.response_streaming else _Style.RETURNS
    return _Style.BLOCKS


async def _run(method: _Method, request: Any, rpc: Rpc, context: InProcessContext) -> None:
    behaviour, style, request_streaming, response_streaming = method
    if request_streaming != (rpc.requests is not None) or response_streaming != (rpc.responses is not None):
        rpc.end(grpc.StatusCode.INTERNAL, f"{rpc.method} is of another shape than the call.")
        return
    if style is _Style.RETURNS:
        rpc.response = await behaviour(request, context)
        if rpc.response is None and rpc.code is None and context.code() is None:
            raise TypeError(f"{rpc.method} answered with None")
    elif style is _Style.YIELDS:
        await _pass_on(behaviour(request, context), rpc, context)
    else:
        answer = behaviour(request, context)
        if style is _Style.BLOCKS:
            raise TypeError(f"{rpc.method} is served by a plain function, which would block everyone else")
        await answer
    context.finish()


async def _pass_on(messages: AsyncGenerator[Any, None], rpc: Rpc, context: InProcessContext) -> None:
    responses = rpc.responses
    assert responses is not None
    try:
        async for message in messages:
            if rpc.code is not None:
                context.raise_for_termination()
            if not rpc.started:
                rpc.start()
            if not responses.put(message):
                await responses.room()
    finally:
        await messages.aclose()
