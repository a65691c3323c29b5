"""Numbered, typed events of OpenAI's Responses, and the prefix that every piece of a text shares."""

from __future__ import annotations

from typing import Any

from gateway_http.event_lines import on_one_line_each
from gateway_http.json_output import encode_json

_END = b"}\n\n"


class Events:
    """Counts events, and holds those that have not been written."""

    def __init__(self) -> None:
        self._count = 0
        self._held: list[bytes] = []

    def add(self, kind: str, fields: dict[str, Any], last_fields: bytes = b"") -> None:
        """`last_fields` are such as stand in JSON already, each with a comma before it."""
        event = {"type": kind, **fields, "sequence_number": self._count}
        self._count += 1
        self._held += (_head(kind), encode_json(event)[:-1], last_fields, _END)

    def add_piece(self, before: bytes, piece: str, behind: bytes) -> None:
        """An event that is the same as the one before it but for a piece of text."""
        self._held += (before, encode_json(piece), behind, b"%d" % self._count, _END)
        self._count += 1

    def take(self) -> bytes:
        events = b"".join(self._held)
        self._held.clear()
        return on_one_line_each(events)


def piece_frame(kind: str, fields: dict[str, Any], more: dict[str, Any]) -> tuple[bytes, bytes]:
    """What stands before and behind a piece in events of that kind, for `add_piece`."""
    before = _head(kind) + encode_json({"type": kind, **fields})[:-1] + b',"delta":'
    behind = b"," + encode_json({**more, "sequence_number": 0})[1:-2]
    return before, behind


def _head(kind: str) -> bytes:
    return b"event: " + kind.encode() + b"\ndata: "
