"""What has to be seen of an answer that is passed on."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

import orjson

from services.providers.domain.failures import malformed
from services.providers.domain.sse import EventDecoder
from services.providers.domain.wire import MAX_EVENT

PIECE = 256 * 2**10
"""The most bytes that travel in one message."""


def is_json(content_type: str) -> bool:
    """Whether an answer is of use only as a whole."""
    return "json" in content_type.lower()


def is_events(content_type: str) -> bool:
    """Whether an answer comes event by event."""
    return content_type.lower().startswith("text/event-stream")


def carries_error(body: bytes) -> bool:
    """Whether an answer that says it is one is an error: `{"error": …}`."""
    if b'"error"' not in body:
        return False
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        return False
    return isinstance(answer, dict) and bool(answer.get("error"))


def pieces(data: bytes) -> Iterator[bytes]:
    """The data in pieces that a message holds; one where there is none."""
    yield data[:PIECE]
    for start in range(PIECE, len(data), PIECE):
        yield data[start : start + PIECE]


class Heard:
    """What has been passed on of an answer, kept up to a size, so that what it says of its usage can be read."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._size = 0
        self._pieces: list[bytes] = []

    def add(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size <= self._most:
            self._pieces.append(piece)
        else:
            self._pieces.clear()

    def all(self) -> bytes:
        """Everything; nothing where it was too much."""
        return b"".join(self._pieces)


class Passed(NamedTuple):
    """Whole events, to the byte; and the data of one that follows them and is an error, empty where none does."""

    events: bytes
    error: bytes = b""


class Events:
    """Takes a stream in whatever pieces it comes, and gives it back in whole events."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._said = False

    @property
    def cut(self) -> bool:
        """Whether the last event has not come to its end."""
        return bool(self._rest.strip())

    def feed(self, data: bytes) -> Passed:
        """What has come to its end with this. Raises UPSTREAM_MALFORMED for an event that does not end."""
        seen = max(len(self._rest) - _OVERLAP, 0)
        self._rest += data
        end = max((at + len(mark) for mark in _ENDS if (at := self._rest.rfind(mark, seen)) >= 0), default=0)
        if not end:
            if len(self._rest) > MAX_EVENT:
                raise malformed(f"an event of the provider's is longer than {MAX_EVENT} bytes")
            return Passed(b"")
        whole = bytes(self._rest[:end])
        del self._rest[:end]
        if not self._said:
            self._said = b"data" in whole
            if not self._said:  # signs of life do not begin an answer
                return Passed(b"")
        return _until_error(whole) if b"error" in whole else Passed(whole)


_OVERLAP = 2
"""As much of an event's end may have come before the rest of it."""
_ENDS = (b"\n\n", b"\n\r\n", b"\r\r")
_EVENT = re.compile(rb".*?(?:\n\n|\n\r\n|\r\r)", re.DOTALL)


def _until_error(whole: bytes) -> Passed:
    """What of whole events comes before one that is an error."""
    for event in _EVENT.finditer(whole):
        for name, data in EventDecoder(MAX_EVENT).feed(event[0]):
            if name == b"error" or carries_error(data):
                return Passed(whole[: event.start()], data or b"{}")
    return Passed(whole)
