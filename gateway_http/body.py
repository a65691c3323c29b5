"""Reading a request's body: only what is wanted (mostly JSON), only so much of it, and only for so long."""

from __future__ import annotations

import zlib
from collections.abc import Callable

from aiohttp import HttpVersion11, web

from mesh.clock import Clock
from mesh.errors import Reason, TollwayError

_GZIP = 16 + zlib.MAX_WBITS


def check_json(request: web.BaseRequest) -> None:
    """Insists on JSON being named: a page in a browser may send anything else to this machine without asking."""
    given = request.headers.get("content-type", "")
    if given == "application/json":
        return
    kind, _, parameters = given.lower().partition(";")
    charset = parameters.partition("charset=")[2].strip(' "') or "utf-8"
    if kind.strip() != "application/json" or charset not in ("utf-8", "utf8"):
        raise TollwayError(
            Reason.UNSUPPORTED_MEDIA_TYPE,
            f"send the header `content-type: application/json`, in UTF-8; it is {given!r}"
            if given
            else "send the header `content-type: application/json`; there is none",
        )


def check_form(request: web.BaseRequest) -> None:
    """Insists on a form that may hold files. A page in a browser may send one without asking: it is turned away by its
    `Origin` (see `cross_site`)."""
    given = request.headers.get("content-type", "")
    if given.lower().partition(";")[0].strip() != "multipart/form-data":
        said = f"it is {given!r}" if given else "there is none"
        raise TollwayError(
            Reason.UNSUPPORTED_MEDIA_TYPE, f"send a form, with the header `content-type: multipart/form-data`; {said}"
        )


class BodyReader:
    """Reads bodies of at most `max_bytes`, plain or unpacked, that arrive within `timeout` seconds."""

    def __init__(self, clock: Clock, max_bytes: int, timeout: float) -> None:
        self._clock, self._max_bytes, self._timeout = clock, max_bytes, timeout

    async def read(self, request: web.BaseRequest, check: Callable[[web.BaseRequest], None] = check_json) -> bytes:
        """The body, unpacked. `check` raises UNSUPPORTED_MEDIA_TYPE for what is not wanted.

        Raises UNSUPPORTED_MEDIA_TYPE, BODY_TOO_LARGE, BODY_TOO_SLOW, and INVALID_REQUEST for one that is packed
        wrongly. (Of one whose chunks break off aiohttp says nothing more, so that it is too slow as well.)
        """
        check(request)
        packed = _is_packed(request)
        if (request.content_length or 0) > self._max_bytes:
            raise self._too_large()
        if request.content.is_eof():  # it came with the headers
            body = request.content.read_nowait()
            if len(body) > self._max_bytes:
                raise self._too_large()
        else:
            body = await self._receive(request)
        return self._unpack(body) if packed else body

    async def _receive(self, request: web.BaseRequest) -> bytes:
        _invite(request)
        pieces: list[bytes] = []
        room = self._max_bytes
        try:
            async with self._clock.timeout(self._timeout):
                while piece := await request.content.readany():
                    pieces.append(piece)
                    room -= len(piece)
                    if room < 0:
                        raise self._too_large()
        except TimeoutError:
            message = f"the body did not arrive within {self._timeout:g} s (http.body_timeout)"
            raise TollwayError(Reason.BODY_TOO_SLOW, message) from None
        return b"".join(pieces)

    def _unpack(self, body: bytes) -> bytes:
        unpacker = zlib.decompressobj(_GZIP)
        try:
            plain = unpacker.decompress(body, self._max_bytes + 1)
        except zlib.error:
            raise TollwayError(Reason.INVALID_REQUEST, "the body is not gzip, as its content-encoding says") from None
        if len(plain) > self._max_bytes:
            raise self._too_large()
        if not unpacker.eof or unpacker.unused_data:
            raise TollwayError(Reason.INVALID_REQUEST, "the body is not one whole gzip stream")
        return plain

    def _too_large(self) -> TollwayError:
        return TollwayError(
            Reason.BODY_TOO_LARGE, f"the body is larger than the {self._max_bytes} bytes allowed here (http.max_body)"
        )


def _is_packed(request: web.BaseRequest) -> bool:
    coding = request.headers.get("content-encoding", "identity").lower()
    if coding not in ("identity", "gzip"):
        raise TollwayError(Reason.UNSUPPORTED_MEDIA_TYPE, f"content-encoding {coding!r} is not understood; gzip is")
    return coding == "gzip"


def _invite(request: web.BaseRequest) -> None:
    """Answers `Expect: 100-continue`, now that the headers have been found good."""
    transport = request.transport
    expected = request.headers.get("expect", "").lower()
    if expected == "100-continue" and request.version >= HttpVersion11 and transport is not None:
        transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
