"""What an answer took, from Gemini's `usageMetadata`.

`promptTokenCount` includes what was read from a cache, but not what built-in tools brought, and `candidatesTokenCount`
does not include thinking: all of them together are `totalTokenCount`.
"""

from __future__ import annotations

from services.providers.domain.json_objects import Json, encode_json
from tollway.chat.v1 import chat_pb2

_INPUT = {"AUDIO": "input_audio_tokens", "IMAGE": "input_image_tokens", "TEXT": ""}
_OUTPUT = {"AUDIO": "output_audio_tokens", "IMAGE": "output_image_tokens", "TEXT": ""}
_DETAILS = {
    "promptTokensDetails": _INPUT,
    "toolUsePromptTokensDetails": _INPUT,
    "candidatesTokensDetails": _OUTPUT,
}
"""Which counts by modality are added to which of ours; text is what the others leave."""


def take_usage(answer: Json) -> chat_pb2.Usage | None:
    """Takes the usage out of an answer; where nothing is counted, what stands there stays."""
    counted = answer.get("usageMetadata") or {}
    if not any(name.endswith("TokenCount") for name in counted):
        return None
    del answer["usageMetadata"]
    return _usage(counted)


def _usage(counted: Json) -> chat_pb2.Usage:
    """What has no place of its own is kept, and what tools brought is told apart from the rest too."""
    left = dict(counted)
    by_tools = left.get("toolUsePromptTokenCount") or 0
    thinking = left.pop("thoughtsTokenCount", None) or 0
    usage = chat_pb2.Usage(
        input_tokens=(left.pop("promptTokenCount", None) or 0) + by_tools,
        output_tokens=(left.pop("candidatesTokenCount", None) or 0) + thinking,
        cached_input_tokens=left.pop("cachedContentTokenCount", None) or 0,
        reasoning_tokens=thinking,
    )
    for name, known in _DETAILS.items():
        if unknown := _by_modality(left.pop(name, None) or [], known, usage):
            left[name] = unknown
    if left.get("totalTokenCount") in (None, usage.input_tokens + usage.output_tokens):
        left.pop("totalTokenCount", None)
    if isinstance(tier := left.get("serviceTier"), str):
        usage.service_tier = "" if tier.lower() in ("standard", "unspecified") else tier.lower()
        del left["serviceTier"]
    if left:
        usage.extra_json = encode_json(left)
    return usage


def _by_modality(details: list[Json], known: dict[str, str], into: chat_pb2.Usage) -> list[Json]:
    """Adds what is known, and returns the rest."""
    unknown = []
    for each in details:
        field = known.get(each.get("modality", ""))
        if field is None:
            unknown.append(each)
        elif field:
            setattr(into, field, getattr(into, field) + (each.get("tokenCount") or 0))
    return unknown
