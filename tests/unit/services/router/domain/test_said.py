"""What an answer has said so far."""

from __future__ import annotations

import pytest

from services.router.domain.said import TEXT, Said
from services.router.domain.usage import delta_size
from tests.unit.services.router.twins import STOP
from tollway.chat.v1.chat_pb2 import Delta, Logprobs, ReasoningPart, Role, TokenLogprob, ToolCallDelta

EVERYTHING = [
    Delta(role=Role.ROLE_ASSISTANT),
    Delta(text="He"),
    Delta(text="llo", extra_json=b'{"annotations":[]}'),
    Delta(index=1, refusal="No"),
    Delta(reasoning=ReasoningPart(text="hm")),
    Delta(tool_calls=[ToolCallDelta(index=2, name="f", arguments="{")]),
    Delta(tool_calls=[ToolCallDelta(index=2, arguments="}")]),
    Delta(finish_reason=STOP),
]


def said(*deltas: Delta) -> Said:
    whole = Said()
    whole.add(deltas)
    return whole


def test_every_kind_of_content_is_kept_apart() -> None:
    assert said(*EVERYTHING).texts() == {
        TEXT: "Hello",
        (1, "refusal"): "No",
        (0, "reasoning"): "hm",
        (0, "call 2"): "f{}",
    }


def test_it_is_as_long_as_its_deltas() -> None:
    assert said(*EVERYTHING).characters == sum(delta_size(delta) for delta in EVERYTHING)


@pytest.mark.parametrize(
    "delta",
    [
        Delta(text="a", logprobs=Logprobs(content=[TokenLogprob(token="a")])),
        Delta(reasoning=ReasoningPart(redacted=b"abc")),
        Delta(reasoning=ReasoningPart(text="a", signature="s")),
        Delta(extra_json=b'{"audio":{"data":"AAAA"}}'),
        Delta(tool_calls=[ToolCallDelta(type="custom", arguments="a")]),
        Delta(tool_calls=[ToolCallDelta(arguments="a", extra_json=b"{}")]),
    ],
)
def test_what_nobody_can_say_again_in_words_is_not_kept(delta: Delta) -> None:
    whole = said(Delta(text="Hi"), delta)
    assert not whole.kept
    assert whole.characters == 2 + delta_size(delta)


def test_an_answer_without_end_fills_no_memory() -> None:
    whole = said(*[Delta(text="x" * 1000)] * 2000)
    assert not whole.kept
    assert whole.texts() == {}
    assert whole.characters == 2_000_000


def test_two_can_follow_one_another() -> None:
    both = said(Delta(text="Hel")).followed_by(said(Delta(text="lo")))
    assert both.texts() == {TEXT: "Hello"}
    assert both.characters == 5
    assert not said(Delta(text="a")).followed_by(said(Delta(extra_json=b'{"audio":1}'))).kept
