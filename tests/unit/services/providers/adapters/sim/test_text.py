from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.providers.adapters.sim.text import _TOKEN, count, prose, split


@given(st.text())
def test_tokens_joined_are_the_text(text: str) -> None:
    assert "".join(split(text)) == text


@given(parts=st.lists(st.sampled_from(["a ", "word", "  ", "!", "é\n", "x" * 50]), max_size=30), cut=st.integers(0, 40))
def test_a_long_text_has_the_same_tokens_wherever_it_is_cut_for_splitting(parts: list[str], cut: int) -> None:
    text = " " * cut + "".join(parts) * 400
    assert [*split(text)] == _TOKEN.findall(text)
    assert count(text) == len(_TOKEN.findall(text))


@pytest.mark.parametrize("character", ["a", " "])
def test_a_word_or_white_space_without_end_is_many_tokens(character: str) -> None:
    assert {len(token) for token in split(character * 64_000)} == {64}


def test_a_token_is_a_word_or_a_mark_with_the_white_space_before_it() -> None:
    assert [*split("Hello, big  world! ")] == ["Hello", ",", " big", "  world", "!", " "]
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
