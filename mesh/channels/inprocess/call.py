"""The caller's view of an in-process call, in its four shapes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterable, AsyncIterator, Callable, Generator, Iterable
from functools import partial
from typing import Any, Literal, Self

import grpc

from mesh.channels.inprocess.pipe import Pipe
from mesh.channels.inprocess.rpc import Rpc

_log = logging.getLogger(__name__)
_OK = grpc.StatusCode.OK
_CANCELLED = "Locally cancelled by application!"


class Call(grpc.aio.Call):
    """A call that runs whether or not anyone waits for it, until it ends or this object is dropped.

    A done callback keeps it until it has ended.
    """

    def __init__(self, rpc: Rpc) -> None:
        self._rpc = rpc

    def __del__(self) -> None:
        if self._rpc.code is None:
            self._rpc.cancel("Cancelled upon garbage collection!")

    def cancel(self) -> bool:
        return self._rpc.cancel(_CANCELLED)

    def cancelled(self) -> bool:
        return self._rpc.code is grpc.StatusCode.CANCELLED

    def done(self) -> bool:
        return self._rpc.code is not None

    def time_remaining(self) -> float | None:
        return self._rpc.time_remaining()

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        self._rpc.when_ended(partial(callback, self))

    async def initial_metadata(self) -> grpc.aio.Metadata:
        while not self._rpc.started and self._rpc.code is None:
            await self._rpc.change()
        return grpc.aio.Metadata(*self._rpc.initial)

    async def trailing_metadata(self) -> grpc.aio.Metadata:
        await self._ended()
        return grpc.aio.Metadata(*self._rpc.trailing)

    async def code(self) -> grpc.StatusCode:
        return await self._ended()

    async def details(self) -> str:
        await self._ended()
        return self._rpc.details

    async def debug_error_string(self) -> str:
        await self._ended()
        return ""

    async def wait_for_connection(self) -> None:
        """Returns at once: there is nothing to connect."""
        self._raise_for_status()

    async def _ended(self) -> grpc.StatusCode:
        rpc = self._rpc
        while rpc.code is None:
            await rpc.change()
        return rpc.code

    def _raise_for_status(self) -> None:
        """Raises what a call that has ended badly raises."""
        rpc = self._rpc
        if rpc.code is None or rpc.code is _OK:
            return
        if rpc.cancelled_here:
            raise asyncio.CancelledError
        metadata = grpc.aio.Metadata
        raise grpc.aio.AioRpcError(rpc.code, metadata(*rpc.initial), metadata(*rpc.trailing), rpc.details)


class _OneResponse(Call):
    def __await__(self) -> Generator[Any, None, Any]:
        rpc = self._rpc
        while rpc.code is None:
            try:
                yield from rpc.change()
            except asyncio.CancelledError:
                self.cancel()
                raise
        if rpc.code is not _OK:
            self._raise_for_status()
        return rpc.response


class _ManyResponses(Call):
    """Its own iterator; `aclose` cancels what still runs."""

    _style: Literal["iterated", "read"] | None = None

    def __init__(self, rpc: Rpc, responses: Pipe) -> None:
        super().__init__(rpc)
        self._responses = responses

    def __aiter__(self) -> Self:
        self._read_as("iterated")
        return self

    async def __anext__(self) -> Any:
        responses = self._responses
        if not responses.messages:
            try:
                if not await responses.ready():
                    self._raise_for_status()
                    raise StopAsyncIteration
            except asyncio.CancelledError:
                self.cancel()
                raise
        return responses.take()

    @property
    def next_is_here(self) -> bool:
        """Whether the next message, or the end, can be had without waiting."""
        return bool(self._responses.messages) or self._rpc.code is not None

    async def aclose(self) -> None:
        self.cancel()

    async def read(self) -> Any:
        if self._rpc.code is None:
            self._read_as("read")
        try:
            return await self.__anext__()
        except StopAsyncIteration:
            return grpc.aio.EOF

    def _read_as(self, style: Literal["iterated", "read"]) -> None:
        if self._style not in (None, style):
            raise grpc.aio.UsageError("The iterator and read/write APIs may not be mixed on a single RPC.")
        self._style = style


class _ManyRequests(Call):
    _requests: Pipe
    _feeder: asyncio.Task[None] | None = None
    _half_closed = False

    def send(self, requests: Pipe, source: AsyncIterable[Any] | Iterable[Any] | None) -> None:
        """Sends what `source` yields. None: the caller will `write`."""
        self._requests = requests
        if source is not None:
            self._feeder = self._rpc.loop.create_task(_feed(self._rpc, requests, source))
            self._feeder.add_done_callback(partial(_when_fed, self._rpc))
            self._rpc.when_ended(self._feeder.cancel)

    async def write(self, request: Any) -> None:
        self._refuse_beside_iterator()
        if self._rpc.code is not None:
            raise asyncio.InvalidStateError("RPC already finished.")
        if self._half_closed:
            raise asyncio.InvalidStateError('RPC is half closed after calling "done_writing".')
        if not self._requests.put(request):
            try:
                await self._requests.room()
            except asyncio.CancelledError:
                self.cancel()
                raise

    async def done_writing(self) -> None:
        self._refuse_beside_iterator()
        self._half_closed = True
        self._requests.close()

    def _refuse_beside_iterator(self) -> None:
        if self._feeder is not None:
            raise grpc.aio.UsageError("The iterator and read/write APIs may not be mixed on a single RPC.")


async def _feed(rpc: Rpc, requests: Pipe, source: AsyncIterable[Any] | Iterable[Any]) -> None:
    async for request in source if isinstance(source, AsyncIterable) else _one_by_one(source):
        if not requests.put(request):
            await requests.room()
        if rpc.code is not None:
            return
    requests.close()


def _when_fed(rpc: Rpc, feeder: asyncio.Task[None]) -> None:
    if not feeder.cancelled() and (error := feeder.exception()) is not None:
        _log.error("The request iterator of %s failed", rpc.method, exc_info=error)
        rpc.cancel(_CANCELLED)


async def _one_by_one(source: Iterable[Any]) -> AsyncIterator[Any]:
    for each in source:
        yield each


class UnaryUnaryCall(_OneResponse, grpc.aio.UnaryUnaryCall[Any, Any]): ...


class UnaryStreamCall(_ManyResponses, grpc.aio.UnaryStreamCall[Any, Any]): ...


class StreamUnaryCall(_ManyRequests, _OneResponse, grpc.aio.StreamUnaryCall[Any, Any]): ...


class StreamStreamCall(_ManyRequests, _ManyResponses, grpc.aio.StreamStreamCall[Any, Any]): ...
