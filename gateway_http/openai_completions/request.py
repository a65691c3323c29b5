"""OpenAI's completion request of old, from JSON to `tollway.chat.v1`: the prompt is what the user says.

Several prompts, prompts in tokens, and choosing the best of more answers than are wanted cannot be asked of a chat
model, and are refused. `suffix` travels under its own name, for whoever is asked to take or refuse.
"""

from __future__ import annotations

from typing import Any

from gateway_http.dialect import Decoded, Identity
from gateway_http.field_reading import (
    Readers,
    Wrong,
    a,
    into,
    json_of,
    read_fields,
    under,
    whole_number,
)
from gateway_http.json_input import name_of
from gateway_http.model_names import read_model, take_models
from gateway_http.openai_chat.request import SAMPLING, choice_count, take_stream
from gateway_http.openai_completions.response import encode_completion
from gateway_http.openai_completions.stream import TextEncoder
from tollway.chat.v1 import chat_pb2 as pb
from tollway.router.v1.router_pb2 import CreateChatCompletionRequest, StreamChatCompletionRequest

_NOT_SAID_HERE = ("max_completion_tokens", "logprobs", "top_logprobs")


class Answering:
    """How the answer is written. `echo` is what stands before it. Implements `dialect.Answering`."""

    def __init__(self, echo: str, *, include_usage: bool) -> None:
        self.echo, self.include_usage = echo, include_usage

    def whole(self, chat: pb.ChatResponse, identity: Identity) -> bytes:
        return encode_completion(chat, identity, self.echo)

    def stream(self, identity: Identity) -> TextEncoder:
        return TextEncoder(identity, self.echo, include_usage=self.include_usage)


def decode(fields: dict[str, Any], max_messages: int) -> Decoded:
    """The call that a request's JSON object asks for, and how it is answered. Takes `fields` apart.

    Raises INVALID_REQUEST with the path of the field that cannot be accepted.
    """
    try:
        stream, models = take_stream(fields), take_models(fields)
        for name, what in (("model", "the name of the model to ask"), ("prompt", "the text to go on with")):
            if fields.get(name) is None:
                raise Wrong(f"must be given: {what}", name)
        own = _Own()
        own.read(fields)
        request = StreamChatCompletionRequest() if stream.wanted else CreateChatCompletionRequest()
        request.preferences.models.extend(models)
        request.chat.extra_json = json_of(read_fields(_REQUEST, request.chat, fields))
        own.check(request.chat)
    except Wrong as wrong:
        raise wrong.as_error() from None
    echo = request.chat.messages[0].content[0].text if own.echo else ""
    return Decoded(request, Answering(echo, include_usage=stream.include_usage))


class _Own:
    """What a request says that no chat is told."""

    echo = False
    best_of = 1

    def read(self, fields: dict[str, Any]) -> None:
        """Takes it out of the fields."""
        read_fields(_OWN, self, {name: fields.pop(name) for name in _OWN if name in fields})

    def check(self, chat: pb.ChatRequest) -> None:
        if self.best_of > max(chat.choice_count, 1):
            raise Wrong("cannot be more than n: a chat model chooses no best of answers that are not shown", "best_of")


def _prompt(chat: pb.ChatRequest, value: Any) -> None:
    if isinstance(value, list):
        value = _only(value)
    if not isinstance(value, str):
        raise Wrong(f"must be a string, or an array of one, not {name_of(value)}")
    chat.messages.add(role=pb.ROLE_USER).content.add().text = value


def _only(prompts: list[Any]) -> Any:
    if any(isinstance(item, (int, list)) for item in prompts):
        raise Wrong("holds tokens, which mean something to one model alone: send the text")
    if len(prompts) != 1:
        raise Wrong(f"holds {len(prompts)} prompts; one can be asked at a time")
    return prompts[0]


def _suffix(chat: pb.ChatRequest, value: Any) -> str | None:
    text: str = a(str, value)
    return text or None


def _logprobs(sampling: pb.SamplingOptions, value: Any) -> None:
    alternatives = _at_least_none(value)
    sampling.logprobs = True
    if alternatives:
        sampling.top_logprobs = alternatives


def _at_least_none(value: Any) -> int:
    if whole_number(value, 32) < 0:
        raise Wrong("must not be negative")
    return int(value)


_OWN: Readers = {
    "echo": into("echo", bool),
    "best_of": lambda own, value: setattr(own, "best_of", _at_least_none(value)),
}

_REQUEST: Readers = {
    "model": read_model,
    "prompt": _prompt,
    "suffix": _suffix,
    **{name: under("sampling", reader) for name, reader in SAMPLING.items() if name not in _NOT_SAID_HERE},
    "logprobs": under("sampling", _logprobs),
    "n": choice_count,
    "user": into("user", str),
}
