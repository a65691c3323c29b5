from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.errors import TollwayError
from services.ledger.domain.paging import decode_token, encode_token, size


@settings(deadline=None)
@given(st.binary(), st.lists(st.one_of(st.text(), st.integers())))
def test_a_token_gives_back_its_place_to_the_same_question(question: bytes, place: list[str | int]) -> None:
    assert decode_token(question, encode_token(question, place)) == place


@settings(deadline=None)
@given(st.binary(), st.binary())
def test_a_token_of_another_question_is_refused(question: bytes, other: bytes) -> None:
    token = encode_token(question, [1])
    if question != other:
        with pytest.raises(TollwayError, match="page_token"):
            decode_token(other, token)


@settings(deadline=None)
@given(st.text())
def test_what_is_no_token_is_refused(text: str) -> None:
    with pytest.raises(TollwayError, match="page_token"):
        decode_token(b"question", text)


@settings(deadline=None)
@given(st.data())
def test_a_token_that_was_mistyped_is_refused(data: st.DataObject) -> None:
    token = encode_token(b"question", [123456, "0192d5a0"])
    at = data.draw(st.integers(0, len(token) - 2))  # the last character holds bits that do not count
    other = data.draw(st.sampled_from([letter for letter in "AZaz09-_" if letter != token[at]]))
    with pytest.raises(TollwayError, match="page_token"):
        decode_token(b"question", token[:at] + other + token[at + 1 :])


def test_a_page_holds_a_hundred_unless_asked_and_a_thousand_at_most() -> None:
    assert [size(0), size(7), size(5000)] == [100, 7, 1000]
    with pytest.raises(TollwayError, match="page_size"):
        size(-1)
