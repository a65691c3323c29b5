"""Events that every reader of server-sent events takes apart alike."""

from __future__ import annotations

_BREAKS = ((b"\xc2\x85", b"\\u0085"), (b"\xe2\x80\xa8", b"\\u2028"), (b"\xe2\x80\xa9", b"\\u2029"))


def on_one_line_each(events: bytes) -> bytes:
    """The events without the characters at which readers break lines that split as Unicode does, not as SSE does."""
    if events.isascii():
        return events
    for character, escaped in _BREAKS:
        if character in events:
            events = events.replace(character, escaped)
    return events
