"""What a question says of how it is to be answered, in the Responses' names."""

from __future__ import annotations

from services.providers.adapters.openai.extra import Asked
from services.providers.domain.json_objects import Json
from tollway.chat.v1 import chat_pb2

NEIGHBOURS = frozenset(
    {
        "moderation",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "safety_identifier",
        "store",
    }
)
"""What chat completions say under the same names, and mean the same by."""
_NO_PLACE = "has no place in OpenAI's Responses"
_SAID = ("temperature", "top_p", "top_logprobs")
_UNSAID = ("top_k", "seed", "frequency_penalty", "presence_penalty", "stop", "logit_bias")


def put_sampling(sampling: chat_pb2.SamplingOptions, body: Json, asked: Asked) -> None:
    for descriptor, value in sampling.ListFields():
        if descriptor.name in _SAID:
            body[descriptor.name] = value
        elif descriptor.name in _UNSAID:
            asked.unsaid.refuse(f"chat.sampling.{descriptor.name}", _NO_PLACE)
    caps = [getattr(sampling, cap) for cap in ("max_output_tokens", "max_tokens") if sampling.HasField(cap)]
    if caps:
        body["max_output_tokens"] = min(caps)


def put_options(chat: chat_pb2.ChatRequest, body: Json, asked: Asked) -> None:
    if chat.HasField("parallel_tool_calls"):
        body["parallel_tool_calls"] = chat.parallel_tool_calls
    if chat.choice_count > 1:
        asked.unsaid.refuse("chat.choice_count", "must be one in OpenAI's Responses")
    if any(kind != "text" for kind in chat.modalities):
        asked.unsaid.refuse("chat.modalities", "can be text alone in OpenAI's Responses")
    if chat.service_tier:
        body["service_tier"] = chat.service_tier
    if chat.metadata:
        body["metadata"] = dict(chat.metadata)
    if chat.user:
        body["user"] = chat.user


def put_reasoning(chat: chat_pb2.ChatRequest, body: Json, asked: Asked, *, thinks: bool) -> None:
    """How hard to think, and how that is shown. No budget at all is the effort `none`; any other has no place.

    That it is not to think is not said to a model that does not (`thinks`), unless in OpenAI's own words.
    """
    effort = chat.reasoning_effort
    if chat.HasField("reasoning_budget_tokens"):
        if chat.reasoning_budget_tokens:
            asked.unsaid.refuse("chat.reasoning_budget_tokens", _NO_PLACE)
        else:
            effort = effort or ("none" if thinks else "")
    told = {"effort": effort} if effort else {}
    if chat.reasoning_summary not in ("", "none"):
        told["summary"] = chat.reasoning_summary
    if told:
        given = body.get("reasoning")
        body["reasoning"] = {**(given if isinstance(given, dict) else {}), **told}
