"""Answers that go on where another one broke off, as a client sees them."""

from __future__ import annotations

import pytest

from services.router.domain.answer import Answer
from services.router.domain.resumed import Prefilled, Spliced
from services.router.domain.said import TEXT, Said
from services.router.domain.splice import Diverged
from tests.unit.services.router.twins import STOP, USAGE, finish, role, text, usage
from tollway.chat.v1.chat_pb2 import ChatChunk, Delta


def broken(*chunks: ChatChunk, choices: int = 1) -> Said:
    answer = Answer(choices)
    for chunk in chunks:
        answer.take(chunk)
    return answer.delivered()


def out_of(answer: Answer, *chunks: ChatChunk) -> list[ChatChunk]:
    return [out for chunk in chunks if (out := answer.take(chunk)) is not None]


def test_an_answer_that_is_gone_on_with_has_one_name_one_model_and_one_role() -> None:
    answer = Prefilled(broken(role(), text("Hel")))
    (first, second) = out_of(answer, role(), text("l"), text("o"), finish(), usage())
    assert (first, second) == (ChatChunk(deltas=[Delta(text="l")]), ChatChunk(deltas=[Delta(text="o")]))
    assert answer.ending() == ChatChunk(deltas=[Delta(finish_reason=STOP)], usage=USAGE)
    assert answer.delivered().texts() == {TEXT: "Hello"}


def test_an_answer_may_turn_out_to_have_been_all_there_but_its_end() -> None:
    answer = Prefilled(broken(role(), text("Hello")))
    assert out_of(answer, role(), finish(), usage()) == []
    assert answer.complete
    assert answer.ending() == ChatChunk(deltas=[Delta(finish_reason=STOP)], usage=USAGE)


def test_of_a_new_answer_only_what_is_new_goes_out() -> None:
    answer = Spliced(broken(role(), text("Hel")), 1)
    assert out_of(answer, role(), text("He")) == []
    assert not answer.committed
    assert out_of(answer, text("llo"), finish(), usage()) == [ChatChunk(deltas=[Delta(text="lo")])]
    assert answer.committed
    assert answer.complete
    assert answer.ending() == ChatChunk(deltas=[Delta(finish_reason=STOP)], usage=USAGE)
    assert answer.delivered().texts() == {TEXT: "Hello"}


def test_a_new_answer_that_is_shorter_than_what_was_delivered_is_another_one() -> None:
    answer = Spliced(broken(role(), text("Hello")), 1)
    with pytest.raises(Diverged):
        out_of(answer, text("Hell"), finish())
    assert not answer.complete
    assert answer.delivered().texts() == {TEXT: "Hello"}


def test_a_new_answer_without_content_is_another_one() -> None:
    with pytest.raises(Diverged):
        out_of(Spliced(broken(text("Hello")), 1), role(), finish())


def test_the_finish_that_comes_with_the_seam_waits_for_the_end_like_any_other() -> None:
    answer = Spliced(broken(text("Hel")), 1)
    both = ChatChunk(deltas=[Delta(text="Hello"), Delta(finish_reason=STOP)])
    assert out_of(answer, both) == [ChatChunk(deltas=[Delta(text="lo")])]
    assert answer.ending() == ChatChunk(deltas=[Delta(finish_reason=STOP)])


def test_a_choice_that_was_delivered_to_its_end_is_neither_told_nor_waited_for_again() -> None:
    before = broken(text("a", 0), text("b", 1), finish(0), choices=2)
    answer = Spliced(before, 2)
    out = out_of(answer, text("other", 0), text("bb", 1), finish(1))
    assert [delta for chunk in out for delta in chunk.deltas] == [Delta(index=1, text="b")]
    assert answer.complete
    assert answer.ending().deltas == [Delta(index=1, finish_reason=STOP)]


def test_a_choice_that_never_came_back_is_missing() -> None:
    before = broken(text("a", 0), text("b", 1), finish(0), choices=2)
    answer = Spliced(before, 2)
    assert out_of(answer, text("a", 0), finish(0)) == []
    assert not answer.complete
    assert not answer.whole
