from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.providers.adapters.sim.text import count, prose, split


@given(st.text())
def test_tokens_joined_are_the_text(text: str) -> None:
    assert "".join(split(text)) == text


def test_a_token_is_a_word_or_a_mark_with_the_white_space_before_it() -> None:
    assert split("Hello, big  world! ") == ["Hello", ",", " big", "  world", "!", " "]
    assert count("") == 0


@given(seed=st.integers(0, 10_000), tokens=st.integers(0, 80))
def test_generated_text_has_exactly_the_tokens_that_were_asked_for(seed: int, tokens: int) -> None:
    written = prose(Random(seed), tokens)
    assert len(written) == tokens
    assert count("".join(written)) == tokens


@given(seed=st.integers(0, 10_000), tokens=st.integers(2, 80))
def test_generated_text_reads_like_sentences(seed: int, tokens: int) -> None:
    text = "".join(prose(Random(seed), tokens))
    assert text[0].isupper()
    assert text.endswith(".")
    assert ".." not in text
    assert ",." not in text


@pytest.mark.parametrize("seed", [1, 2])
def test_the_same_seed_gives_the_same_text(seed: int) -> None:
    assert prose(Random(seed), 50) == prose(Random(seed), 50)
    assert prose(Random(seed), 50) != prose(Random(seed + 1), 50)
