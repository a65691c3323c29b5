"""One request and what is being answered to it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from aiohttp import web

from mesh.errors import TollwayError
from mesh.tracing import Span


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


class ErrorShape(Protocol):
    """How a dialect tells an error."""

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
        self.stream: EventStream | None = None
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
        self.stream = EventStream({**self.identity(), **headers})
        await self.stream.prepare(self.request)
        return self.stream


Handler = Callable[[Exchange], Awaitable[web.StreamResponse]]
