"""A streamed answer as it arrives: what may go out now, and what must wait for the end.

Two things wait. Before the first content, everything does: a bare role commits nobody to anything, and another attempt
is still invisible. And the finish of the last open choice does, with the usage, until the provider's stream is known to
have ended well, so that a client that sees it has seen the whole answer. All else goes out as it came.
"""

from __future__ import annotations

from collections.abc import Iterable

import orjson

from services.router.domain.said import Said
from services.router.domain.usage import delta_size
from tollway.chat.v1.chat_pb2 import ChatChunk, Delta, FinishReason, Usage

_UNFINISHED = FinishReason.FINISH_REASON_UNSPECIFIED
_MAX_OPENING_DELTAS = 64
_MOST_UNCOUNTED = 64
"""Chunks kept until they are looked into, because most never have to be: few answers break off, and their provider says
how many tokens they were."""


class Answer:
    """Takes a stream's chunks in order; `choices` are how many answers were asked for."""

    tells_tokens = True
    """Whether its size says how many tokens it took, where its provider does not."""

    __slots__ = (
        "_choices", "_opening", "_rest", "_said", "_uncounted", "_unfinished", "begun", "finishes", "id", "model",
        "usage",
    )  # fmt: skip

    def __init__(self, choices: int) -> None:
        self._choices = choices
        self._opening: ChatChunk | None = None
        self._rest = ChatChunk()
        self._unfinished: set[int] = set()
        self._said = Said()
        self._uncounted: list[ChatChunk] = []
        self.id = ""
        """The provider's id for the answer."""
        self.model = ""
        """The model that answers, in the provider's words."""
        self.begun = False
        """Whether there was content, so that the client has been answered."""
        self.finishes: dict[int, FinishReason.ValueType] = {}
        """Why each choice ended that did, in order of ending."""
        self.usage: Usage | None = None
        """What the provider said last about tokens."""

    @property
    def characters(self) -> int:
        """How much content there was."""
        self._count()
        return self._said.characters

    def _count(self) -> None:
        for chunk in self._uncounted:
            self._said.add(chunk.deltas)
        self._uncounted.clear()

    @property
    def committed(self) -> bool:
        """Whether anything of it has gone out, so that another answer cannot take its place unseen."""
        return self.begun

    @property
    def held(self) -> Iterable[ChatChunk]:
        """What was held back until now, and goes out before the ending."""
        return ()

    def delivered(self) -> Said:
        """What has gone out, with what had before this answer went on from there."""
        self._count()
        self._said.finishes = {} if self.complete else dict(self.finishes)
        return self._said

    @property
    def complete(self) -> bool:
        """Whether every choice that was asked for has come to its end, so that nothing can be missing any more."""
        return self._all_finished()

    def _all_finished(self) -> bool:
        return len(self.finishes) >= self._choices

    @property
    def whole(self) -> bool:
        """Whether every choice that was begun has come to its end: what is there once the provider says that is all."""
        return bool(self.finishes) and not self._unfinished

    def take(self, chunk: ChatChunk) -> ChatChunk | None:
        """What may go out now that `chunk` is here; None where nothing may. The chunk itself is never changed."""
        if not self.id:
            self.id, self.model = chunk.id, chunk.model
        deltas = chunk.deltas
        content = self.begun or any(is_content(delta) for delta in deltas)
        if content:
            self._uncounted.append(chunk)
            if len(self._uncounted) >= _MOST_UNCOUNTED:
                self._count()
            if self._choices > 1:
                self._unfinished.update(delta.index for delta in deltas if is_content(delta))
                self._unfinished.difference_update(self.finishes)
        finishing = [place for place, delta in enumerate(deltas) if delta.finish_reason]
        passed = self._withhold(chunk, finishing) if finishing or chunk.HasField("usage") else chunk
        if self.begun or passed is None:
            return passed
        return self._open(passed, content)

    def _open(self, chunk: ChatChunk, content: bool) -> ChatChunk | None:
        """What has arrived up to the first content, in one chunk."""
        self.begun = content
        if self._opening is None:
            if content:
                return chunk
            self._opening = ChatChunk()
        if content or len(self._opening.deltas) < _MAX_OPENING_DELTAS:
            merge(self._opening, chunk)
        return self._opening if content else None

    def _withhold(self, chunk: ChatChunk, finishing: list[int]) -> ChatChunk | None:
        """The chunk without its usage and, if it ends the last open choice, without that; they are kept for the end."""
        passed = ChatChunk()
        passed.CopyFrom(chunk)
        if chunk.HasField("usage"):
            self.usage = chunk.usage
            passed.ClearField("usage")
        emptied = [place for place in finishing if not self._pass_without_finish(passed.deltas[place])]
        for place in reversed(emptied):
            del passed.deltas[place]
        if passed.deltas:
            return passed
        merge(self._rest, passed)
        return None

    def _pass_without_finish(self, delta: Delta) -> bool:
        """Takes the finish out of a delta where it must wait, or was there before. Whether something is left."""
        repeated = delta.index in self.finishes
        if not repeated:
            self.finishes[delta.index] = delta.finish_reason
            self._unfinished.discard(delta.index)
            if not self._all_finished():
                return True
        content = is_content(delta)
        if not repeated:
            kept = self._rest.deltas.add()
            if content:
                kept.index, kept.finish_reason = delta.index, delta.finish_reason
                kept.native_finish_reason = delta.native_finish_reason
                kept.stop_sequence = delta.stop_sequence
            else:
                kept.CopyFrom(delta)
        if content:
            delta.ClearField("finish_reason")
            delta.ClearField("native_finish_reason")
            delta.ClearField("stop_sequence")
        return content

    def ending(self) -> ChatChunk:
        """The last chunk, once: what was kept, and the usage. Of an answer without content, all there was."""
        ending = self._rest
        if self._opening is not None and not self.begun:
            ending = ChatChunk()
            ending.CopyFrom(self._opening)
            merge(ending, self._rest)
        if self.usage is not None:
            ending.usage.CopyFrom(self.usage)
        return ending


def is_content(delta: Delta) -> bool:
    """Whether the delta adds anything to the answer: text, a refusal, thinking, a tool call, sound."""
    if delta.text or delta_size(delta) or delta.tool_calls or delta.parts:
        return True
    # Sound has no field of its own in a delta; it comes in the dialect's own words.
    return b'"audio"' in delta.extra_json


def merge(into: ChatChunk, chunk: ChatChunk) -> None:
    """Adds a later chunk to an earlier one, dropping nothing."""
    extra = _merged_json(into.extra_json, chunk.extra_json)
    into.MergeFrom(chunk)
    into.extra_json = extra


def _merged_json(earlier: bytes, later: bytes) -> bytes:
    if not earlier or not later:
        return earlier or later
    return orjson.dumps({**orjson.loads(earlier), **orjson.loads(later)})
