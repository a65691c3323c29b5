from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_http.foreign import Proof, put_extra, read_proof, write_proof


@pytest.mark.parametrize("dialect", ["", "openai"])
def test_the_own_dialects_fields_go_back_to_where_they_stood(dialect: str) -> None:
    target: dict[str, Any] = {"a": 1}

    put_extra(target, b'{"a":2,"b":3}', dialect, "openai")

    assert target == {"a": 1, "b": 3}


def test_another_dialects_fields_are_kept_together_under_its_name() -> None:
    target: dict[str, Any] = {"a": 1}

    put_extra(target, b'{"a":2}', "anthropic", "openai")
    put_extra(target, b'{"b":3}', "anthropic", "openai")
    put_extra(target, b'{"c":4}', "", "openai_responses")

    assert target == {"a": 1, "anthropic": {"a": 2, "b": 3}, "openai": {"c": 4}}


def test_where_there_is_nothing_nothing_is_added() -> None:
    target: dict[str, Any] = {}

    put_extra(target, b"", "anthropic", "openai")

    assert target == {}


@given(
    st.sampled_from(["openai", "anthropic", "gemini"]), st.text(max_size=8), st.sampled_from(["openai", "anthropic"])
)
def test_a_proof_comes_back_as_it_was_with_its_issuer(issuer: str, text: str, own: str) -> None:
    if issuer == own and text.startswith("tollway:"):
        return  # nobody's proof begins so

    assert read_proof(write_proof(issuer, text, own), own) == Proof(issuer, text)


def test_a_proof_of_nobody_known_is_taken_for_one_of_the_dialect_it_comes_in() -> None:
    assert write_proof("", "c2ln", "openai") == "c2ln"
    assert read_proof("c2ln", "openai") == Proof("openai", "c2ln")


@pytest.mark.parametrize("text", ["tollway:", "tollway:anthropic", "tollway::x"])
def test_what_only_begins_like_a_mark_is_a_proof_like_any_other(text: str) -> None:
    assert read_proof(text, "openai") == Proof("openai", text)
