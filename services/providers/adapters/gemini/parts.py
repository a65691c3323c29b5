"""The parts of an answer, from Gemini's JSON. What has no field of its own is kept, as JSON, where it stood."""

from __future__ import annotations

from base64 import b64decode
from hashlib import sha256

from services.providers.adapters.gemini.telling import DIALECT
from services.providers.domain.json_objects import Json, encode_json
from tollway.chat.v1 import chat_pb2


def take_signature(part: Json) -> str:
    """Takes the proof out of a part that says something we know, for it to be told on its own."""
    signature: str = part.pop("thoughtSignature", "") if _is_known(part) else ""
    return signature


def proof(signature: str) -> chat_pb2.ReasoningPart:
    return chat_pb2.ReasoningPart(signature=signature, issuer=DIALECT)


def content_part(part: Json) -> chat_pb2.ContentPart:
    """The part, but for its signature. Code that was run, and pictures of thinking, travel whole in `extra_json`."""
    said = chat_pb2.ContentPart()
    if _is_known(part):
        thought = part.pop("thought", False)
        if "text" in part:
            if thought:
                said.reasoning.text = part.pop("text")
            else:
                said.text = part.pop("text")
        elif "inlineData" in part:
            _inline(part["inlineData"], said)
            _drop_if_empty(part, "inlineData")
        else:
            _located(part["fileData"], said)
            _drop_if_empty(part, "fileData")
    if part:
        said.extra_json = encode_json(part)
    return said


def _is_known(part: Json) -> bool:
    return "text" in part or "functionCall" in part or (
        ("inlineData" in part or "fileData" in part) and not part.get("thought")
    )  # fmt: skip


def _drop_if_empty(part: Json, name: str) -> None:
    if not part[name]:
        del part[name]


def _inline(blob: Json, into: chat_pb2.ContentPart) -> None:
    kind, data = blob.pop("mimeType", None) or "", b64decode(blob.pop("data", None) or "")
    if kind.startswith("image/"):
        into.image.data, into.image.media_type = data, kind
    elif kind.startswith("audio/"):
        # A bare name where that says it all; `audio/L16;codec=pcm;rate=24000` stays what it is.
        into.audio.data, into.audio.format = data, kind if ";" in kind else kind.removeprefix("audio/")
    else:
        into.file.data, into.file.media_type = data, kind


def _located(place: Json, into: chat_pb2.ContentPart) -> None:
    kind, address = place.pop("mimeType", None) or "", place.pop("fileUri", None) or ""
    if kind.startswith("image/"):
        into.image.url, into.image.media_type = address, kind
    else:
        into.file.url, into.file.media_type = address, kind


def tool_call(part: Json, answer: str, choice: int, place: int) -> chat_pb2.ToolCall:
    """The call in a part, with its signature. `answer`, `choice` and `place` say where it stands: see `_made_up_id`.

    Raises KeyError for a piece of a call, which has no name, and ValueError for one that goes on: neither was asked
    for.
    """
    function = part.pop("functionCall")
    call = chat_pb2.ToolCall(type="function", name=function.pop("name"))
    if function.get("willContinue"):
        raise ValueError("a piece of a call")
    args = function.pop("args", None)
    call.arguments = encode_json({} if args is None else args).decode()
    call.id = function.pop("id", None) or _made_up_id(answer, choice, place, call)
    call.signature = part.pop("thoughtSignature", None) or ""
    if function:
        part["functionCall"] = function
    if part:
        call.extra_json = encode_json(part)
    return call


def _made_up_id(answer: str, choice: int, place: int, call: chat_pb2.ToolCall) -> str:
    """Models before the third generation give none. The same answer gets the same ids, however its stream is cut."""
    stands = f"{answer}/{choice}/{place}/{call.name}/{call.arguments}"
    return f"call_{sha256(stands.encode()).hexdigest()[:24]}"
