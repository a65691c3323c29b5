"""AWS's binary event stream from bytes, however these were cut (Smithy's `application/vnd.amazon.eventstream`).

A message is a prelude (its whole length, its headers' length, and the CRC-32 of these two), headers, a payload, and the
CRC-32 of all before it; numbers are big-endian. A header is a name, a type and a value.

botocore has a decoder of its own, but it takes up to 24 MiB for one message, copies what it holds with every piece that
comes, and brings botocore's start-up time along: it is what this one is tested against.
"""

from __future__ import annotations

from binascii import crc32
from collections.abc import Mapping
from struct import Struct, error
from typing import NamedTuple

HeaderValue = str | bytes | int | bool

_PRELUDE = Struct("!III")
_CRC = Struct("!I")
_LEAST = _PRELUDE.size + _CRC.size
_LENGTH = Struct("!H")
_FIXED = {2: Struct("!b"), 3: Struct("!h"), 4: Struct("!i"), 5: Struct("!q"), 8: Struct("!q")}
_BYTES, _STRING, _UUID = 6, 7, 9
_UUID_SIZE = 16
_MOST_KNOWN = 32


class Malformed(ValueError):
    """The stream is not one of events: nothing after this can be read. Says what is wrong, and quotes nothing."""


class Message(NamedTuple):
    headers: Mapping[str, HeaderValue]
    payload: bytes


class MessageDecoder:
    """Turns the pieces of a stream into messages. `limit` bounds one message, in bytes."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held: list[bytes] = []
        self._held_size = 0
        self._needed = _LEAST
        """How many bytes must be here before it is worth looking at them."""
        self._known: dict[bytes, Mapping[str, HeaderValue]] = {}
        """Headers by their bytes: those of a stream's many events are nearly all the same."""

    def feed(self, data: bytes) -> tuple[list[Message], Malformed | None]:
        """The messages that this piece completes, in order, and what is wrong with the one after them."""
        self._held.append(data)
        self._held_size += len(data)
        if self._held_size < self._needed:
            return [], None
        data = b"".join(self._held)
        messages: list[Message] = []
        begin = 0
        try:
            while end := self._end(data, begin):
                messages.append(self._message(data, begin, end))
                begin = end
        except Malformed as wrong:
            return messages, wrong
        self._held = [data[begin:]]
        self._held_size = len(data) - begin
        return messages, None

    def _end(self, data: bytes, begin: int) -> int:
        """Where the message that begins there ends; 0 where it is not whole yet."""
        if len(data) - begin < _LEAST:
            self._needed = _LEAST
            return 0
        length, headers, checksum = _PRELUDE.unpack_from(data, begin)
        if crc32(data[begin : begin + 8]) != checksum:
            raise Malformed("the checksum of an event's beginning is wrong")
        if length > self._limit:
            raise Malformed("an event has more bytes than are read")
        if length < _LEAST + headers:
            raise Malformed("an event is shorter than its headers")
        self._needed = length
        return begin + length if len(data) - begin >= length else 0

    def _message(self, data: bytes, begin: int, end: int) -> Message:
        payload_end = end - _CRC.size
        if crc32(data[begin:payload_end]) != _CRC.unpack_from(data, payload_end)[0]:
            raise Malformed("the checksum of an event is wrong")
        headers_begin = begin + _PRELUDE.size
        headers_end = headers_begin + _PRELUDE.unpack_from(data, begin)[1]
        return Message(self._headers(data[headers_begin:headers_end]), data[headers_end:payload_end])

    def _headers(self, data: bytes) -> Mapping[str, HeaderValue]:
        known = self._known.get(data)
        if known is None:
            try:
                known = _headers(data)
            except (IndexError, UnicodeDecodeError, error):
                raise Malformed("an event's headers cannot be read") from None
            if len(self._known) < _MOST_KNOWN:
                self._known[data] = known
        return known


def _headers(data: bytes) -> dict[str, HeaderValue]:
    headers: dict[str, HeaderValue] = {}
    place = 0
    while place < len(data):
        name_end = place + 1 + data[place]
        name = data[place + 1 : name_end].decode()
        kind = data[name_end]
        headers[name], place = _value(data, name_end + 1, kind)
    if place > len(data):
        raise IndexError("the last header is cut")
    return headers


def _value(data: bytes, place: int, kind: int) -> tuple[HeaderValue, int]:
    """The value of that type, and where it ends."""
    if kind in (_STRING, _BYTES):
        begin = place + _LENGTH.size
        end = begin + _LENGTH.unpack_from(data, place)[0]
        return data[begin:end].decode() if kind == _STRING else data[begin:end], end
    if kind in (0, 1):
        return kind == 0, place
    if kind == _UUID:
        return data[place : place + _UUID_SIZE], place + _UUID_SIZE
    if kind not in _FIXED:
        raise Malformed("an event's header has a type that is not known")
    number: int = _FIXED[kind].unpack_from(data, place)[0]
    return number, place + _FIXED[kind].size
