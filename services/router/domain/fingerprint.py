"""Whether two questions are the same one.

A fingerprint is made of what decides the answer: the chat, and the models that may give it. It is the same however a
client orders the fields of its JSON, and whether it leaves out a field or writes down the value that stands for leaving
it out. Everything else tells questions apart, the order of things inside a schema included: models see that.

Both sides of a comparison are made by this code. Should another version make them differently, a question is taken for
a new one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import blake2b
from typing import Any

import msgspec
from google.protobuf.message import Message

from tollway.chat.v1.chat_pb2 import ChatRequest, ResponseFormat, ResponseFormatKind

_SIZE = 20
_TEXT = ["text"]
_PLAIN = ResponseFormat(kind=ResponseFormatKind.RESPONSE_FORMAT_KIND_TEXT)
_EMPTY_WHERE_UNSET = ("sampling", "tool_choice", "response_format")
_read_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_write_json = msgspec.json.Encoder().encode


def fingerprint(chat: ChatRequest, models: Sequence[str]) -> bytes:
    """Of a question to `chat.model` and, where that cannot answer, `models`."""
    return _digest(_canonical(chat).SerializeToString(deterministic=True), *(model.encode() for model in models))


def fingerprint_of(message: Message, models: Sequence[str]) -> bytes:
    """Of a question that is no conversation: every word of it counts, and so does what kind it is."""
    kind = message.DESCRIPTOR.full_name.encode()
    return _digest(kind, message.SerializeToString(deterministic=True), *(model.encode() for model in models))


def _digest(*parts: bytes) -> bytes:
    made = blake2b(digest_size=_SIZE)
    for part in parts:
        made.update(b"%d:" % len(part))
        made.update(part)
    return made.digest()


def scoped(*names: str) -> str:
    """One name out of several, in the store's keys: no other names make the same one, and it tells none of them."""
    made = blake2b(digest_size=_SIZE)
    for written in (name.encode() for name in names):
        made.update(b"%d:%b" % (len(written), written))
    return made.hexdigest()


def _canonical(chat: ChatRequest) -> ChatRequest:
    """The chat as all chats that ask the same are written; itself where it is that already, which nearly all are."""
    if not (_has_spelled_out(chat) or any(message.extra_json for message in _objects(chat))):
        return chat
    copy = ChatRequest()
    copy.CopyFrom(chat)
    if copy.choice_count == 1:
        copy.ClearField("choice_count")
    if copy.modalities == _TEXT:
        copy.ClearField("modalities")
    if copy.response_format == _PLAIN:
        copy.ClearField("response_format")
    for message in _objects(copy):
        if message.extra_json:
            message.extra_json = _in_order(message.extra_json)
    for field in _EMPTY_WHERE_UNSET:
        if not getattr(copy, field).ByteSize():
            copy.ClearField(field)  # type: ignore[arg-type]  # they are fields
    return copy


def _has_spelled_out(chat: ChatRequest) -> bool:
    return (
        chat.choice_count == 1
        or chat.HasField("response_format")
        or chat.HasField("tool_choice")
        or (chat.HasField("sampling") and not chat.sampling.ByteSize())
        or bool(chat.modalities)
    )


def _objects(chat: ChatRequest) -> Iterator[Any]:
    """Whatever keeps fields that have no place of their own."""
    yield chat
    for message in chat.messages:
        yield message
        yield from message.content
        yield from message.tool_calls
    yield from chat.tools
    if chat.HasField("tool_choice"):
        yield chat.tool_choice
    if chat.HasField("response_format"):
        yield chat.response_format


def _in_order(fields: bytes) -> bytes:
    """A JSON object with its own fields in order, their values as they were written."""
    try:
        return _write_json(dict(sorted(_read_object(fields).items())))
    except msgspec.DecodeError:  # a caller's own bytes: nobody can say what order they are in
        return fields
