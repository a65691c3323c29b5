"""Over HTTP, with aiohttp's pool of connections and its parser: one pool for all providers.

aiohttp's session is left out. It prepares every request anew and sends its body in a task of its own, which together
cost as much as all that is needed here: a head of a few lines, written at once with the body.

aiohttp's own timeouts know neither our clock nor our phases, and a timeout context for each read would cost as much as
decoding three events. So each call has one timer (`_Watch`), which is told a new deadline for every wait and looks at
the last one only when it fires. What it interrupts is the wait itself: the task while the call is being opened, the
body's reader afterwards, in whoever's task that is by then.

Nothing here is more than one call: redirects are not followed (they would carry credentials elsewhere), cookies not
kept, the environment's proxies and .netrc not looked at.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.http_parser import RawResponseMessage
from yarl import URL

from mesh.clock import Clock, Handle
from mesh.config.values import format_duration
from mesh.errors import TollwayError
from services.providers.domain.failures import cut, malformed, silent, unreachable
from services.providers.domain.wire import Limits, Outgoing

_log = logging.getLogger(__name__)

_NEAR = 0.05
"""Seconds in which a body's end must come to count as near: it follows the last event at once, or is held back."""
_URLS_KEPT = 1024
_NO_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=None)


class HttpTransport:
    """Implements `ports.Transport`. Made inside a running event loop, and closed once."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._connector = _Connector(limit=0)
        self._address = lru_cache(_URLS_KEPT)(_address)

    async def open(self, call: Outgoing, limits: Limits) -> HttpAnswer:
        task = asyncio.current_task()
        assert task is not None
        watch = _Watch(self._clock, task.cancel)
        opening = _Opening(watch, limits, self._clock)
        cancelled_before = task.cancelling()
        answer: HttpAnswer | None = None
        try:
            address = self._address(call.url)
            connection = await self._connector.connect(address.request, [], _NO_TIMEOUT)
            opening.connected()
            answer = await _ask(connection, _head(address, call), call.body, watch, self._clock)
            return answer
        except asyncio.CancelledError:
            if watch.fired and task.uncancel() <= cancelled_before:
                raise opening.ran_out() from None
            raise
        except HttpProcessingError as error:
            raise malformed(f"the provider did not answer in HTTP: {error.message}") from None
        except (aiohttp.ClientError, OSError) as error:
            raise _failure(error) from error
        finally:
            watch.rest() if answer else watch.stop()

    async def close(self) -> None:
        await self._connector.close()


class _Connection(ResponseHandler):
    def resume_reading(self, resume_parser: bool = True) -> None:
        # Called for each chunk that is taken, of which a stream has one a token: mostly, nothing is paused.
        if self._reading_paused:
            super().resume_reading(resume_parser)


class _Connector(aiohttp.TCPConnector):
    def __init__(self, *, limit: int) -> None:
        super().__init__(limit=limit)
        made: type[ResponseHandler] = _Connection
        self._factory = partial(made, loop=asyncio.get_running_loop())


@dataclass(frozen=True, slots=True)
class _Address:
    """What is the same in every call to a URL. `request` is never sent: it is how a connection is asked for."""

    request: aiohttp.ClientRequest
    target: str
    headers: Mapping[str, str]


def _address(url: str) -> _Address:
    """Raises aiohttp.InvalidURL."""
    request = aiohttp.ClientRequest("POST", URL(url), loop=asyncio.get_running_loop())
    # A user and password in the URL become a header.
    headers = {name: request.headers[name] for name in ("host", "authorization") if name in request.headers}
    return _Address(request, request.url.raw_path_qs, headers)


def _head(address: _Address, call: Outgoing) -> bytes:
    headers = {**address.headers, **call.headers}
    if call.method != "GET":
        headers["content-length"] = str(len(call.body))
    lines = [f"{call.method} {address.target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "\n"]
    head = "\n".join(lines)
    if head.count("\n") != len(lines) or "\r" in head or "\0" in head:
        raise ValueError("a header of the call has a line end in it")  # and would be two, or a second request
    return head.replace("\n", "\r\n").encode()


async def _ask(connection: Connection, head: bytes, body: bytes, watch: _Watch, clock: Clock) -> HttpAnswer:
    """Sends the call, and waits until the answer's headers are here."""
    protocol = connection.protocol
    assert protocol is not None
    try:
        if protocol.transport is None:
            raise aiohttp.ClientConnectionResetError("the connection was closed")
        protocol.set_response_params(read_until_eof=True)
        protocol.transport.writelines((head, body))
        message, content = await protocol.read()
        while message.code < 200 and message.code != 101:
            message, content = await protocol.read()
    except BaseException:
        _abort(connection)
        raise
    content.on_eof(partial(_release, connection))
    return HttpAnswer(connection, message, content, watch, clock)


def _release(connection: Connection) -> None:
    """Lets another call have the connection, once the answer is whole."""
    transport = connection.transport
    if transport is not None and transport.get_write_buffer_size():
        _abort(connection)  # the provider answered without reading all of the question
    else:
        connection.release()


