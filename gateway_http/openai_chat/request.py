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
    here,
    into,
    json_of,
    keep,
    map_into,
    number,
    number_into,
    read_each,
    read_fields,
    strings_into,
    under,
    whole_number,
    whole_number_into,
)
from gateway_http.model_names import check_required, read_model, take_models
from gateway_http.openai_chat.message import read_message
from gateway_http.openai_chat.response import encode_completion
from gateway_http.openai_chat.stream import ChunkEncoder
from gateway_http.openai_chat.tools import read_response_format, read_tool, read_tool_choice
from mesh.bounds import MAX_CHOICES
from tollway.chat.v1 import chat_pb2 as pb
from tollway.router.v1.router_pb2 import CreateChatCompletionRequest, StreamChatCompletionRequest


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
        stream, models = take_stream(fields), take_models(fields)
        check_required(fields, max_messages)
        request = StreamChatCompletionRequest() if stream.wanted else CreateChatCompletionRequest()
        if models:
            request.preferences.models.extend(models)
        request.chat.extra_json = json_of(read_fields(_REQUEST, request.chat, fields))
    except Wrong as wrong:
        raise wrong.as_error() from None
    return Decoded(request, Answering(include_usage=stream.include_usage))


class Streamed:
    """What a request says about how it wants to be answered."""

    wanted = False
    include_usage = False


def take_stream(fields: dict[str, Any]) -> Streamed:
    """Takes `stream` out of the fields, and of `stream_options` what is answered here."""
    stream = Streamed()
    if own := {name: fields.pop(name) for name in _STREAM if name in fields}:
        fields.update(read_fields(_STREAM, stream, own) or {})
        if not stream.wanted and own.get("stream_options") is not None:
            raise Wrong("is only allowed where stream is true", "stream_options")
    return stream


def _messages(chat: pb.ChatRequest, value: Any) -> None:
    if not a(list, value):
        raise Wrong("must hold at least one message")
    read_each(lambda item: read_message(chat.messages.add(), item), value)


def choice_count(chat: pb.ChatRequest, value: Any) -> None:
    if not 1 <= whole_number(value, 32) <= MAX_CHOICES:
        raise Wrong(f"must be from 1 to {MAX_CHOICES}")
    chat.choice_count = value


def _stop(sampling: pb.SamplingOptions, value: Any) -> None:
    if isinstance(value, str):
        sampling.stop.append(value)
    else:
        strings_into("stop")(sampling, value)


# The tables: what each kind of object has a place for.

_STREAM: Readers = {
    "stream": into("wanted", bool),
    "stream_options": here({"include_usage": into("include_usage", bool)}),
}

SAMPLING: Readers = {
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

_REASONING: Readers = {
    "effort": into("reasoning_effort", str),
    "max_tokens": whole_number_into("reasoning_budget_tokens", 64),
    "summary": into("reasoning_summary", str),
}
"""As OpenRouter's clients say it."""

_CARRIED = (
    "audio",
    "function_call",
    "functions",
    "moderation",
    "prediction",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "safety_identifier",
    "store",
    "verbosity",
    "web_search_options",
)
"""OpenAI's parameters that have no place in the messages, and travel under their own names."""

_REQUEST: Readers = {
    "model": read_model,
    "messages": _messages,
    **{name: under("sampling", reader) for name, reader in SAMPLING.items()},
    "tools": lambda chat, value: read_each(partial(read_tool, chat), value),
    "tool_choice": under("tool_choice", read_tool_choice),
    "parallel_tool_calls": into("parallel_tool_calls", bool),
    "response_format": under("response_format", read_response_format),
    "n": choice_count,
    "reasoning_effort": into("reasoning_effort", str),
    "modalities": strings_into("modalities"),
    "service_tier": into("service_tier", str),
    "metadata": map_into("metadata", partial(a, str)),
    "user": into("user", str),
    "reasoning": here(_REASONING),
    **dict.fromkeys(_CARRIED, keep),
}
