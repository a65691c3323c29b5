"""Anthropic's Messages request, from JSON to `tollway.chat.v1`.

Source: Anthropic's Messages API. As everywhere at the edge, what a table does not name is kept in the `extra_json` of
the message it belongs to, and nothing but types and what must be there is checked.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from gateway_http.anthropic.content import cache_control
from gateway_http.anthropic.message import read_system, read_turn
from gateway_http.anthropic.output import OUTPUT
from gateway_http.anthropic.response import encode_answer
from gateway_http.anthropic.stream import EventEncoder
from gateway_http.anthropic.tools import TOOLS
from gateway_http.dialect import Decoded, Identity
from gateway_http.field_reading import (
    Readers,
    Wrong,
    a,
    into,
    json_of,
    number_into,
    read_each,
    read_fields,
    strings_into,
    under,
    whole_number_into,
)
from gateway_http.json_input import name_of
from gateway_http.model_names import check_required, read_model, take_models
from tollway.chat.v1 import chat_pb2 as pb
from tollway.router.v1.router_pb2 import (
    CountTokensRequest,
    CreateChatCompletionRequest,
    StreamChatCompletionRequest,
)

_STANDARD_ONLY = "standard_only"


class Answering:
    """Implements `dialect.Answering`."""

    def whole(self, chat: pb.ChatResponse, identity: Identity) -> bytes:
        return encode_answer(chat, identity)

    def stream(self, identity: Identity) -> EventEncoder:
        return EventEncoder(identity)


def decode(fields: dict[str, Any], max_messages: int) -> Decoded:
    """The call that a request's JSON object asks for, and how it is answered. Takes `fields` apart.

    Raises INVALID_REQUEST with the path of the field that cannot be accepted.
    """
    try:
        streamed = _take_stream(fields)
        if fields.get("max_tokens") is None:
            raise Wrong("must be given: the most tokens that the answer may have", "max_tokens")
        request = StreamChatCompletionRequest() if streamed else CreateChatCompletionRequest()
        _read(request, fields, max_messages)
    except Wrong as wrong:
        raise wrong.as_error() from None
    return Decoded(request, Answering())


def decode_count(fields: dict[str, Any], max_messages: int) -> CountTokensRequest:
    """The question whose tokens are to be counted. Takes `fields` apart. Raises INVALID_REQUEST as `decode` does."""
    try:
        request = CountTokensRequest()
        _read(request, fields, max_messages)
    except Wrong as wrong:
        raise wrong.as_error() from None
    return request


def _read(
    request: CreateChatCompletionRequest | StreamChatCompletionRequest | CountTokensRequest,
    fields: dict[str, Any],
    max_messages: int,
) -> None:
    models = take_models(fields)
    check_required(fields, max_messages)
    if models:
        request.preferences.models.extend(models)
    chat = request.chat
    chat.dialect = "anthropic"
    ordered = {name: fields.pop(name) for name in _FIRST if name in fields}
    chat.extra_json = json_of(read_fields(_REQUEST, chat, {**ordered, **fields}))


def _take_stream(fields: dict[str, Any]) -> bool:
    value = fields.pop("stream", None)
    if value is not None and type(value) is not bool:
        raise Wrong(f"must be a boolean, not {name_of(value)}", "stream")
    return bool(value)


def _messages(chat: pb.ChatRequest, value: Any) -> None:
    if not a(list, value):
        raise Wrong("must hold at least one message")
    read_each(partial(read_turn, chat), value)


def _service_tier(chat: pb.ChatRequest, value: Any) -> None:
    chat.service_tier = "default" if a(str, value) == _STANDARD_ONLY else value


def _cache_up_to_the_end(chat: pb.ChatRequest, value: Any) -> Any:
    """The request's own `cache_control` stands for one on the last block that can have it.

    Where that has one, or is a tool's call, which has no place for it, it stays the request's own.
    """
    last = chat.messages[-1]
    ends = last.content[-1] if last.content and not last.tool_calls else None
    if ends is None or ends.HasField("cache_control") or ends.WhichOneof("part") not in ("text", "image", "file"):
        return value
    return cache_control(ends, value)


# The tables: what each kind of object has a place for.

_FIRST = ("model", "system", "messages")
"""What others build on, or what has to come before."""

_SAMPLING: Readers = {
    "max_tokens": whole_number_into("max_output_tokens", 64),
    "temperature": number_into("temperature"),
    "top_p": number_into("top_p"),
    "top_k": whole_number_into("top_k", 32),
    "stop_sequences": strings_into("stop"),
}

_REQUEST: Readers = {
    "model": read_model,
    "system": read_system,
    "messages": _messages,
    **{name: under("sampling", reader) for name, reader in _SAMPLING.items()},
    "cache_control": _cache_up_to_the_end,
    "metadata": lambda chat, value: read_fields({"user_id": into("user", str)}, chat, a(dict, value)),
    "service_tier": _service_tier,
    **TOOLS,
    **OUTPUT,
}
