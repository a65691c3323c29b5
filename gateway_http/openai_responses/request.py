"""OpenAI's Responses request, from JSON to `tollway.chat.v1`."""

from __future__ import annotations

from functools import partial
from typing import Any

from gateway_http.dialect import Decoded, Identity
from gateway_http.field_reading import (
    Readers,
    Wrong,
    a,
    into,
    json_of,
    keep,
    map_into,
    number_into,
    read_each,
    read_fields,
    under,
    whole_number,
    whole_number_into,
)
from gateway_http.model_names import read_model, take_models
from gateway_http.openai_responses.items import OWN, read_item
from gateway_http.openai_responses.options import (
    read_include,
    read_reasoning,
    read_text_options,
    read_tool_choice,
    read_tools,
    refuse,
)
from gateway_http.openai_responses.response import encode_response
from gateway_http.openai_responses.settings import settings_json
from gateway_http.openai_responses.stream import EventEncoder
from mesh.call_places import forget_last_places
from tollway.chat.v1 import chat_pb2 as pb
from tollway.router.v1.router_pb2 import CreateChatCompletionRequest, StreamChatCompletionRequest


class Answering:
    """How the answer is written: `settings` is what it repeats of the question. Implements `dialect.Answering`."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self.settings = settings

    def whole(self, chat: pb.ChatResponse, identity: Identity) -> bytes:
        return encode_response(chat, identity, self.settings)

    def stream(self, identity: Identity) -> EventEncoder:
        return EventEncoder(identity, self.settings)


def decode(fields: dict[str, Any], max_messages: int) -> Decoded:
    """The call that a request's JSON object asks for, and how it is answered. Takes `fields` apart.

    Raises INVALID_REQUEST with the path of the field that cannot be accepted.
    """
    settings = settings_json(fields)
    try:
        models, streamed = take_models(fields), _Streamed()
        _check_required(fields, max_messages)
        left = read_fields(_STREAM, streamed, fields) or {}
        request = StreamChatCompletionRequest() if streamed.wanted else CreateChatCompletionRequest()
        request.preferences.models.extend(models)
        request.chat.dialect = OWN
        _read_said(request.chat, left)
        request.chat.extra_json = json_of(read_fields(_REQUEST, request.chat, left))
    except Wrong as wrong:
        raise wrong.as_error() from None
    return Decoded(request, Answering(settings))


class _Streamed:
    """Whether the answer is wanted as a stream."""

    wanted = False


def _check_required(fields: dict[str, Any], max_messages: int) -> None:
    if fields.get("model") is None:
        raise Wrong("must be given: the name of the model to ask", "model")
    given = fields.get("input")
    if given is None:
        raise Wrong("must be given: the conversation so far", "input")
    if isinstance(given, list) and len(given) > max_messages:
        raise Wrong(f"holds {len(given)} items; at most {max_messages} are accepted", "input")


def _read_said(chat: pb.ChatRequest, fields: dict[str, Any]) -> None:
    """Takes the conversation out of the fields; what it begins with stands beside it."""
    said = {"instructions": fields.pop("instructions", None), "input": fields.pop("input")}
    read_fields({"instructions": _instructions, "input": _input}, chat, said)


def _instructions(chat: pb.ChatRequest, value: Any) -> None:
    chat.messages.add(role=pb.ROLE_SYSTEM).content.add().text = a(str, value)


def _input(chat: pb.ChatRequest, value: Any) -> None:
    if isinstance(value, str):
        chat.messages.add(role=pb.ROLE_USER).content.add().text = value
    elif not isinstance(value, list):
        raise Wrong("must be a string or an array of items")
    elif not value:
        raise Wrong("must hold at least one item")
    else:
        read_each(partial(read_item, chat), value)
        for message in chat.messages:
            forget_last_places(message)


def _top_logprobs(sampling: pb.SamplingOptions, value: Any) -> None:
    if whole_number(value, 32):
        sampling.logprobs, sampling.top_logprobs = True, value


def _stream_options(streamed: _Streamed, value: Any) -> Any:
    """Nothing hides here how long what is said is; other options travel on."""
    return {name: given for name, given in a(dict, value).items() if name != "include_obfuscation"} or None


def _truncation(chat: pb.ChatRequest, value: Any) -> Any:
    return None if a(str, value) == "disabled" else value


def _store(chat: pb.ChatRequest, value: Any) -> None:
    """Nothing is stored, whatever is asked for; the answer says so."""
    a(bool, value)


_STREAM: Readers = {"stream": into("wanted", bool), "stream_options": _stream_options}

_STORED = "needs what was stored of an earlier answer, and nothing is stored here: send all of it as input"

_REQUEST: Readers = {
    "model": read_model,
    "max_output_tokens": under("sampling", whole_number_into("max_output_tokens", 64)),
    "temperature": under("sampling", number_into("temperature")),
    "top_p": under("sampling", number_into("top_p")),
    "top_logprobs": under("sampling", _top_logprobs),
    "tools": read_tools,
    "tool_choice": under("tool_choice", read_tool_choice),
    "parallel_tool_calls": into("parallel_tool_calls", bool),
    "text": read_text_options,
    "reasoning": read_reasoning,
    "include": read_include,
    "metadata": map_into("metadata", partial(a, str)),
    "service_tier": into("service_tier", str),
    "user": into("user", str),
    "truncation": _truncation,
    "store": _store,
    "previous_response_id": refuse(_STORED),
    "conversation": refuse(_STORED),
    "background": refuse("cannot be true: an answer is there when it is done, or in a stream", False),
    "prompt": keep,
    **dict.fromkeys(
        (
            "context_management",
            "image",
            "max_tool_calls",
            "moderation",
            "prompt_cache_key",
            "prompt_cache_options",
            "prompt_cache_retention",
            "safety_identifier",
        ),
        keep,
    ),
}
