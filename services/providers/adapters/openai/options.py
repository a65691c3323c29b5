"""What a question says of how it is to be answered, in OpenAI's names."""

from __future__ import annotations

from typing import Any

from services.providers.adapters.openai.extra import Asked
from services.providers.domain.json_objects import Json
from services.providers.domain.thinking import may_be_told_not_to_think
from tollway.chat.v1 import chat_pb2

_SAMPLING = {
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "seed": "seed",
    "frequency_penalty": "frequency_penalty",
    "presence_penalty": "presence_penalty",
    "max_output_tokens": "max_completion_tokens",
    "max_tokens": "max_tokens",
    "logprobs": "logprobs",
    "top_logprobs": "top_logprobs",
}
_NEIGHBOURS = frozenset(
    {
        "moderation",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "safety_identifier",
        "store",
        "stream_options",
    }
)
"""What OpenAI's Responses say under the same names, and mean the same by."""
_MEANINGLESS: dict[str, tuple[Any, ...]] = {"background": (False,), "truncation": ("disabled",)}
"""What they may say and chat completions do without being told."""
_SHOWN_ANYWAY = {"reasoning.encrypted_content", "message.output_text.logprobs"}
"""What they must ask for, and chat completions give where there is any."""


def put_sampling(sampling: chat_pb2.SamplingOptions, body: Json) -> None:
    for descriptor, value in sampling.ListFields():
        if name := _SAMPLING.get(descriptor.name):
            body[name] = value
    if sampling.stop:
        body["stop"] = list(sampling.stop)
    if sampling.logit_bias:
        # Whole numbers go out as such: OpenAI's schema wants integers here.
        body["logit_bias"] = {token: _whole(bias) for token, bias in sampling.logit_bias.items()}


def _whole(number: float) -> float | int:
    return int(number) if number.is_integer() else number


def put_options(chat: chat_pb2.ChatRequest, body: Json, asked: Asked) -> None:
    if chat.HasField("parallel_tool_calls"):
        body["parallel_tool_calls"] = chat.parallel_tool_calls
    if chat.HasField("choice_count"):
        body["n"] = chat.choice_count
    if chat.modalities:
        body["modalities"] = list(chat.modalities)
    if chat.service_tier:
        body["service_tier"] = chat.service_tier
    if chat.metadata:
        body["metadata"] = dict(chat.metadata)
    if chat.user:
        body["user"] = chat.user
    _put_reasoning(chat, body, asked)


def _put_reasoning(chat: chat_pb2.ChatRequest, body: Json, asked: Asked) -> None:
    """How hard to think. No budget at all is the effort `none`, to a model that knows it.

    Any other has no place but in OpenRouter's object.
    """
    effort, budget = chat.reasoning_effort, None
    if chat.HasField("reasoning_budget_tokens"):
        if not chat.reasoning_budget_tokens:
            effort = effort or _none(body["model"], asked)
        elif asked.quirks.reasoning_object:
            budget = chat.reasoning_budget_tokens
        else:
            asked.unsaid.refuse("chat.reasoning_budget_tokens", "has no place in OpenAI's chat completions")
    if chat.reasoning_summary not in ("", "none"):
        asked.unsaid.refuse("chat.reasoning_summary", "has no place in OpenAI's chat completions")
    if not asked.quirks.reasoning_object:
        if effort:
            body["reasoning_effort"] = effort
    elif effort or budget:
        told = {"effort": effort} if effort else {}
        given = body.get("reasoning")
        body["reasoning"] = {
            **(given if isinstance(given, dict) else {}),
            **told,
            **({"max_tokens": budget} if budget else {}),
        }


def _none(model: str, asked: Asked) -> str:
    return "none" if asked.quirks.reasoning_object or may_be_told_not_to_think(model) else ""


def take_neighbours(dialect: str, fields: Json) -> Json:
    """Takes out of another dialect's fields those that chat completions know, too, and answers with them."""
    if dialect != "openai_responses":
        return {}
    known = {name: fields.pop(name) for name in _NEIGHBOURS & fields.keys()}
    for name, values in _MEANINGLESS.items():
        if fields.get(name) in values:
            del fields[name]
    text = fields.get("text")
    if isinstance(text, dict) and text.keys() <= {"verbosity"}:
        known["verbosity"] = fields.pop("text").get("verbosity")
    include = fields.get("include")
    if isinstance(include, list) and all(each in _SHOWN_ANYWAY for each in include):
        del fields["include"]
    return {name: value for name, value in known.items() if value is not None}
