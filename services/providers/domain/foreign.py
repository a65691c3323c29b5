"""Fields of another dialect that a question carries: what is refused of them, what is left out, and what passes.

One rule for all adapters, so that a question means the same whoever is asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from services.providers.domain.unsaid import Unsaid

_NOTHING: tuple[Any, ...] = (None, "", [])
"""What fields hold that say nothing, as clients send an answer's fields back; an empty object may ask for something."""
_DONE_ANYWAY: tuple[tuple[str, Any], ...] = (
    *(("store", False), ("background", False), ("truncation", "disabled")),
    *(("caller", {"type": "direct"}), ("citations", {"enabled": False})),
)
"""Fields whose value says what is done anyway: nothing is kept, a model calls tools itself, and cites nothing."""
_ABOUT_THE_CALL = frozenset({"stream", "stream_options"})
"""Fields that say how a question is to be answered, which is seen to elsewhere."""
_HINTS = frozenset(
    {
        *("anthropic_beta", "cache_control"),
        *("prediction", "prompt_cache_key", "prompt_cache_retention", "prompt_cache_options", "safety_identifier"),
        *("store", "include", "client_metadata"),
        *("annotations", "id", "status", "phase", "item"),
    }
)
"""Fields that make an answer cheaper, faster or easier to find, or label what was answered before, and change nothing.

`anthropic_beta` names what a client is ready for; what depends on it has fields of its own, which are refused.
"""
_DIALECTS = frozenset({"openai", "openai_responses", "anthropic", "gemini", "bedrock", "cohere"})
"""Under these names clients are shown what an answer says that their dialect has no place for, and send it back."""
_THINKS_AS_IT_LIKES = {"type": "adaptive"}
"""Anthropic's `thinking` that leaves it to the model how much it thinks, as all others do."""


def turn_away(fields: Mapping[str, Any], path: str, why: str, unsaid: Unsaid) -> None:
    """Hears of the fields of another dialect at that path: refuses, one by one, those that the answer may depend on.

    `why` goes on from a field's path, as in `Unsaid.refuse`, which raises UNSUPPORTED_FEATURE.
    """
    for name, value in fields.items():
        if value in _NOTHING or (name, value) in _DONE_ANYWAY or name in _ABOUT_THE_CALL:
            continue
        if is_remark(name, value) or name in _HINTS or (name == "thinking" and value == _THINKS_AS_IT_LIKES):
            unsaid.leave_out(f"{path}.{name}")
        else:
            unsaid.refuse(f"{path}.{name}", why)


def is_remark(name: str, value: Any) -> bool:
    """Whether a field is an object that is called as a dialect is: meant for providers of that dialect alone."""
    return name in _DIALECTS and isinstance(value, dict)


def only_remarks(fields: Mapping[str, Any]) -> bool:
    """Whether there is nothing in the fields but what is meant for dialects, each under its name."""
    return all(is_remark(name, value) for name, value in fields.items())
