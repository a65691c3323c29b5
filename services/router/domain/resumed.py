"""Answers that go on where another one broke off: what may go out of them, so that the client sees one answer."""

from __future__ import annotations

from collections.abc import Iterable

from services.router.domain.answer import Answer
from services.router.domain.said import Said
from services.router.domain.splice import Diverged, Splice
from tollway.chat.v1.chat_pb2 import ChatChunk, Delta


class Prefilled(Answer):
    """An answer that begins behind what was said `before`."""

    __slots__ = ("_before",)

    def __init__(self, before: Said) -> None:
        super().__init__(1)
        self._before = before

    def take(self, chunk: ChatChunk) -> ChatChunk | None:
        passed = super().take(chunk)
        return None if passed is None else _going_on(passed, passed.deltas)

    def ending(self) -> ChatChunk:
        return _ending(super().ending())

    def delivered(self) -> Said:
        return self._before.followed_by(super().delivered())


class Spliced(Answer):
    """An answer to the same question, of which goes out what follows on what was said `before`. Taking from it raises
    Diverged where nothing does."""

    __slots__ = ("_before", "_splice")

    def __init__(self, before: Said, choices: int) -> None:
        super().__init__(choices)
        self._before = before
        self._splice = Splice(before)
        self.finishes.update(before.finishes)

    @property
    def complete(self) -> bool:
        return self._splice.joined and self._all_finished()

    @property
    def whole(self) -> bool:
        return self.complete

    @property
    def committed(self) -> bool:
        return self.begun and self._splice.joined

    def take(self, chunk: ChatChunk) -> ChatChunk | None:
        passed = super().take(chunk)
        out = None if passed is None else _going_on(passed, self._splice.take(passed.deltas))
        if self._all_finished() and not self._splice.joined:
            raise Diverged  # it is shorter than what was delivered
        return out

    def ending(self) -> ChatChunk:
        return _ending(super().ending())

    def delivered(self) -> Said:
        return super().delivered() if self.committed else self._before


def _going_on(chunk: ChatChunk, deltas: Iterable[Delta]) -> ChatChunk | None:
    """The deltas as a chunk of an answer whose name, model and role have been told."""
    out = ChatChunk(extra_json=chunk.extra_json)
    for delta in deltas:
        told = out.deltas.add()
        told.CopyFrom(delta)
        told.ClearField("role")
        if not told.ListFields() or (told.index and len(told.ListFields()) == 1):
            del out.deltas[-1]
    return out if out.deltas or out.extra_json else None


def _ending(chunk: ChatChunk) -> ChatChunk:
    out = _going_on(chunk, chunk.deltas) or ChatChunk()
    if chunk.HasField("usage"):
        out.usage.CopyFrom(chunk.usage)
    return out
