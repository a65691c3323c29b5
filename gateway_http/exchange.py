"""One request and what is being answered to it."""

from __future__ import annotations

import socket
import struct
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from aiohttp import web

from mesh.errors import TollwayError
from mesh.tracing import Span

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class EventStream(web.StreamResponse):
    """A response of server-sent events. Its headers leave together with the first events.

    Events can be held, to leave together with those that follow at once: each write is a call to the kernel, and the
    most expensive thing there is in a short answer.
    """

    _send_headers_immediately = False

    def __init__(self, headers: Mapping[str, str]) -> None:
        super().__init__(
            headers={
                "content-type": "text/event-stream; charset=utf-8",
                "cache-control": "no-cache",
                "x-accel-buffering": "no",
                **headers,
            }
        )
        self.finished = False
        self._held = b""

    def hold(self, events: bytes) -> None:
        self._held += events

    async def flush(self) -> None:
        """Writes the events that are held."""
        held, self._held = self._held, b""
        if held:
            await self.write(held)

    async def finish(self, events: bytes) -> None:
        """Writes what is held, the last events, and the end. Nothing may follow, whatever happens meanwhile."""
        self.finished = True
        await self.write_eof(self._held + events)

    async def fail(self, event: bytes) -> None:
        """Ends with the event of an error."""
        await self.finish(event)


class PassedOn(web.StreamResponse):
    """A response that is passed on as it arrives, under its own content type. Its headers leave with the first of it.

    One that breaks off never looks finished: events end with that of an error, and of anything else the connection is
    torn down before what was announced has come.
    """

    _send_headers_immediately = False

    def __init__(self, content_type: str, content_length: int | None, headers: Mapping[str, str]) -> None:
        self._events = content_type.lower().startswith("text/event-stream")
        own = {"cache-control": "no-cache", "x-accel-buffering": "no"} if self._events else {}
        super().__init__(headers={"content-type": content_type, **own, **headers})
        self.finished = False
        self._length = None if self._events else content_length

    async def begin(self, request: web.BaseRequest) -> None:
        """Sets the status and headers."""
        self._request = request
        self.content_length = self._length
        await self.prepare(request)

    async def finish(self) -> None:
        """It is whole."""
        self.finished = True
        await self.write_eof()

    async def fail(self, event: bytes) -> None:
        """Ends with the event of an error, where there are events."""
        self.finished = True
        if self._events:
            await self.write_eof(b"\n\n" + event)  # what broke off may have been in the middle of an event
            return
        transport = self._request.transport
        if transport is not None:
            connection = transport.get_extra_info("socket")
            if connection is not None and connection.family != socket.AF_UNIX:
                # Where the end of the connection is the end of the answer (HTTP/1.0), it must not look like one.
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            transport.abort()


class ErrorShape(Protocol):
    """How a dialect tells an error."""

    def status(self, error: TollwayError) -> int:
        """HTTP's, where it is the answer."""

    def body(self, error: TollwayError, trace_id: str) -> bytes:
        """In JSON, where it is the answer."""

    def event(self, error: TollwayError, trace_id: str) -> bytes:
        """As the event that ends a stream whose headers have gone out. No end mark may follow it."""


class Exchange:
    """What a handler is given. It answers with a response, or opens a stream, writes to it and answers with that."""

    __slots__ = ("error", "errors", "id_header", "request", "request_id", "span", "stream")

    def __init__(
        self, request: web.BaseRequest, request_id: str, span: Span, errors: ErrorShape, id_header: str = ""
    ) -> None:
        self.request, self.request_id, self.span, self.errors = request, request_id, span, errors
        self.stream: EventStream | PassedOn | None = None
        self.error: TollwayError | None = None
        self.id_header = id_header

    @property
    def trace_id(self) -> str:
        return self.span.context.trace_id

    def identity(self) -> dict[str, str]:
        """The headers of every answer."""
        headers = {"server": "tollway", "x-request-id": self.request_id, "x-tollway-trace-id": self.trace_id}
        if self.id_header:
            headers[self.id_header] = self.request_id
        return headers

    async def open_stream(self, headers: Mapping[str, str]) -> EventStream:
        """Sets the status and headers; from here on an error can only be an event."""
        stream = self.stream = EventStream({**self.identity(), **headers})
        await stream.prepare(self.request)
        return stream

    async def pass_on(self, content_type: str, content_length: int | None, headers: Mapping[str, str]) -> PassedOn:
        """The same for an answer that is not written here."""
        stream = self.stream = PassedOn(content_type, content_length, {**self.identity(), **headers})
        await stream.begin(self.request)
        return stream


Handler = Callable[[Exchange], Awaitable[web.StreamResponse]]
