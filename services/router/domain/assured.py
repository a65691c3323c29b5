"""An answer that is held back until it is whole: whatever happens to it before, another takes its place unseen."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from services.router.domain.answer import Answer, merge
from services.router.domain.said import Said
from tollway.chat.v1.chat_pb2 import ChatChunk

MOST_HELD = 8 * 2**20
"""Bytes that are held back. Of a longer answer, the last so many are; the rest goes out, and can be continued only."""


class Assured(Answer):
    """An answer whose chunks wait for its end."""

    __slots__ = ("_held", "_most", "_released", "_size")

    def __init__(self, choices: int, most: int = MOST_HELD) -> None:
        super().__init__(choices)
        self._most = most
        self._held: deque[ChatChunk] = deque()
        self._size = 0
        self._released: Said | None = None

    def take(self, chunk: ChatChunk) -> ChatChunk | None:
        passed = super().take(chunk)
        if passed is None:
            return None
        self._held.append(passed)
        self._size += passed.ByteSize()
        return self._release() if self._size > self._most else None

    def _release(self) -> ChatChunk:
        """The oldest of what is held, as much as is too much."""
        released = ChatChunk()
        while self._size > self._most:
            oldest = self._held.popleft()
            self._size -= oldest.ByteSize()
            merge(released, oldest)
        if self._released is None:
            self._released = Said()
        self._released.add(released.deltas)
        self._released.finishes.update(
            {delta.index: delta.finish_reason for delta in released.deltas if delta.finish_reason}
        )
        return released

    @property
    def committed(self) -> bool:
        return self._released is not None

    @property
    def held(self) -> Iterable[ChatChunk]:
        return self._held

    def delivered(self) -> Said:
        return self._released or Said()
