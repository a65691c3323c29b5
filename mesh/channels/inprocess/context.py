"""The servicer's view of an in-process call."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from typing import Any, Never

import grpc

from mesh.channels.inprocess.metadata import Metadatum, checked
from mesh.channels.inprocess.pipe import Pipe
from mesh.channels.inprocess.rpc import Metadata, Rpc

PEER = "inprocess"
_OK = grpc.StatusCode.OK


class InProcessContext(grpc.aio.ServicerContext[Any, Any]):
    """What `grpc.aio` gives a servicer beside the request; there is no wire, so compression does nothing."""

    callbacks: Sequence[Callable[[Any], object]] = ()
    _aborted: grpc.aio.AbortError | None = None
    _code: grpc.StatusCode | None = None
    _details = ""
    _trailing: Metadata = ()

    def __init__(self, rpc: Rpc) -> None:
        self._rpc = rpc

    async def abort(
        self,
        code: grpc.StatusCode,
        details: str = "",
        trailing_metadata: Iterable[tuple[str, str | bytes]] = (),
    ) -> Never:
        if self._aborted is not None:
            raise grpc.aio.UsageError("Abort already called!")
        if code is _OK:
            raise grpc.aio.UsageError("An abort needs a status other than OK.")
        self._code = code
        self._details = details or self._details
        self._trailing = checked(trailing_metadata) or self._trailing
        self._aborted = grpc.aio.AbortError("Locally aborted.")
        self._rpc.end(code, self._details, self._trailing)
        raise self._aborted

    async def abort_with_status(self, status: grpc.Status) -> Never:
        await self.abort(status.code, status.details, status.trailing_metadata)

    def raise_for_termination(self) -> None:
        """Raises what ended the call, if something did: a servicer may have swallowed it."""
        if self._aborted is not None:
            raise self._aborted
        if self._rpc.code is not None:
            raise grpc.aio.InternalError("The call has ended.")

    def finish(self) -> None:
        """Ends the call as the servicer left it."""
        if self._code is None:
            self._rpc.end(_OK, self._details, self._trailing)
        else:
            self._rpc.end(self._code, self._details, self._trailing)

    def fail(self, error: Exception) -> None:
        """Ends the call with what a servicer raised, under the code it had set, else UNKNOWN."""
        code = grpc.StatusCode.UNKNOWN if self._code in (None, _OK) else self._code
        self._rpc.end(code or _OK, f"Unexpected {type(error)}: {error}", self._trailing)

    async def read(self) -> Any:
        self.raise_for_termination()
        requests = self._rpc.requests
        if requests is None or not await requests.ready():
            self.raise_for_termination()
            return grpc.aio.EOF
        return requests.take()

    async def write(self, message: Any) -> None:
        self.raise_for_termination()
        responses = self._rpc.responses
        if responses is None:
            raise grpc.aio.UsageError("The method answers with one message, which its handler returns.")
        if not self._rpc.started:
            self._rpc.start()
        if not responses.put(message):
            await responses.room()

    async def send_initial_metadata(self, initial_metadata: Iterable[tuple[str, str | bytes]]) -> None:
        self.raise_for_termination()
        if self._rpc.started:
            raise grpc.aio.UsageError("Send initial metadata failed: already sent")
        self._rpc.start(checked(initial_metadata))

    def set_trailing_metadata(self, trailing_metadata: Iterable[tuple[str, str | bytes]]) -> None:
        self._trailing = checked(trailing_metadata)

    # The published types say Metadata and not None; grpc.aio itself answers with tuples, and None where nothing is set.
    def trailing_metadata(self) -> Any:
        return self._trailing

    def invocation_metadata(self) -> Any:
        return tuple(map(Metadatum._make, self._rpc.metadata))

    def code(self) -> Any:
        return self._code

    def time_remaining(self) -> Any:
        return self._rpc.time_remaining()

    def set_code(self, code: grpc.StatusCode) -> None:
        self._code = code

    def details(self) -> str:
        return self._details

    def set_details(self, details: str) -> None:
        self._details = details

    def set_compression(self, compression: grpc.Compression) -> None: ...

    def disable_next_message_compression(self) -> None: ...

    def peer(self) -> str:
        return PEER

    def peer_identities(self) -> None:
        return None

    def peer_identity_key(self) -> None:
        return None

    def auth_context(self) -> Mapping[str, Iterable[bytes]]:
        return {}

    def add_done_callback(self, callback: Callable[[Any], object]) -> None:
        self.callbacks = (*self.callbacks, callback)

    def done(self) -> bool:
        return self._rpc.code is not None

    def cancelled(self) -> bool:
        return self._rpc.code is grpc.StatusCode.CANCELLED


def sent_metadata(context: grpc.aio.ServicerContext[Any, Any]) -> Iterable[tuple[str, str | bytes]]:
    """What a caller sent beside its request, in this process or over a wire."""
    return context._rpc.metadata if isinstance(context, InProcessContext) else context.invocation_metadata() or ()


class Requests:
    """The requests of a call, for a servicer to iterate."""

    __slots__ = ("_context", "_pipe")

    def __init__(self, pipe: Pipe, context: InProcessContext) -> None:
        self._pipe, self._context = pipe, context

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        if self._pipe.messages or await self._pipe.ready():
            return self._pipe.take()
        self._context.raise_for_termination()
        raise StopAsyncIteration
