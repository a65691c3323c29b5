"""Joining a new answer to what was delivered of another one: verified, character by character.

The new answer is held back until it has said exactly what was delivered, and the rest of it flows. Where it says
anything else, it is of no use: nothing of it has gone out, and nothing may. How either answer was cut into pieces makes
no difference.
"""

from __future__ import annotations

from collections.abc import Iterable

from mesh.errors import Reason, TollwayError
from services.router.domain.answer import is_content
from services.router.domain.said import Part, Said
from services.router.domain.usage import delta_size
from tollway.chat.v1.chat_pb2 import Delta, ToolCallDelta

_MOST_HELD = 4096


class Diverged(TollwayError):
    """The new answer is not what was delivered."""

    def __init__(self) -> None:
        super().__init__(Reason.UPSTREAM_CUT, "it answered in other words when it was asked again")


class Splice:
    """The place where a new answer is joined to what was `said`."""

    def __init__(self, said: Said) -> None:
        self._finished = frozenset(said.finishes)
        """Choices that were delivered to their end: what is said of them again is of no interest."""
        self._delivered = {part: text for part, text in said.texts().items() if part[0] not in self._finished}
        self._seen = dict.fromkeys(self._delivered, 0)
        self._open = {part for part, text in self._delivered.items() if text}
        """Parts that have not been said again up to where they broke off."""
        self._held: list[Delta] = []

    @property
    def joined(self) -> bool:
        """Whether everything that was delivered has been said again, so that all that follows is new."""
        return not self._open

    def take(self, deltas: Iterable[Delta]) -> list[Delta]:
        """What may go out now that these are here, in order. Raises Diverged."""
        for delta in deltas:
            beyond = self._beyond(delta)
            if beyond is not None:
                self._held.append(beyond)
        if self._open:
            if len(self._held) > _MOST_HELD:
                raise Diverged
            return []
        out, self._held = self._held, []
        return out

    def _beyond(self, delta: Delta) -> Delta | None:
        """What the delta says that was not delivered before; None where that is nothing."""
        index = delta.index
        if index in self._finished:
            return None
        left = Delta()
        left.CopyFrom(delta)
        left.ClearField("role")
        left.text = self._past((index, "text"), delta.text)
        left.refusal = self._past((index, "refusal"), delta.refusal)
        if delta.HasField("reasoning"):
            left.reasoning.text = self._past((index, "reasoning"), delta.reasoning.text)
            if not left.reasoning.ListFields():
                left.ClearField("reasoning")
        if delta.tool_calls:
            del left.tool_calls[:]
            left.tool_calls.extend(call for each in delta.tool_calls if (call := self._call_past(index, each)))
        new = bool(delta_size(left) or left.tool_calls or left.finish_reason)
        if new and any(part[0] == index for part in self._open):
            raise Diverged  # the client has been told something else at this place
        if new or (self.joined and not is_content(delta) and left.ListFields()):
            return left
        return None

    def _past(self, part: Part, text: str) -> str:
        """What of the text comes after what was delivered of the part."""
        if not text or part not in self._open:
            return text
        delivered, seen = self._delivered[part], self._seen[part]
        again = text[: len(delivered) - seen]
        if not delivered.startswith(again, seen):
            raise Diverged
        self._seen[part] = seen + len(again)
        if self._seen[part] == len(delivered):
            self._open.discard(part)
        return text[len(again) :]

    def _call_past(self, index: int, call: ToolCallDelta) -> ToolCallDelta | None:
        """The call without what was delivered of it. It keeps the id that it was delivered with."""
        part = (index, f"call {call.index}")
        if part not in self._delivered:
            return call
        if not self._delivered[part]:
            return ToolCallDelta(index=call.index, name=call.name, arguments=call.arguments)
        if part not in self._open:
            return ToolCallDelta(index=call.index, arguments=call.arguments) if call.arguments else None
        rest = self._past(part, call.name + call.arguments)
        return ToolCallDelta(index=call.index, arguments=rest) if rest else None
