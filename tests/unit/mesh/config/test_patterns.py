"""How a name that a client asks for finds its entry, and what the provider is asked for then."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.config.patterns import find, matches, upstream_model

ENTRIES = ["*", "gpt-*", "gpt-4*", "gpt-4o", "openai/*"]


@pytest.mark.parametrize(
    ("asked", "entry"),
    [
        ("gpt-4o", "gpt-4o"),
        ("gpt-4o-mini", "gpt-4*"),
        ("gpt-4", "gpt-4*"),
        ("gpt-5", "gpt-*"),
        ("gpt-", "gpt-*"),
        ("openai/gpt-4o", "openai/*"),
        ("claude", "*"),
        ("", "*"),
    ],
)
def test_an_exact_name_wins_and_then_the_longest_pattern(asked: str, entry: str) -> None:
    assert find(ENTRIES, asked) == entry
    assert find(list(reversed(ENTRIES)), asked) == entry
    assert find(iter(ENTRIES), asked) == entry


def test_a_name_that_fits_nothing_finds_nothing() -> None:
    assert find(["gpt-*", "gpt"], "claude") is None
    assert find([], "x") is None


@pytest.mark.parametrize(
    ("entry", "asked", "model", "upstream"),
    [
        ("gpt-4o", "gpt-4o", "", "gpt-4o"),
        ("gpt-4o", "gpt-4o", "gpt-4o-eu", "gpt-4o-eu"),
        ("*", "anything/at-all", "", "anything/at-all"),
        ("openai/*", "openai/gpt-4o", "", "gpt-4o"),
        ("openai/*", "openai/org/m", "", "org/m"),
        ("gpt-*", "gpt-5", "gpt-*", "gpt-5"),
        ("old/*", "old/m", "new-*-eu", "new-m-eu"),
        ("sim/*", "sim/status-503", "", "status-503"),
        ("any/*", "any/x", "one", "one"),
    ],
)
def test_the_provider_is_asked_for_what_the_asterisk_stands_for(
    entry: str, asked: str, model: str, upstream: str
) -> None:
    assert upstream_model(entry, asked, model) == upstream


@given(st.lists(st.text(st.sampled_from("ab/"), max_size=4), max_size=6), st.text(st.sampled_from("ab/"), max_size=6))
def test_what_is_found_fits_and_nothing_that_fits_is_longer(prefixes: list[str], asked: str) -> None:
    entries = [prefix + "*" for prefix in prefixes]
    found = find(entries, asked)
    fitting = [entry for entry in entries if matches(entry, asked)]
    assert (found is None) == (not fitting)
    if found is not None:
        assert len(found) == max(map(len, fitting))
        assert asked == found[:-1] + upstream_model(found, asked, "")
