"""What Claude models differ in, as far as a question has to be put to them differently.

From Anthropic's overview of its models, and its pages on thinking, effort and the migration to each generation. A model
is told by the version in its name (`claude-opus-4-8` is 4.8); one whose name has none, and one of another maker behind
the same API, is taken to accept everything.
"""

from __future__ import annotations

import re

_VERSION = re.compile(r"claude-(?:[a-z]+-)?(\d{1,2})(?:[-.](\d{1,2}))?(?!\d)")
_LONGEST_ANSWERS = (((3, 5), 4_096), ((3, 7), 8_192), ((4, 5), 32_000), ((4, 6), 64_000))
_LONGEST_OF_NEW, _LONGEST_OF_UNKNOWN = 128_000, 32_000
_NEWEST = (99, 0)


def longest_answer(model: str) -> int:
    """Tokens that an answer may have where the client sets no limit. Anthropic's API wants one with every question.

    It is the model's own, so that no answer ends early that would not have anyway; 32,000 where the model is not known,
    which every current one takes.
    """
    version = _version(model)
    if version is None:
        return _LONGEST_OF_UNKNOWN
    return next((tokens for below, tokens in _LONGEST_ANSWERS if version < below), _LONGEST_OF_NEW)


def draws_freely(model: str) -> bool:
    """Whether temperature, top_p and top_k may be set. Since 4.7 they may not."""
    version = _version(model)
    return version is None or version < (4, 7)


def draws_by_both(model: str) -> bool:
    """Whether temperature and top_p may both be set. Since 4.1 it is one or the other."""
    version = _version(model)
    return version is None or version < (4, 1)


def thinks_by_effort(model: str) -> bool:
    """Whether it decides by itself how long to think, given an effort. Before 4.6 a budget has to be set instead."""
    return (_version(model) or _NEWEST) >= (4, 6)


def thinks_by_budget(model: str) -> bool:
    """Whether it takes a budget. Since 4.7 none does."""
    version = _version(model)
    return version is None or version < (4, 7)


def _version(model: str) -> tuple[int, int] | None:
    found = _VERSION.search(model)
    return (int(found[1]), int(found[2] or 0)) if found else None
