"""Server-sent events from bytes, however these were cut (WHATWG HTML, section 9.2).

Bytes in, bytes out: a cut inside a UTF-8 sequence is none of our business, because no byte of one looks like a line
end. A blank line ends an event; what the stream ends in the middle of is no event.
"""

from __future__ import annotations

_BOM = b"\xef\xbb\xbf"
Event = tuple[bytes, bytes]
"""Its type (empty: `message`), and its data."""


class EventDecoder:
    """Turns the pieces of a stream into events. `limit` bounds one event, in bytes."""

    def __init__(self, limit: int) -> None:
        self.overflown = False
        """An event was longer than the limit. What came before it has been given out, and nothing follows."""
        self._limit = limit
        self._held: list[bytes] = []
        self._held_size = 0
        self._ended_in_cr = False
        self._begun = False

    def feed(self, data: bytes) -> list[Event]:
        """The events that this piece completes, in order."""
        if not self._begun:
            data = self._skip_bom(data)
        if b"\r" in data or self._ended_in_cr:
            data = self._newlines(data)
        if self._held:
            if b"\n" not in data:
                self._hold(data)
                return []
            self._held.append(data)
            data = b"".join(self._held)
            self._held, self._held_size = [], 0
        return _plain_events(data, self._limit) or self._events(data)

    def _events(self, data: bytes) -> list[Event]:
        *blocks, rest = data.split(b"\n\n")
        events: list[Event] = []
        for block in blocks:
            if len(block) > self._limit:
                self.overflown = True
                return events
            if event := _event(block):
                events.append(event)
        self._hold(rest)
        return events

    def _hold(self, data: bytes) -> None:
        if data:
            self._held.append(data)
            self._held_size += len(data)
            self.overflown = self._held_size > self._limit + 1  # a line end that may yet prove to be the event's

    def _newlines(self, data: bytes) -> bytes:
        """Every line end as a line feed. A CR ends its line at once; a LF that then follows belongs to it."""
        if self._ended_in_cr and data:
            data = data.removeprefix(b"\n")
            self._ended_in_cr = False
        self._ended_in_cr = self._ended_in_cr or data.endswith(b"\r")
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _skip_bom(self, data: bytes) -> bytes:
        data = b"".join((*self._held, data))
        self._held = []
        if len(data) < len(_BOM) and _BOM.startswith(data):
            self._held = [data]
            return b""
        self._begun = True
        return data.removeprefix(_BOM)


def _plain_events(data: bytes, limit: int) -> list[Event] | None:
    """The events, where all of them are whole and of one data line each, as nearly all are; else None.

    Every line end is then one of the two after an event, and so counting them proves it.
    """
    if not data.startswith(b"data: ") or not data.endswith(b"\n\n") or len(data) > limit:
        return None
    lines = data[6:-2].split(b"\n\ndata: ")
    return [(b"", line) for line in lines] if data.count(b"\n") == 2 * len(lines) else None


def _event(block: bytes) -> Event | None:
    kind, data = b"", []
    for line in block.split(b"\n"):
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            data.append(value)
        elif field == b"event":
            kind = value
    return (kind, b"\n".join(data)) if data else None