def _abort(connection: Connection) -> None:
    if connection.transport is not None:
        # Closing would first send what the provider has not read of a large question.
        connection.transport.abort()
    connection.close()


class HttpAnswer:
    """Implements `ports.Answer`."""

    def __init__(
        self,
        connection: Connection,
        message: RawResponseMessage,
        content: aiohttp.StreamReader,
        watch: _Watch,
        clock: Clock,
    ) -> None:
        self._connection, self._content, self._watch, self._clock = connection, content, watch, clock
        # Without a way back to this object, which would make every call work for the garbage collector.
        watch.interrupt = lambda: content.set_exception(TimeoutError())
        self.status: int = message.code
        self.headers: Mapping[str, str] = message.headers

    async def read(self, deadline: float | None) -> bytes:
        content = self._content
        try:
            _join(content)
            if (data := content.read_nowait()) or content.at_eof():
                return data
            self._watch.expect(deadline)
            return await content.readany()
        except (aiohttp.ClientError, HttpProcessingError) as error:
            # aiohttp hides what had arrived before the connection broke, and it may hold the answer's end.
            if data := content._read_nowait(-1):
                return data
            raise cut(f"the provider's answer broke off: {type(error).__name__}") from None
        finally:
            self._watch.rest()

    async def finish(self) -> None:
        deadline = self._clock.monotonic() + _NEAR
        try:
            while await self.read(deadline):
                pass
        except (TimeoutError, TollwayError):
            return  # the answer is whole; what is lost is the connection

    def close(self) -> None:
        self._watch.stop()
        if not self._content.is_eof():
            _abort(self._connection)


def _join(content: aiohttp.StreamReader) -> None:
    """Makes one of the chunks that are here, which aiohttp would take one by one: a stream has one for each token."""
    if not content.at_eof() and len(content._buffer) > 1 and not content._buffer_offset:
        joined = b"".join(content._buffer)
        content._buffer.clear()
        content._buffer.append(joined)


class _Watch:
    """One timer for one call. While deadlines only move away, moving them does not touch it."""

    __slots__ = ("_clock", "_deadline", "_due", "_handle", "fired", "interrupt")

    def __init__(self, clock: Clock, interrupt: Callable[[], object]) -> None:
        self.interrupt = interrupt
        self.fired = False
        self._clock = clock
        self._deadline: float | None = None
        self._due = 0.0
        self._handle: Handle | None = None

    def expect(self, deadline: float | None) -> None:
        """Interrupts what is going on when it is not over by the deadline."""
        self._deadline = deadline
        if deadline is not None and (self._handle is None or deadline < self._due):
            self._arm(deadline)

    def rest(self) -> None:
        """Nothing is being waited for."""
        self._deadline = None

    def stop(self) -> None:
        self._deadline = None
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _arm(self, due: float) -> None:
        if self._handle is not None:
            self._handle.cancel()
        self._due = due
        self._handle = self._clock.call_later(due - self._clock.monotonic(), self._look)

    def _look(self) -> None:
        self._handle = None
        if self._deadline is None:
            return
        if self._clock.monotonic() < self._deadline:
            self._arm(self._deadline)
            return
        self.fired = True
        self.interrupt()


def _failure(error: aiohttp.ClientError | OSError) -> TollwayError:
    """What an error says about the provider that did not answer. Its host and addresses are told in the log alone."""
    if isinstance(error, aiohttp.ClientConnectorError):
        _log.info("no connection to the provider: %s", error)
        return unreachable(f"no connection to the provider: {_obstacle(error)}", phase="connect")
    _log.info("the connection to the provider was lost before it answered: %r", error)
    return unreachable("the connection to the provider was lost before it answered")


def _obstacle(error: aiohttp.ClientConnectorError) -> str:
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "its host has no address"
    if isinstance(error, aiohttp.ClientSSLError):
        return "TLS could not be agreed on"
    number = error.os_error.errno
    return os.strerror(number) if number else "it could not be made"


class _Opening:
    """A call until its headers are here: first there must be a connection, then the provider must answer."""

    __slots__ = ("_clock", "_connected", "_limits", "watch")

    def __init__(self, watch: _Watch, limits: Limits, clock: Clock) -> None:
        self.watch = watch
        self._limits, self._clock = limits, clock
        self._connected = False
        self._expect(limits.connect)

    def connected(self) -> None:
        self._connected = True
        self._expect(self._limits.headers)

    def ran_out(self) -> TollwayError:
        """The error for the limit that passed."""
        if self._connected:
            return silent("headers", self._limits.headers or 0.0)
        within = format_duration(self._limits.connect or 0.0)
        return unreachable(f"no connection to the provider within {within}", phase="connect")

    def _expect(self, limit: float | None) -> None:
        self.watch.expect(None if limit is None else self._clock.monotonic() + limit)
