"""The items of a conversation in OpenAI's Responses, from JSON to the messages of `tollway.chat.v1`.

What the model did in one turn (its thinking, what it said, the tools it called) are items of their own there, and one
message here. Ids and states of items are labels for a server that stores them, and are not carried on.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from gateway_http.field_reading import (
    Readers,
    Wrong,
    a,
    at,
    base64,
    encode_json,
    here,
    into,
    json_of,
    keep,
    read_fields,
    skip,
)
from gateway_http.foreign import read_proof
from gateway_http.openai_chat.foreign_parts import take_parts
from gateway_http.openai_responses.content import read_content
from tollway.chat.v1 import chat_pb2 as pb

OWN = "openai_responses"
"""The dialect, as issuers and extra fields name it."""
OF_TEXT = "signature:"
"""What a proof begins with that proves a text which is shown, and is not the thinking itself, encrypted."""
MADE_ELSEWHERE = "ig_tollway"
"""How the id of a picture begins that a provider of another dialect made."""

_ROLES = {
    "system": pb.ROLE_SYSTEM,
    "developer": pb.ROLE_DEVELOPER,
    "user": pb.ROLE_USER,
    "assistant": pb.ROLE_ASSISTANT,
}


def read_item(chat: pb.ChatRequest, value: Any) -> None:
    item = a(dict, value)
    kind = item.get("type") or ("message" if "role" in item else None)
    if kind is None:
        raise Wrong("must be given: the kind of this item", "type")
    reader = _ITEMS.get(at("type", partial(a, str), kind))
    if reader is not None:
        reader(chat, item)
    elif kind.endswith("_output"):
        answer = chat.messages.add(role=pb.ROLE_TOOL)
        answer.tool_call_id = item["call_id"] if isinstance(item.get("call_id"), str) else ""
        answer.content.add().extra_json = encode_json(item)
    else:  # a kind that a server of this dialect may know
        _turn(chat).content.add().extra_json = encode_json(item)


def _turn(chat: pb.ChatRequest) -> pb.Message:
    """The message of what the model did since somebody else last spoke."""
    if chat.messages and chat.messages[-1].role == pb.ROLE_ASSISTANT:
        return chat.messages[-1]
    return chat.messages.add(role=pb.ROLE_ASSISTANT)


def _message(chat: pb.ChatRequest, item: dict[str, Any]) -> None:
    message = pb.Message()
    left = read_fields(_MESSAGE, message, item) or {}
    take_parts(message, left)
    message.extra_json = json_of(left)
    if not message.role:
        raise Wrong("must be given", "role")
    last = chat.messages[-1] if chat.messages else None
    if last is not None and last.role == message.role == pb.ROLE_ASSISTANT and _is_one(last, message):
        last.content.extend(message.content)
        last.extra_json = message.extra_json
    else:
        chat.messages.append(message)


def _is_one(turn: pb.Message, message: pb.Message) -> bool:
    """Whether a message of the model's goes on with its turn: what one has beside its words is not said of others'."""
    if turn.extra_json:
        return False
    return not message.extra_json or not (turn.tool_calls or any(map(_is_said, turn.content)))


def _is_said(part: pb.ContentPart) -> bool:
    """Whether it is anything but thinking, or an item of a kind that has no place."""
    return part.WhichOneof("part") not in ("reasoning", None)


def _role(message: pb.Message, value: Any) -> None:
    role = _ROLES.get(a(str, value))
    if role is None:
        raise Wrong(f"must be one of {', '.join(_ROLES)}")
    message.role = role


def _reasoning(chat: pb.ChatRequest, item: dict[str, Any]) -> None:
    thought = pb.ContentPart()
    thought.reasoning.SetInParent()
    thought.extra_json = json_of(read_fields(_REASONING, thought, item))
    _turn(chat).content.append(thought)


def _words(part: pb.ContentPart, value: Any) -> None:
    """Thinking, as its summary or as it was; where there are both, the second says more."""
    message = pb.Message()
    words = [{**item, "type": "summary_text"} if isinstance(item, dict) else item for item in a(list, value)]
    read_content(message, words)
    text = "\n\n".join(said.text for said in message.content)
    part.reasoning.text = text or part.reasoning.text


def _encrypted(part: pb.ContentPart, value: Any) -> None:
    part.reasoning.issuer, proof = read_proof(a(str, value), OWN)
    if proof.startswith(OF_TEXT):
        part.reasoning.signature = proof.removeprefix(OF_TEXT)
    else:
        part.reasoning.redacted = proof.encode()


def _picture(chat: pb.ChatRequest, item: dict[str, Any]) -> None:
    """A picture that the model made. One that was made elsewhere has nothing that its provider would have to be told.

    Where there is none (it is still being made, or could not be) the item is carried whole.
    """
    picture = pb.ContentPart()
    left = read_fields(_PICTURE, picture, item) or {}
    if picture.image.WhichOneof("source") is None:
        _turn(chat).content.add().extra_json = encode_json(item)
        return
    label = item.get("id")
    if isinstance(label, str) and not label.startswith(MADE_ELSEWHERE):
        left = {name: value for name, value in item.items() if name != "result" and value is not None}
    picture.extra_json = json_of(left)
    _turn(chat).content.append(picture)


def _drawn(part: pb.ContentPart, value: Any) -> None:
    part.image.data = base64(value)
    part.image.media_type = part.image.media_type or "image/png"


def _format(part: pb.ContentPart, value: Any) -> None:
    part.image.media_type = f"image/{a(str, value)}"


def _address(part: pb.ContentPart, value: Any) -> None:
    name = "url" if a(str, value).startswith(("http://", "https://", "data:")) else "file_id"
    setattr(part.image, name, value)


def _call(kind: str, readers: Readers) -> Callable[[pb.ChatRequest, dict[str, Any]], None]:
    def read(chat: pb.ChatRequest, item: dict[str, Any]) -> None:
        call = pb.ToolCall(type=kind)
        call.extra_json = json_of(read_fields(readers, call, item))
        for name, given in (("call_id", call.id), ("name", call.name)):
            if not given:
                raise Wrong("must be given", name)
        turn = _turn(chat)
        call.place = len(turn.content)
        turn.tool_calls.append(call)

    return read


def _answer(chat: pb.ChatRequest, item: dict[str, Any]) -> None:
    message = pb.Message(role=pb.ROLE_TOOL)
    message.extra_json = json_of(read_fields(_ANSWER, message, item))
    if not message.tool_call_id:
        raise Wrong("must be given", "call_id")
    if item.get("output") is None:
        raise Wrong("must be given", "output")
    chat.messages.append(message)


def _reference(chat: pb.ChatRequest, item: dict[str, Any]) -> None:
    raise Wrong("cannot be an item_reference: nothing is stored here, send the item itself", "type")


_LABELS: Readers = {"type": skip, "id": skip, "status": skip}
_MESSAGE: Readers = {**_LABELS, "role": _role, "content": read_content, "phase": keep, "content_parts": keep}
_PICTURE: Readers = {**_LABELS, "result": _drawn, "output_format": _format, "url": _address}
_REASONING: Readers = {**_LABELS, "summary": _words, "content": _words, "encrypted_content": _encrypted}
_ANY_CALL: Readers = {
    **_LABELS,
    "call_id": into("id", str),
    "name": into("name", str),
    "extra_content": here({"google": here({"thought_signature": into("signature", str)})}),
    "caller": keep,
    "namespace": keep,
}
_CALL: Readers = {**_ANY_CALL, "arguments": into("arguments", str)}
_CUSTOM_CALL: Readers = {**_ANY_CALL, "input": into("arguments", str)}
_ANSWER: Readers = {**_LABELS, "call_id": into("tool_call_id", str), "output": read_content, "caller": keep}

_ITEMS: dict[str, Callable[[pb.ChatRequest, dict[str, Any]], None]] = {
    "message": _message,
    "reasoning": _reasoning,
    "image_generation_call": _picture,
    "function_call": _call("function", _CALL),
    "custom_tool_call": _call("custom", _CUSTOM_CALL),
    "function_call_output": _answer,
    "custom_tool_call_output": _answer,
    "item_reference": _reference,
}
