"""The chunks of a stream as they are filled, in the dialects whose answers are one choice of several parts.

What one piece of a stream says leaves in one chunk, and in one delta where text is added to the same part. Where the
pieces were cut changes nothing but that: joined, the chunks are the same.
"""

from __future__ import annotations

from services.providers.domain.json_objects import Json, encode_json
from tollway.chat.v1 import chat_pb2


class Chunks:
    """The chunk that is being filled, and those that are full."""

    def __init__(self) -> None:
        self.chunk = chat_pb2.ChatChunk()
        """For what is said beside deltas and extra fields: ids, usage."""
        self._text: list[str] = []
        self._part = 0
        self._extra: Json = {}
        self._full: list[chat_pb2.ChatChunk] = []

    def add(self, part: int = 0) -> chat_pb2.Delta:
        """A new delta, of that part of the answer."""
        self._end_text()
        delta = self.chunk.deltas.add()
        delta.part = part
        return delta

    def say(self, text: str, part: int) -> None:
        """Adds text to a part, in the delta before if that is the same part's text."""
        if self._text and self._part != part:
            self._end_text()
        self._text.append(text)
        self._part = part

    def keep(self, extra: Json) -> None:
        """Keeps what has no place in a chunk: one has room for one value of a name."""
        if self._extra.keys() & extra.keys():
            self._close()
        self._extra.update(extra)

    def take(self) -> list[chat_pb2.ChatChunk]:
        """What was said since the last time: no chunk where nothing was, and rarely more than one."""
        self._close()
        full, self._full = self._full, []
        return full

    def _close(self) -> None:
        self._end_text()
        chunk, self.chunk = self.chunk, chat_pb2.ChatChunk()
        if self._extra:
            chunk.extra_json, self._extra = encode_json(self._extra), {}
        if chunk.ByteSize():
            self._full.append(chunk)

    def _end_text(self) -> None:
        if self._text:
            self.chunk.deltas.add(text="".join(self._text), part=self._part)
            self._text.clear()
