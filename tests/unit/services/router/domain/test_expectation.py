from __future__ import annotations

import pytest

from services.router.domain.expectation import Expectation, Expected
from tollway.chat.v1.chat_pb2 import ChatRequest, ContentPart, Message, SamplingOptions

PROMPT = Message(content=[ContentPart(text="x" * 40)])
"""Ten tokens."""


def chat(choices: int | None = None, model: str = "gpt", max_tokens: int | None = None) -> ChatRequest:
    sampling = SamplingOptions(max_tokens=max_tokens)
    return ChatRequest(model=model, messages=[PROMPT], choice_count=choices, sampling=sampling)


@pytest.mark.parametrize("cap", [SamplingOptions(max_tokens=500), SamplingOptions(max_output_tokens=500)])
def test_a_cap_is_what_an_answer_may_take(cap: SamplingOptions) -> None:
    assert Expectation().tokens("ci", ChatRequest(messages=[PROMPT], sampling=cap)) == Expected(510, 510)


def test_each_choice_is_an_answer() -> None:
    assert Expectation().tokens("ci", chat(3, max_tokens=500)) == Expected(1510, 1510)


def test_without_a_cap_or_a_past_it_is_a_guess() -> None:
    assert Expectation().tokens("ci", chat()) == Expected(10, 266)


def test_later_it_is_what_answers_took_lately() -> None:
    expectation = Expectation()
    expectation.note("ci", "gpt", 100)
    assert expectation.tokens("ci", chat()) == Expected(10, 110)
    expectation.note("ci", "gpt", 200)
    assert expectation.tokens("ci", chat()) == Expected(10, 130)
    assert expectation.tokens("web", chat()).likely == 266
    assert expectation.tokens("ci", chat(model="other")).likely == 266


def test_a_question_takes_something() -> None:
    assert Expectation().tokens("ci", ChatRequest(sampling=SamplingOptions(max_tokens=0))) == Expected(1, 1)
    assert Expectation().tokens("ci", ChatRequest(sampling=SamplingOptions(max_tokens=-5))) == Expected(1, 1)


def test_only_so_many_are_remembered() -> None:
    expectation = Expectation(most=2)
    for key in ("a", "b", "a", "c"):
        expectation.note(key, "gpt", 1)
    assert [expectation.tokens(key, chat()).likely for key in ("a", "b", "c")] == [11, 266, 11]


def test_the_longest_answer_is_forgotten_slowly() -> None:
    expectation = Expectation()
    assert expectation.seen("ci", "gpt") is None
    expectation.note("ci", "gpt", 1000)
    for _ in range(10):
        expectation.note("ci", "gpt", 10)
    seen = expectation.seen("ci", "gpt")
    assert seen is not None
    assert 100 < seen.average < 120
    assert 810 < seen.peak < 830
