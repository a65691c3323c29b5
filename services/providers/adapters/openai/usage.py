"""The tokens that an answer took, as OpenAI and those who follow it count them."""

from __future__ import annotations

from typing import Any, Protocol

from services.providers.domain.json_objects import Json, encode_json
from tollway.chat.v1 import chat_pb2

_INPUT_DETAILS = {
    "cached_tokens": "cached_input_tokens",
    "cache_write_tokens": "cache_write_tokens",
    "audio_tokens": "input_audio_tokens",
    "image_tokens": "input_image_tokens",
}
_OUTPUT_DETAILS = {
    "reasoning_tokens": "reasoning_tokens",
    "audio_tokens": "output_audio_tokens",
    "image_tokens": "output_image_tokens",
    "accepted_prediction_tokens": "accepted_prediction_tokens",
    "rejected_prediction_tokens": "rejected_prediction_tokens",
}
_OUTSIDE_DETAILS = {
    "cached_tokens": "cached_input_tokens",  # Moonshot
    "prompt_cache_hit_tokens": "cached_input_tokens",  # DeepSeek
    "cache_read_input_tokens": "cached_input_tokens",
    "cache_creation_input_tokens": "cache_write_tokens",
}
"""Counts that some servers give beside the details and not in them. They are kept under their own names, too."""


class Counted(Protocol):
    """An answer that may say what it took."""

    @property
    def usage(self) -> chat_pb2.Usage: ...


def keep_usage(usage: Any, into: Counted, around: Json, service_tier: str) -> None:
    """Fills `into.usage`, or puts back into `around` what counts no tokens."""
    if not isinstance(usage, dict) or usage.get("prompt_tokens") is None:
        around["usage"] = usage
        return
    counts = into.usage
    counts.Clear()
    counts.service_tier = service_tier
    counts.input_tokens = usage.pop("prompt_tokens")
    counts.output_tokens = usage.pop("completion_tokens", None) or 0
    for name, known in (("prompt_tokens_details", _INPUT_DETAILS), ("completion_tokens_details", _OUTPUT_DETAILS)):
        if (details := usage.pop(name, None)) and (unknown := _details(details, known, counts)):
            usage[name] = unknown
    for name, field in _OUTSIDE_DETAILS.items():
        if (value := usage.get(name)) and not getattr(counts, field):
            setattr(counts, field, value)
    if isinstance(lifetimes := usage.get("cache_creation"), dict):
        counts.cache_write_1h_tokens = lifetimes.get("ephemeral_1h_input_tokens") or 0
    total, stated = usage.pop("total_tokens", None), counts.input_tokens + counts.output_tokens
    if total == stated + counts.reasoning_tokens:  # xAI counts thinking beside the answer; here it is part of it
        counts.output_tokens = total - counts.input_tokens
    elif total not in (None, stated):
        usage["total_tokens"] = total
    if usage:
        counts.extra_json = encode_json(usage)


def _details(details: Json, known: dict[str, str], into: chat_pb2.Usage) -> Json:
    """Fills in what is known, and returns the rest."""
    unknown = {}
    for name, value in details.items():
        if field := known.get(name):
            setattr(into, field, value or 0)
        else:
            unknown[name] = value
    return unknown
