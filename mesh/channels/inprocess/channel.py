"""A channel to a server of the same process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Iterable
from typing import Any, Self

import grpc

from mesh.channels.inprocess.call import StreamStreamCall, StreamUnaryCall, UnaryStreamCall, UnaryUnaryCall
from mesh.channels.inprocess.metadata import checked
from mesh.channels.inprocess.pipe import Pipe
from mesh.channels.inprocess.rpc import Rpc
from mesh.channels.inprocess.server import InProcessServer

_Metadata = Iterable[tuple[str, str | bytes]] | None


class InProcessChannel(grpc.aio.Channel):
    """Calls the servicers of an `InProcessServer` as if over a wire, under the stubs generated for one.

    Calls start at once and have the deadline, the cancellation, the metadata and the errors they would have on a
    `grpc.aio` channel. Requests and responses are the objects that were sent: do not change a message after sending it.
    """

    def __init__(self, server: InProcessServer) -> None:
        self._server = server
        self._closed = asyncio.Event()

    def unary_unary(self, method: str, *args: Any, **kwargs: Any) -> Any:
        return _UnaryUnary(self, method)

    def unary_stream(self, method: str, *args: Any, **kwargs: Any) -> Any:
        return _UnaryStream(self, method)

    def stream_unary(self, method: str, *args: Any, **kwargs: Any) -> Any:
        return _StreamUnary(self, method)

    def stream_stream(self, method: str, *args: Any, **kwargs: Any) -> Any:
        return _StreamStream(self, method)

    def begin(
        self, rpc: Rpc, request: Any, timeout: float | None, metadata: Iterable[tuple[str, str | bytes]] | None
    ) -> None:
        """Starts a call. Raises grpc.aio.UsageError once the channel is closed, grpc.aio.InternalError for metadata."""
        if self._closed.is_set():
            raise grpc.aio.UsageError("Channel is closed.")
        if metadata:
            rpc.metadata = checked(metadata)
        if timeout is not None:
            rpc.expire_after(timeout)
        self._server.begin(rpc, request)

    async def close(self, grace: float | None = None) -> None:
        """Takes no new calls, waits up to `grace` seconds for those that run, and cancels the rest."""
        self._closed.set()
        tasks = [rpc.task for rpc in self._running() if rpc.task is not None]
        if tasks and grace:
            await asyncio.wait(tasks, timeout=grace)
        for rpc in self._running():
            rpc.cancel("Channel is closed.")

    def _running(self) -> list[Rpc]:
        return [rpc for rpc in self._server.running if rpc.channel is self]

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        return grpc.ChannelConnectivity.SHUTDOWN if self._closed.is_set() else grpc.ChannelConnectivity.READY

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        if self.get_state() is last_observed_state:
            await self._closed.wait()

    async def channel_ready(self) -> None:
        """Returns at once. Raises grpc.aio.UsageError once the channel is closed."""
        if self._closed.is_set():
            raise grpc.aio.UsageError("Channel is closed.")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *raised: object) -> None:
        await self.close()


class _MultiCallable:
    """A method of a stub. Credentials and compression are for wires, and an in-process server is always ready."""

    __slots__ = ("_channel", "_method")

    def __init__(self, channel: InProcessChannel, method: str) -> None:
        self._channel, self._method = channel, method


class _UnaryUnary(_MultiCallable, grpc.aio.UnaryUnaryMultiCallable[Any, Any]):
    def __call__(
        self,
        request: Any,
        *,
        timeout: float | None = None,
        metadata: _Metadata = None,
        credentials: grpc.CallCredentials | None = None,
        wait_for_ready: bool | None = None,
        compression: grpc.Compression | None = None,
    ) -> UnaryUnaryCall:
        rpc = Rpc(asyncio.get_running_loop(), self._channel, self._method)
        self._channel.begin(rpc, request, timeout, metadata)
        return UnaryUnaryCall(rpc)


class _UnaryStream(_MultiCallable, grpc.aio.UnaryStreamMultiCallable[Any, Any]):
    def __call__(
        self,
        request: Any,
        *,
        timeout: float | None = None,
        metadata: _Metadata = None,
        credentials: grpc.CallCredentials | None = None,
        wait_for_ready: bool | None = None,
        compression: grpc.Compression | None = None,
    ) -> UnaryStreamCall:
        rpc = Rpc(asyncio.get_running_loop(), self._channel, self._method)
        responses = rpc.responses = Pipe(rpc.loop)
        self._channel.begin(rpc, request, timeout, metadata)
        return UnaryStreamCall(rpc, responses)


class _StreamUnary(_MultiCallable, grpc.aio.StreamUnaryMultiCallable[Any, Any]):
    def __call__(
        self,
        request_iterator: AsyncIterable[Any] | Iterable[Any] | None = None,
        timeout: float | None = None,
        metadata: _Metadata = None,
        credentials: grpc.CallCredentials | None = None,
        wait_for_ready: bool | None = None,
        compression: grpc.Compression | None = None,
    ) -> StreamUnaryCall:
        rpc = Rpc(asyncio.get_running_loop(), self._channel, self._method)
        requests = rpc.requests = Pipe(rpc.loop)
        self._channel.begin(rpc, None, timeout, metadata)
        call = StreamUnaryCall(rpc)
        call.send(requests, request_iterator)
        return call


class _StreamStream(_MultiCallable, grpc.aio.StreamStreamMultiCallable[Any, Any]):
    def __call__(
        self,
        request_iterator: AsyncIterable[Any] | Iterable[Any] | None = None,
        timeout: float | None = None,
        metadata: _Metadata = None,
        credentials: grpc.CallCredentials | None = None,
        wait_for_ready: bool | None = None,
        compression: grpc.Compression | None = None,
    ) -> StreamStreamCall:
        rpc = Rpc(asyncio.get_running_loop(), self._channel, self._method)
        requests = rpc.requests = Pipe(rpc.loop)
        responses = rpc.responses = Pipe(rpc.loop)
        self._channel.begin(rpc, None, timeout, metadata)
        call = StreamStreamCall(rpc, responses)
        call.send(requests, request_iterator)
        return call
