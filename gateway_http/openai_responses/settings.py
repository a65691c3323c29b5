"""What an answer of OpenAI's Responses repeats of the question."""

from __future__ import annotations

from typing import Any

_AS_GIVEN = (
    "instructions",
    "max_output_tokens",
    "max_tool_calls",
    "prompt",
    "prompt_cache_key",
    "prompt_cache_retention",
    "safety_identifier",
    "temperature",
    "top_logprobs",
    "top_p",
    "user",
)
_OTHERWISE: dict[str, Any] = {"metadata": {}, "parallel_tool_calls": True, "tool_choice": "auto", "tools": []}


def settings_json(fields: dict[str, Any]) -> dict[str, Any]:
    """In the order in which OpenAI has them. What only the provider knows (a default temperature) is null."""
    settings: dict[str, Any] = {name: fields.get(name) for name in _AS_GIVEN}
    for name, otherwise in _OTHERWISE.items():
        given = fields.get(name)
        settings[name] = otherwise if given is None else given
    text, reasoning = fields.get("text"), fields.get("reasoning")
    settings["text"] = {"format": {"type": "text"}, **_given(text)}
    settings["reasoning"] = {"effort": None, "summary": None, **_given(reasoning)}
    settings["truncation"] = fields.get("truncation") or "disabled"
    return {**settings, "background": False, "previous_response_id": None, "store": False}


def _given(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        return {}
    return {name: given for name, given in value.items() if given is not None}
