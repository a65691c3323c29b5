"""OpenAI's chat completion request, from JSON to `tollway.chat.v1`.

What a table does not name is kept in the `extra_json` of the message it belongs to. Nothing but types, and what must be
there, is checked here: which values make sense is the provider's to say.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from gateway_http.dialect import Decoded, Identity
from gateway_http.field_reading import (
    Readers,
    Wrong,
    a,
    encode_json,
    here,
    into,
    json_into,
    json_of,
    map_into,
    number,
    number_into,
    read_each,
    read_fields,
    skip,
    strings_into,
    under,
    whole_number,
    whole_number_into,
)
from gateway_http.openai_chat.message import read_message
from gateway_http.openai_chat.response import encode_completion
from gateway_http.openai_chat.stream import ChunkEncoder
from tollway.chat.v1 import chat_pb2 as pb
from tollway.router.v1.router_pb2 import CreateChatCompletionRequest, StreamChatCompletionRequest

_LONGEST_MODEL = 256
_MOST_MODELS = 16


class Answering:
    """How the answer is written. `include_usage`: a stream shows usage at its end. Implements `dialect.Answering`."""

    def __init__(self, *, include_usage: bool) -> None:
        self.include_usage = include_usage

    def whole(self, chat: pb.ChatResponse, identity: Identity) -> bytes:
        return encode_completion(chat, identity)

    def stream(self, identity: Identity) -> ChunkEncoder:
        return ChunkEncoder(identity, include_usage=self.include_usage)


def decode(fields: dict[str, Any], max_messages: int) -> Decoded:
    """The call that a request's JSON object asks for, and how it is answered. Takes `fields` apart.

    Raises INVALID_REQUEST with the path of the field that cannot be accepted.
    """
    try:
        stream, models = _take_stream(fields), _take_models(fields)
        _check_required(fields, max_messages)
        request = StreamChatCompletionRequest() if stream.wanted else CreateChatCompletionRequest()
        if models:
            request.preferences.models.extend(models)
        request.chat.extra_json = json_of(read_fields(_REQUEST, request.chat, fields))
    except Wrong as wrong:
        raise wrong.as_error() from None
    return Decoded(request, Answering(include_usage=stream.include_usage))


class _Stream:
    """What a request says about how it wants to be answered."""

    wanted = False
    include_usage = False


def _take_stream(fields: dict[str, Any]) -> _Stream:
    """Takes `stream` out of the fields, and of `stream_options` what is answered here."""
    stream = _Stream()
    if own := {name: fields.pop(name) for name in _STREAM if name in fields}:
        fields.update(read_fields(_STREAM, stream, own) or {})
        if not stream.wanted and own.get("stream_options") is not None:
            raise Wrong("is only allowed where stream is true", "stream_options")
    return stream


def _take_models(fields: dict[str, Any]) -> list[str]:
    """Takes `models` out of the fields: whom to ask after `model`. Without a `model`, the first of them is it."""
    given = fields.pop("models", None)
    if given is None:
        return []
    models: list[str] = []
    try:
        if len(a(list, given)) > _MOST_MODELS:
            raise Wrong(f"holds {len(given)} names; at most {_MOST_MODELS} are accepted")
        read_each(lambda name: models.append(_name(name)), given)
    except Wrong as wrong:
        wrong.rise("models")
        raise
    if models and fields.get("model") is None:
        fields["model"] = models.pop(0)
    return models


def _check_required(fields: dict[str, Any], max_messages: int) -> None:
    if fields.get("model") is None:
        raise Wrong("must be given: the name of the model to ask", "model")
    messages = fields.get("messages")
    if messages is None:
        raise Wrong("must be given: the conversation so far", "messages")
    if isinstance(messages, list) and len(messages) > max_messages:
        raise Wrong(f"holds {len(messages)} messages; at most {max_messages} are accepted", "messages")


def _model(chat: pb.ChatRequest, value: Any) -> None:
    chat.model = _name(value)


def _name(value: Any) -> str:
    name: str = a(str, value)
    if not 0 < len(name) <= _LONGEST_MODEL or not name.isprintable():
        raise Wrong(f"must be a name of 1 to {_LONGEST_MODEL} printable characters")
    return name


def _messages(chat: pb.ChatRequest, value: Any) -> None:
    if not a(list, value):
        raise Wrong("must hold at least one message")
    read_each(lambda item: read_message(chat.messages.add(), item), value)


def _choice_count(chat: pb.ChatRequest, value: Any) -> None:
    if whole_number(value, 32) < 1:
        raise Wrong("must be at least 1")
    chat.choice_count = value


def _stop(sampling: pb.SamplingOptions, value: Any) -> None:
    if isinstance(value, str):
        sampling.stop.append(value)
    else:
        strings_into("stop")(sampling, value)


# Tools, and the shape of the answer.


def _tool(chat: pb.ChatRequest, value: Any) -> None:
    tool = chat.tools.add(type="function")
    tool.extra_json = json_of(read_fields(_TOOL, tool, a(dict, value)))
    if tool.type == "function" and not tool.name:
        raise Wrong("must be given", "function", "name")


_CHOICE_MODES = {
    "auto": pb.TOOL_CHOICE_MODE_AUTO,
    "none": pb.TOOL_CHOICE_MODE_NONE,
    "required": pb.TOOL_CHOICE_MODE_REQUIRED,
}


def _tool_choice(choice: pb.ToolChoice, value: Any) -> None:
    if isinstance(value, str) and value in _CHOICE_MODES:
        choice.mode = _CHOICE_MODES[value]
        return
    if not isinstance(value, dict):
        raise Wrong(f"must be one of {', '.join(_CHOICE_MODES)}, or an object")
    left: dict[str, Any] | None = value
    if value.get("type") == "function":
        left = read_fields(_NAMED_CHOICE, choice, value)
        if not choice.name:
            raise Wrong("must be given", "function", "name")
        choice.mode = pb.TOOL_CHOICE_MODE_NAMED
    if left:  # `mode` does not say all of it, so it travels whole
        choice.extra_json = encode_json(value)


_FORMATS = {
    "text": pb.RESPONSE_FORMAT_KIND_TEXT,
    "json_object": pb.RESPONSE_FORMAT_KIND_JSON_OBJECT,
    "json_schema": pb.RESPONSE_FORMAT_KIND_JSON_SCHEMA,
}


def _response_format(answer: pb.ResponseFormat, value: Any) -> None:
    kind = a(dict, value).get("type")
    if not isinstance(kind, str):
        raise Wrong("must be given: the kind of format", "type")
    if kind not in _FORMATS:
        answer.extra_json = encode_json(value)
        return
    if kind == "json_schema" and value.get("json_schema") is None:
        raise Wrong("must be given", "json_schema")
    answer.kind = _FORMATS[kind]
    answer.extra_json = json_of(read_fields(_FORMAT, answer, value))


# The tables: what each kind of object has a place for.

_STREAM: Readers = {
    "stream": into("wanted", bool),
    "stream_options": here({"include_usage": into("include_usage", bool)}),
}

_SAMPLING: Readers = {
    "temperature": number_into("temperature"),
    "top_p": number_into("top_p"),
    "top_k": whole_number_into("top_k", 32),
    "seed": whole_number_into("seed", 64),
    "frequency_penalty": number_into("frequency_penalty"),
    "presence_penalty": number_into("presence_penalty"),
    "stop": _stop,
    "max_completion_tokens": whole_number_into("max_output_tokens", 64),
    "max_tokens": whole_number_into("max_tokens", 64),
    "logprobs": into("logprobs", bool),
    "top_logprobs": whole_number_into("top_logprobs", 32),
    "logit_bias": map_into("logit_bias", number),
}

_REQUEST: Readers = {
    "model": _model,
    "messages": _messages,
    **{name: under("sampling", reader) for name, reader in _SAMPLING.items()},
    "tools": lambda chat, value: read_each(partial(_tool, chat), value),
    "tool_choice": under("tool_choice", _tool_choice),
    "parallel_tool_calls": into("parallel_tool_calls", bool),
    "response_format": under("response_format", _response_format),
    "n": _choice_count,
    "reasoning_effort": into("reasoning_effort", str),
    "modalities": strings_into("modalities"),
    "service_tier": into("service_tier", str),
    "metadata": map_into("metadata", partial(a, str)),
    "user": into("user", str),
}

_TOOL: Readers = {
    "type": into("type", str),
    "function": here(
        {
            "name": into("name", str),
            "description": into("description", str),
            "parameters": json_into("parameters_json"),
            "strict": into("strict", bool),
        }
    ),
}

_NAMED_CHOICE: Readers = {"type": skip, "function": here({"name": into("name", str)})}

_FORMAT: Readers = {
    "type": skip,
    "json_schema": here(
        {
            "name": into("name", str),
            "description": into("description", str),
            "schema": json_into("schema_json"),
            "strict": into("strict", bool),
        }
    ),
}
