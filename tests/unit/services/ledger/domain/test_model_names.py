from __future__ import annotations

import pytest

from services.ledger.domain.model_names import family, undated


@pytest.mark.parametrize(
    "names",
    [
        ("gpt-4o", "gpt-4o-2024-08-06", "gpt-4o-2024-11-20", "gpt-4o-latest"),
        ("gpt-4", "gpt-4-0613"),
        ("gpt-4.1", "gpt-4.1-2025-04-14"),
        ("claude-sonnet-4-5", "claude-sonnet-4-5-20250929", "claude-sonnet-4-5@20250929", "Claude Sonnet 4.5"),
        ("claude-3-7-sonnet-20250219", "claude-3-7-sonnet-latest", "Claude Sonnet 3.7"),
        ("claude-opus-4-20250514", "Claude Opus 4"),
    ],
)
def test_names_of_one_model_are_of_one_family(names: tuple[str, ...]) -> None:
    assert len({family(name) for name in names}) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("gpt-4o", "gpt-4o-mini"),
        ("gpt-4", "gpt-4o"),
        ("gpt-4.1", "gpt-4"),
        ("claude-sonnet-4-5", "claude-sonnet-4"),
        ("claude-haiku-4-5", "claude-sonnet-4-5"),
        ("ft:gpt-4o-2024-08-06:acme::1", "gpt-4o-2024-08-06"),
        ("llama-3.1-8b", "llama-3.1-70b"),
    ],
)
def test_names_of_different_models_are_not(one: str, other: str) -> None:
    assert family(one) != family(other)


def test_a_fine_tuned_model_keeps_the_date_of_what_it_was_made_of() -> None:
    assert undated("ft:gpt-4o-2024-08-06") == "ft:gpt-4o-2024-08-06"
