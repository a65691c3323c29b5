"""One client's connection: aiohttp's, with a limit on how long headers may take, and errors in OpenAI's shape.

aiohttp bounds how long a connection may be idle, not how long headers may trickle in. Here a timer runs from the moment
a connection is made until its first request begins, and later from the first bytes that arrive while no request is
being answered. (Headers that began to arrive behind a request that was still being answered have the idle timeout.)
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from aiohttp import HttpVersion11, web
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong

from gateway_http.errors import error_body, error_headers, error_response
from mesh.clock import Clock
from mesh.clock import Handle as Timer
from mesh.errors import Reason, TollwayError
from mesh.ids import new_request_id
from mesh.tracing import new_trace_id

_log = logging.getLogger(__name__)

Handle = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

_IDLE_TIMEOUT = 620.0
"""Seconds between requests: longer than proxies keep connections, so that it is they who close them, and no request
meets a connection that is just being closed."""


class Connection(web.RequestHandler):
    """`begin` and `end` mark the time in which a request is being answered, by which task."""

    __slots__ = ("_clock", "_handle", "_head_deadline", "_head_timeout", "_head_timer", "_heard", "_task")

    def __init__(
        self, server: web.Server, loop: asyncio.AbstractEventLoop, *, clock: Clock, head_timeout: float
    ) -> None:
        # Bodies are unpacked where their size is bounded, and nothing is logged per request.
        super().__init__(
            server,
            loop=loop,
            keepalive_timeout=_IDLE_TIMEOUT,
            access_log=None,  # type: ignore[arg-type] # what aiohttp itself passes where there is to be no log
            auto_decompress=False,
        )
        self._handle, self._request_handler = server.request_handler, self._understood
        self._clock, self._head_timeout = clock, head_timeout
        self._head_deadline: float | None = None
        self._head_timer: Timer | None = None
        """Looks after the deadline. It is left running when that is lifted: most requests come whole, and in a row."""
        self._heard = False
        self._task: asyncio.Task[object] | None = None

    @property
    def busy(self) -> bool:
        return self._task is not None

    def begin(self, task: asyncio.Task[object]) -> None:
        self._task = task
        self._head_deadline = None

    def end(self, task: asyncio.Task[object]) -> None:
        if self._task is task:  # the next request may have begun already
            self._task = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._expect_head()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._heard = True
        if self._head_deadline is None and self._task is None:
            self._expect_head()

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
        super().connection_lost(exc)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answers what could not be read as HTTP. That is the client's doing, so nothing is logged."""
        if isinstance(exc, ConnectionError):
            raise exc  # the client left while it was being written to
        error = _unreadable(exc)
        if request.writer.output_size > 0:
            raise ConnectionError("an answer is under way, and no other can be given")
        request._version = HttpVersion11  # of what was not understood aiohttp says that it was HTTP/1.0
        return self._closing_response(error)

    def _understood(self, request: web.BaseRequest) -> Awaitable[web.StreamResponse]:
        """Has requests handled whose bodies are sent as they are or in chunks. aiohttp lets others through whose last
        coding is chunked, and hands out what it was before."""
        coding = request.headers.get("transfer-encoding")
        if coding is None or coding.strip().lower() == "chunked":
            return self._handle(request)
        return self._refuse_coding(coding)

    async def _refuse_coding(self, coding: str) -> web.StreamResponse:
        problem = f"transfer-encoding {coding!r} is not understood; chunked alone is"
        response = self._closing_response(TollwayError(Reason.UNSUPPORTED_FEATURE, problem))
        response.set_status(501)
        return response

    def _closing_response(self, error: TollwayError) -> web.Response:
        trace_id = new_trace_id()
        response = error_response(error, trace_id)
        response.headers.update(self._identity(trace_id))
        response.force_close()
        return response

    def _identity(self, trace_id: str) -> dict[str, str]:
        """The headers of every answer, where it answers nothing that could be read."""
        request_id = new_request_id(self._clock.time())
        return {"server": "tollway", "x-request-id": request_id, "x-tollway-trace-id": trace_id}

    def _timeout_response(self) -> bytes:
        """Written to the connection as it is: there is no request to answer yet."""
        message = f"the headers did not arrive within {self._head_timeout:g} s (http.body_timeout)"
        error, trace_id = TollwayError(Reason.BODY_TOO_SLOW, message), new_trace_id()
        body = error_body(error, trace_id)
        headers = {
            **error_headers(error),
            **self._identity(trace_id),
            "content-length": str(len(body)),
            "connection": "close",
        }
        lines = ["HTTP/1.1 408 Request Timeout", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
        return "\r\n".join(lines).encode() + body

    def _expect_head(self) -> None:
        self._head_deadline = self._clock.monotonic() + self._head_timeout
        if self._head_timer is None:
            self._head_timer = self._clock.call_later(self._head_timeout, self._look_after_head)

    def _look_after_head(self) -> None:
        self._head_timer = None
        if self._head_deadline is None:
            return
        left = self._head_deadline - self._clock.monotonic()
        if left > 0:
            self._head_timer = self._clock.call_later(left, self._look_after_head)
        else:
            self._give_up()

    def _give_up(self) -> None:
        if self._heard and self.transport is not None:  # whoever said nothing expects no answer
            self.transport.write(self._timeout_response())
        self.force_close()


class Server(web.Server):
    """Makes connections. A client that leaves cancels the handler of its request."""

    def __init__(self, handle: Handle, clock: Clock, head_timeout: float) -> None:
        super().__init__(handle, handler_cancellation=True)
        self._clock, self._head_timeout = clock, head_timeout

    def __call__(self) -> Connection:
        return Connection(self, asyncio.get_running_loop(), clock=self._clock, head_timeout=self._head_timeout)

    def close_idle(self) -> None:
        """Closes the connections on which no request is being answered."""
        for connection in self.connections:
            if isinstance(connection, Connection) and not connection.busy:
                connection.force_close()


def _unreadable(exc: BaseException | None) -> TollwayError:
    if isinstance(exc, LineTooLong):
        return TollwayError(Reason.INVALID_REQUEST, "the request line or a header is longer than 8190 bytes")
    if isinstance(exc, HttpProcessingError):
        problem = exc.message.partition("\n")[0].rstrip(":. ")
        return TollwayError(Reason.INVALID_REQUEST, f"the request cannot be read as HTTP/1.1: {problem}")
    _log.error("a request failed outside its handler", exc_info=exc)
    return TollwayError(Reason.INTERNAL, "something went wrong inside the gateway; its log says what")
