"""The conversation, as Gemini's `systemInstruction` and `contents`.

What the system says comes first, wherever it stood: Gemini has one place for it. Neighbours of a role are one turn;
the answers of tools are a turn of their own, because they must follow the calls as one.
"""

from __future__ import annotations

from dataclasses import dataclass

from msgspec import Raw

from mesh.errors import invalid
from services.providers.adapters.gemini.content import parts_of, texts_of
from services.providers.adapters.gemini.telling import Telling
from services.providers.domain.json_objects import Json, as_it_stands, decode_json, merge
from tollway.chat.v1 import chat_pb2

_KINDS = {
    chat_pb2.ROLE_SYSTEM: "system",
    chat_pb2.ROLE_DEVELOPER: "system",
    chat_pb2.ROLE_USER: "user",
    chat_pb2.ROLE_ASSISTANT: "model",
    chat_pb2.ROLE_TOOL: "tool",
    chat_pb2.ROLE_FUNCTION: "tool",
}
_STAND_IN = "skip_thought_signature_validator"
"""Google's documentation of thought signatures names it for calls that Gemini did not make: from the third generation
on, a call of the current turn without any signature is refused."""


@dataclass(slots=True)
class _Turn:
    kind: str
    content: Json

    @property
    def parts(self) -> list[Json]:
        parts: list[Json] = self.content["parts"]
        return parts


def put_conversation(chat: chat_pb2.ChatRequest, body: Json, telling: Telling, *, stand_in: bool) -> None:
    """Puts the messages into the body. `stand_in`: calls of the current turn that nobody signed get a stand-in."""
    system: list[Json] = []
    turns: list[_Turn] = []
    names: dict[str, str] = {}
    for i, message in enumerate(chat.messages):
        path = f"chat.messages[{i}]"
        kind = _KINDS.get(message.role)
        if kind is None:
            raise invalid(f"{path}.role", "is missing")
        names.update((call.id, call.name) for call in message.tool_calls)
        if kind == "tool":
            _add(turns, kind, [{"functionResponse": _answer(message, names, path, telling)}])
            continue
        if message.name:
            telling.unsaid.refuse(f"{path}.name", "has no place in Gemini's API")
        parts, extra = parts_of(message, path, telling), telling.lay_over({}, message, path)
        if kind == "system":
            system += parts
        elif turn := _add(turns, kind, parts):
            merge(turn.content, extra)
    if stand_in:
        _stand_in(turns)
    if system:
        body["systemInstruction"] = {"parts": system}
    body["contents"] = [turn.content for turn in turns]


def _add(turns: list[_Turn], kind: str, parts: list[Json]) -> _Turn | None:
    """The turn that these parts now belong to. None: there are none, and the turn before is of another kind."""
    if turns and turns[-1].kind == kind:
        turns[-1].parts.extend(parts)
        return turns[-1]
    if not parts:
        return None
    turns.append(_Turn(kind, {"role": "model" if kind == "model" else "user", "parts": parts}))
    return turns[-1]


def _stand_in(turns: list[_Turn]) -> None:
    """Only the calls after the last thing that a user said are looked at, and of each turn the first."""
    for turn in reversed(turns):
        if turn.kind == "user":
            return
        first = next((part for part in turn.parts if "functionCall" in part), None)
        if first is not None:
            first.setdefault("thoughtSignature", _STAND_IN)


def _answer(message: chat_pb2.Message, names: dict[str, str], path: str, telling: Telling) -> Json:
    """A tool's answer: under `output`, or under `error` where it failed, with pictures and files beside it."""
    name = message.name or names.get(message.tool_call_id)
    if not name:
        raise invalid(f"{path}.tool_call_id", "must be the id of a tool call before it: Gemini wants the tool's name")
    said: Json = {"id": message.tool_call_id} if message.tool_call_id else {}
    texts = [_output(text) for text in texts_of(message.content)]
    output = texts[0] if len(texts) == 1 else texts or ""
    said |= {"name": name, "response": {"error" if message.tool_failed else "output": output}}
    shown = [part for part in parts_of(message, path, telling) if "text" not in part]
    if shown:
        said["parts"] = shown
    return telling.lay_over(said, message, path)


def _output(text: str) -> str | Raw:
    """What a tool says, as it said it: an object where it is one."""
    try:
        is_object = isinstance(decode_json(text), dict)
    except ValueError:
        is_object = False
    return as_it_stands(text) if is_object else text
