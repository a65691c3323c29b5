"""Names as Anthropic gives them to its models, and what its documentation says of each."""

from __future__ import annotations

import pytest

from services.providers.adapters.anthropic import models


@pytest.mark.parametrize(
    ("model", "longest"),
    [
        ("claude-3-haiku-20240307", 4_096),
        ("claude-3-5-sonnet-20241022", 8_192),
        ("claude-3-7-sonnet-latest", 32_000),
        ("claude-opus-4-20250514", 32_000),
        ("claude-opus-4-1-20250805", 32_000),
        ("claude-sonnet-4-5-20250929", 64_000),
        ("claude-haiku-4-5", 64_000),
        ("claude-opus-4-6", 128_000),
        ("claude-sonnet-5", 128_000),
        ("claude-fable-5-2", 128_000),
        ("claude-mythos-preview", 32_000),
        ("somebody-elses-model", 32_000),
    ],
)
def test_an_answer_without_a_limit_may_be_as_long_as_the_model_can_speak(model: str, longest: int) -> None:
    assert models.longest_answer(model) == longest


@pytest.mark.parametrize(
    ("model", "draws", "by_budget", "by_effort"),
    [
        ("claude-opus-4-20250514", True, True, False),
        ("claude-haiku-4-5-20251001", True, True, False),
        ("claude-sonnet-4-6", True, True, True),
        ("claude-opus-4-7", False, False, True),
        ("claude-haiku-5-5", False, False, True),
        ("somebody-elses-model", True, True, True),
    ],
)
def test_a_model_is_known_by_the_version_in_its_name(model: str, draws: bool, by_budget: bool, by_effort: bool) -> None:
    assert models.draws_freely(model) is draws
    assert models.thinks_by_budget(model) is by_budget
    assert models.thinks_by_effort(model) is by_effort
