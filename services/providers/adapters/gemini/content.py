"""What a message says, as Gemini's parts, in order; tool calls come after the rest."""

from __future__ import annotations

from collections.abc import Sequence

from services.providers.adapters.gemini import media
from services.providers.adapters.gemini.telling import DIALECT, Telling
from services.providers.domain.json_objects import Json, as_it_stands, json_object
from services.providers.domain.own_words import is_told_in, turn_part_away
from tollway.chat.v1 import chat_pb2


def parts_of(message: chat_pb2.Message, path: str, telling: Telling) -> list[Json]:
    """The message's parts. Empty: it says nothing."""
    said: list[Json] = []
    waiting = ""
    for i, part in enumerate(message.content):
        here = f"{path}.content[{i}]"
        if part.WhichOneof("part") == "reasoning" and not _sayable(part.reasoning, here, telling):
            continue
        if _bare_proof(part):
            waiting = _prove(said, waiting, part.reasoning.signature)
        elif (one := _part(part, here, telling)) is not None:
            if waiting and not one.get("thought"):
                one.setdefault("thoughtSignature", waiting)
                waiting = ""
            said.append(one)
    if waiting:
        said.append({"text": "", "thoughtSignature": waiting})
    calls = (_call(call, f"{path}.tool_calls[{i}]", telling) for i, call in enumerate(message.tool_calls))
    return said + [call for call in calls if call]


def texts_of(content: Sequence[chat_pb2.ContentPart]) -> list[str]:
    """The words in it."""
    return [part.text or part.refusal for part in content if part.WhichOneof("part") in ("text", "refusal")]


def _sayable(thinking: chat_pb2.ReasoningPart, path: str, telling: Telling) -> bool:
    """Whether Gemini would take it: its own proofs alone, and nothing that is encrypted for another."""
    foreign = thinking.issuer not in ("", DIALECT)
    if thinking.redacted or (foreign and thinking.signature):
        telling.unsaid.leave_out(path)
        return False
    return True


def _bare_proof(part: chat_pb2.ContentPart) -> bool:
    """Gemini signs parts of any kind; a signature of other than thinking stands after its part, on its own."""
    return bool(part.reasoning.signature and not part.reasoning.text)


def _prove(said: list[Json], waiting: str, signature: str) -> str:
    """Puts a signature back on the part before it, and returns what has to wait for the part that comes next.

    A dialect that has one place for all thinking gives it out before the text that it belongs to.
    """
    if said and not said[-1].get("thought") and "thoughtSignature" not in said[-1]:
        said[-1]["thoughtSignature"] = signature
        return waiting
    if waiting:
        said.append({"text": "", "thoughtSignature": waiting})
    return signature


def _part(part: chat_pb2.ContentPart, path: str, telling: Telling) -> Json | None:
    """None: it says nothing, or had to be left out."""
    if part.HasField("cache_control"):
        telling.unsaid.leave_out(f"{path}.cache_control")
    if part.citations:
        telling.unsaid.leave_out(f"{path}.citations")
    kind = part.WhichOneof("part")
    if kind is None:
        return _unknown(part, path, telling)
    said = _known(part, kind, path, telling)
    if said is not None:
        telling.lay_over(said, part, path)
    return None if said == {"text": ""} else said  # which Gemini refuses, and others send beside tool calls


def _known(part: chat_pb2.ContentPart, kind: str, path: str, telling: Telling) -> Json | None:
    if kind == "image":
        return media.image(part.image, f"{path}.image", telling)
    if kind == "audio":
        return media.audio(part.audio, f"{path}.audio", telling)
    if kind == "file":
        return media.file(part.file, f"{path}.file", telling)
    if kind == "reasoning":
        return _thought(part.reasoning)
    return {"text": part.text or part.refusal}  # a refusal is what the model said


def _thought(thinking: chat_pb2.ReasoningPart) -> Json | None:
    if not thinking.text:
        return None
    said: Json = {"text": thinking.text, "thought": True}
    if thinking.signature:
        said["thoughtSignature"] = thinking.signature
    return said


def _unknown(part: chat_pb2.ContentPart, path: str, telling: Telling) -> Json | None:
    if is_told_in(DIALECT, part.extra_json, path, own=telling.own):
        return telling.lay_over({}, part, path)
    turn_part_away(part.extra_json, path, "is of a kind that has no place in Gemini's API", telling.unsaid)
    return None


def _call(call: chat_pb2.ToolCall, path: str, telling: Telling) -> Json:
    """Empty: it had to be left out."""
    said: Json = {}
    if call.type in ("", "function"):
        json_object(call.arguments, f"{path}.arguments")
        # As the model wrote them: read only to know that they are an object.
        function: Json = {"name": call.name, "args": as_it_stands(call.arguments or "{}")}
        said["functionCall"] = {"id": call.id, **function} if call.id else function
    elif not telling.own:
        telling.unsaid.refuse(f"{path}.type", "names a kind of call that has no place in Gemini's API")
        return {}
    if call.signature:
        said["thoughtSignature"] = call.signature
    return telling.lay_over(said, call, path)
