"""The blocks of a streamed answer: each opens, gathers deltas, and closes.

Text, thinking and tool calls are told as they come. Every other kind, such as a call of one of the server's own tools
and what came of it, is told whole, when it is.
"""

from __future__ import annotations

from services.providers.adapters.anthropic.citations import read_citation
from services.providers.adapters.anthropic.extra import NAME
from services.providers.adapters.anthropic.response import kept, read_call, read_part
from services.providers.domain.json_objects import Json, decode_json
from tollway.chat.v1 import chat_pb2


class Plain:
    """Text or thinking. `place` is where it stands among the answer's parts."""

    def __init__(self, start: Json, place: int) -> None:
        self._thinking = start["type"] == "thinking"
        self._name = "thinking" if self._thinking else "text"
        self._kind = f"{self._name}_delta"
        self._start, self._place = start, place

    def begin(self, into: chat_pb2.Delta) -> bool:
        """What the block opens with, which may be more than nothing."""
        part = chat_pb2.ContentPart()
        read_part(self._start, part)
        into.part = self._place
        into.citations.extend(part.citations)
        into.extra_json = part.extra_json
        into.text = part.text
        if part.reasoning.text or part.reasoning.signature:
            into.reasoning.CopyFrom(part.reasoning)
            if not part.reasoning.signature:
                into.reasoning.ClearField("issuer")
        return bool(into.text or into.extra_json or into.citations or into.HasField("reasoning"))

    def text_in(self, delta: Json) -> str | None:
        """The text of a delta that brings nothing else; None of any other."""
        if delta["type"] != self._kind or len(delta) != 2:
            return None
        text = delta[self._name]
        if type(text) is not str:
            raise TypeError("text that is none")
        return text

    def say(self, text: str, into: chat_pb2.Delta) -> None:
        if self._place:
            into.part = self._place
        if self._thinking:
            into.reasoning.text = text
        else:
            into.text = text

    def read(self, delta: Json, into: chat_pb2.Delta) -> None:
        """What proves thinking, where text is from, or something new: kept as it is."""
        into.part = self._place
        kind = delta.pop("type")
        if kind == self._kind:
            self.say(delta.pop(self._name), into)
        elif kind == "signature_delta":
            into.reasoning.signature, into.reasoning.issuer = delta.pop("signature"), NAME
        elif kind == "citations_delta":
            read_citation(delta.pop("citation"), into.citations.add())
        else:
            delta["type"] = kind
        into.extra_json = kept(delta)

    def end(self, into: chat_pb2.Delta) -> bool:
        return False


class ToolUse:
    """A call of one of the client's tools. `place` is where it stands among the answer's calls."""

    def __init__(self, start: Json, place: int) -> None:
        self._start, self._place = start, place
        self._opening = ""
        """The arguments that were there from the beginning, in case no others come."""
        self._spoken = False

    def begin(self, into: chat_pb2.Delta) -> bool:
        call = into.tool_calls.add()
        read_call(self._start, call)
        call.index = self._place
        self._opening, call.arguments = call.arguments, ""
        return True

    def read(self, delta: Json, into: chat_pb2.Delta) -> None:
        call = into.tool_calls.add(index=self._place)
        if delta.get("type") == "input_json_delta":
            delta.pop("type")
            call.arguments = delta.pop("partial_json")
            self._spoken = self._spoken or bool(call.arguments)
        call.extra_json = kept(delta)

    def end(self, into: chat_pb2.Delta) -> bool:
        """Who calls a tool without arguments writes none: an object all the same, as in an answer that comes whole."""
        if self._spoken:
            return False
        into.tool_calls.add(index=self._place, arguments=self._opening)
        return True


class Opaque:
    """A block of any other kind. `place` is where it stands among the answer's parts."""

    def __init__(self, start: Json, place: int) -> None:
        self._start, self._place = start, place
        self._input: list[str] = []
        self._size = 0

    def begin(self, into: chat_pb2.Delta) -> bool:
        return False

    def gather(self, delta: Json, limit: int) -> None:
        """Adds a delta to the block: JSON to its `input`, and any other field to the one of the same name.

        Raises ValueError where it all comes to more bytes than `limit`.
        """
        self._size += sum(len(value) for value in delta.values() if isinstance(value, str))
        if self._size > limit:
            raise ValueError("a block of more bytes than are read")
        kind = delta.pop("type")
        if kind == "input_json_delta":
            self._input.append(delta.pop("partial_json"))
        for name, value in delta.items():
            before = self._start.get(name)
            both = isinstance(before, str) and isinstance(value, str)
            self._start[name] = before + value if both else value

    def end(self, into: chat_pb2.Delta) -> bool:
        if written := "".join(self._input):
            self._start["input"] = decode_json(written)
        into.part = self._place
        read_part(self._start, into.parts.add())
        return True


class Redacted(Opaque):
    """Thinking that is shown only encrypted. It comes whole."""

    def end(self, into: chat_pb2.Delta) -> bool:
        part = chat_pb2.ContentPart()
        read_part(self._start, part)
        into.part = self._place
        into.reasoning.CopyFrom(part.reasoning)
        into.extra_json = part.extra_json
        return True


Block = Plain | ToolUse | Opaque


def opened(start: Json, place: int) -> Block:
    """The block that opens with these fields."""
    kind = start["type"]
    if kind in ("text", "thinking"):
        return Plain(start, place)
    if kind == "tool_use":
        return ToolUse(start, place)
    return Redacted(start, place) if kind == "redacted_thinking" else Opaque(start, place)
