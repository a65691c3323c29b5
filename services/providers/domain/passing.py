"""What has to be seen of an answer that is passed on."""

from __future__ import annotations

from collections.abc import Iterator

import orjson

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
        self._end = b""

    @property
    def ends_an_event(self) -> bool:
        """Whether what was passed on last is the empty line that ends an event, or nothing was."""
        return not self._end or self._end.replace(b"\r\n", b"\n").replace(b"\r", b"\n").endswith(b"\n\n")

    def add(self, piece: bytes) -> None:
        self._size += len(piece)
        self._end = (self._end + piece[-4:])[-4:]
        if self._size <= self._most:
            self._pieces.append(piece)
        else:
            self._pieces.clear()

    def all(self) -> bytes:
        """Everything; nothing where it was too much."""
        return b"".join(self._pieces)
