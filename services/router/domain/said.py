"""What an answer has said so far, so that it can be gone on with after it broke off."""

from __future__ import annotations

from collections.abc import Iterable

from tollway.chat.v1.chat_pb2 import Delta, FinishReason

Part = tuple[int, str]
"""Something that is said in pieces: a choice's index, and `text`, `refusal`, `reasoning` or `call 0`."""

TEXT: Part = (0, "text")
_MOST_KEPT = 2**20
_TEXT_FIELD = Delta.DESCRIPTOR.fields_by_name["text"]
_WITHOUT_CONTENT = frozenset(
    {
        "index",
        "role",
        "part",
        "finish_reason",
        "native_finish_reason",
        "stop_sequence",
        "choice_extra_json",
        "extra_json",
    }
)


class Said:
    """What was said, part by part. Of an answer of more than a million characters, only their number is kept."""

    __slots__ = ("_pieces", "characters", "finishes", "kept")

    def __init__(self) -> None:
        self._pieces: dict[Part, list[str]] = {}
        self.characters = 0
        self.finishes: dict[int, FinishReason.ValueType] = {}
        """Why each choice ended that did."""
        self.kept = True
        """Whether all of it is here, in words that can be compared."""

    def add(self, deltas: Iterable[Delta]) -> None:
        """What these deltas say, after what was said before."""
        for delta in deltas:
            fields = delta.ListFields()
            if len(fields) == 1 and fields[0][0] is _TEXT_FIELD:
                self._put(TEXT, fields[0][1])
            else:
                self._add(delta)
        if self.characters > _MOST_KEPT and self.kept:
            self.kept = False
            self._pieces.clear()

    def _add(self, delta: Delta) -> None:
        index = delta.index
        for field, value in delta.ListFields():
            match field.name:
                case "text" | "refusal":
                    self._put((index, field.name), value)
                case "reasoning":
                    self._put((index, "reasoning"), value.text)
                    self.characters += len(value.redacted)
                    # What a provider signs or encrypts is its own, and no other says it the same way.
                    self.kept = self.kept and not value.redacted and not value.signature
                case "tool_calls":
                    for call in value:
                        self._put((index, f"call {call.index}"), call.name + call.arguments)
                        self.kept = self.kept and not call.extra_json and call.type in ("", "function")
                case name if name not in _WITHOUT_CONTENT:
                    self.kept = False
        if b'"audio"' in delta.extra_json:
            self.kept = False

    def _put(self, part: Part, text: str) -> None:
        self.characters += len(text)
        if self.kept:
            self._pieces.setdefault(part, []).append(text)

    def texts(self) -> dict[Part, str]:
        """Everything that was said."""
        return {part: "".join(pieces) for part, pieces in self._pieces.items()}

    def followed_by(self, later: Said) -> Said:
        """Both, one after the other."""
        both = Said()
        both.characters = self.characters + later.characters
        both.kept = self.kept and later.kept and both.characters <= _MOST_KEPT
        both.finishes = {**self.finishes, **later.finishes}
        if both.kept:
            for said in (self, later):
                for part, text in said.texts().items():
                    both._pieces.setdefault(part, []).append(text)
        return both
