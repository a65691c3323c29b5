"""Models that are known to think and can be told how much, by OpenAI's names for them and those of others."""

from __future__ import annotations

import re

_OPENAIS = re.compile(r"(.*/)?(o\d|gpt-([5-9]|\d\d)(?!.*chat)|.*codex|.*deep-research)")
_OTHERS = re.compile(r"qwen-?3|gemini-2\.5")
"""Those that take OpenAI's word for not thinking at all, at whoever has them."""


def thinks(model: str) -> bool:
    """Whether it is one of OpenAI's that think: to their others thinking must not be mentioned."""
    return _OPENAIS.match(model) is not None


def may_be_told_not_to_think(model: str) -> bool:
    """Whether `reasoning_effort: none` means something to it. Others refuse the word, or do not know it."""
    return thinks(model) or _OTHERS.search(model.lower()) is not None
