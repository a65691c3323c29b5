"""Joining a new answer to what was delivered: no character is repeated or lost, however the answers were cut."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.router.domain.said import Said
from services.router.domain.splice import Diverged, Splice
from tests.unit.services.router.twins import STOP
from tollway.chat.v1.chat_pb2 import Delta, ReasoningPart, Role, ToolCallDelta

words = st.text(alphabet="abé \n😀", max_size=40)


def said(*deltas: Delta) -> Said:
    whole = Said()
    whole.add(deltas)
    return whole


def cut(text: str, places: Iterable[int]) -> list[str]:
    """The text in pieces."""
    ends = sorted({min(place, len(text)) for place in places} | {0, len(text)})
    return [text[start:end] for start, end in pairwise(ends)]


def out_of(splice: Splice, *deltas: Delta) -> list[Delta]:
    return [out for delta in deltas for out in splice.take([delta])]


def text_of(deltas: Iterable[Delta], index: int = 0) -> str:
    return "".join(delta.text for delta in deltas if delta.index == index)


# -- laws --------------------------------------------------------------------------------------------------------------


@given(words.filter(bool), words, st.lists(st.integers(0, 80)), st.lists(st.integers(0, 80)))
def test_an_answer_that_begins_with_what_was_delivered_is_joined_without_a_seam(
    delivered: str, rest: str, cuts: list[int], again: list[int]
) -> None:
    before = said(*(Delta(text=piece) for piece in cut(delivered, cuts)))
    splice = Splice(before)
    out = out_of(splice, *(Delta(text=piece) for piece in cut(delivered + rest, again)))
    assert splice.joined
    assert delivered + text_of(out) == delivered + rest


@given(words.filter(bool), words, st.lists(st.integers(0, 80)), st.lists(st.integers(0, 80)))
def test_nothing_goes_out_of_an_answer_that_does_not(
    delivered: str, other: str, cuts: list[int], again: list[int]
) -> None:
    before = said(*(Delta(text=piece) for piece in cut(delivered, cuts)))
    splice, out = Splice(before), list[Delta]()
    try:
        for piece in cut(other, again):
            out += splice.take([Delta(text=piece)])
    except Diverged:
        assert not other.startswith(delivered)
        assert not delivered.startswith(other)
        assert out == []
    else:
        assert splice.joined == other.startswith(delivered)
        assert text_of(out) == (other[len(delivered) :] if splice.joined else "")


@given(st.data())
def test_several_choices_and_kinds_of_content_are_joined_each_for_itself(data: st.DataObject) -> None:
    parts = [(index, kind) for index in (0, 1) for kind in ("reasoning", "text")]
    delivered = {part: data.draw(words) for part in parts}
    rest = {part: data.draw(words) for part in parts}
    for index in (0, 1):
        if delivered[index, "text"]:
            rest[index, "reasoning"] = ""  # who has begun to answer has thought it over
    before = said(*(delta(part, text) for part, text in delivered.items() if text))
    splice, out = Splice(before), list[Delta]()
    queues = [
        [
            delta((index, kind), piece)
            for kind in ("reasoning", "text")
            for piece in cut(delivered[index, kind] + rest[index, kind], data.draw(st.lists(st.integers(0, 80))))
        ]
        for index in (0, 1)
    ]
    while any(queues):
        queue = data.draw(st.sampled_from([queue for queue in queues if queue]))
        out += splice.take([queue.pop(0)])
    assert splice.joined
    for index in (0, 1):
        assert text_of(out, index) == rest[index, "text"]
        assert "".join(each.reasoning.text for each in out if each.index == index) == rest[index, "reasoning"]


def delta(part: tuple[int, str], text: str) -> Delta:
    index, kind = part
    return Delta(index=index, text=text) if kind == "text" else Delta(index=index, reasoning=ReasoningPart(text=text))


# -- by example --------------------------------------------------------------------------------------------------------


def test_nothing_goes_out_before_the_last_delivered_character_was_said_again() -> None:
    splice = Splice(said(Delta(text="Hello")))
    assert out_of(splice, Delta(role=Role.ROLE_ASSISTANT), Delta(text="Hell")) == []
    assert not splice.joined
    assert out_of(splice, Delta(text="o, wor"), Delta(text="ld")) == [Delta(text=", wor"), Delta(text="ld")]


def test_a_shorter_answer_that_ends_is_another_one() -> None:
    splice = Splice(said(Delta(text="Hello")))
    with pytest.raises(Diverged):
        out_of(splice, Delta(text="Hell"), Delta(finish_reason=STOP))


def test_thinking_where_nobody_thought_is_another_answer() -> None:
    with pytest.raises(Diverged):
        out_of(Splice(said(Delta(text="Hello"))), Delta(reasoning=ReasoningPart(text="Hm")))


def test_thinking_on_where_the_answer_had_begun_is_another_answer() -> None:
    splice = Splice(said(Delta(reasoning=ReasoningPart(text="Hm")), Delta(text="He")))
    with pytest.raises(Diverged):
        out_of(splice, Delta(reasoning=ReasoningPart(text="Hmm")))


def test_a_tool_call_keeps_the_id_that_it_was_delivered_with() -> None:
    begun = said(Delta(tool_calls=[ToolCallDelta(id="x1", type="function", name="add", arguments='{"a')]))
    out = out_of(
        Splice(begun),
        Delta(tool_calls=[ToolCallDelta(id="y1", type="function", name="add")]),
        Delta(tool_calls=[ToolCallDelta(arguments='{"a": ')]),
        Delta(tool_calls=[ToolCallDelta(arguments="1}")]),
        Delta(tool_calls=[ToolCallDelta(index=1, id="y2", name="sub")]),
    )
    assert [call for each in out for call in each.tool_calls] == [
        ToolCallDelta(arguments='": '),
        ToolCallDelta(arguments="1}"),
        ToolCallDelta(index=1, id="y2", name="sub"),
    ]


def test_another_tool_is_another_answer() -> None:
    begun = said(Delta(tool_calls=[ToolCallDelta(id="x1", name="add", arguments="{")]))
    with pytest.raises(Diverged):
        out_of(Splice(begun), Delta(tool_calls=[ToolCallDelta(id="y1", name="sub")]))


def test_a_choice_that_was_delivered_to_its_end_is_of_no_interest_any_more() -> None:
    before = said(Delta(text="Done."), Delta(index=1, text="Half"))
    before.finishes = {0: STOP}
    out = out_of(
        Splice(before),
        Delta(text="Something else"),
        Delta(finish_reason=STOP),
        Delta(index=1, text="Half way"),
        Delta(index=1, finish_reason=STOP),
    )
    assert out == [Delta(index=1, text=" way"), Delta(index=1, finish_reason=STOP)]


def test_what_one_choice_says_beyond_waits_for_the_others() -> None:
    before = said(Delta(text="a"), Delta(index=1, text="b"))
    splice = Splice(before)
    assert out_of(splice, Delta(text="aaa"), Delta(finish_reason=STOP)) == []
    out = out_of(splice, Delta(index=1, text="bbb"))
    assert out == [Delta(text="aa"), Delta(finish_reason=STOP), Delta(index=1, text="bb")]


def test_what_waits_is_bounded() -> None:
    splice = Splice(said(Delta(text="a"), Delta(index=1, text="b")))
    with pytest.raises(Diverged):
        out_of(splice, *[Delta(text="a")] * 10_000)


@pytest.mark.parametrize("extra", [{"extra_json": b'{"x": 1}'}, {"choice_extra_json": b'{"y": 2}'}])
def test_fields_without_a_place_go_out_once_the_answers_are_joined(extra: dict[str, bytes]) -> None:
    splice = Splice(said(Delta(text="a")))
    assert out_of(splice, Delta(**extra)) == []  # type: ignore[arg-type]  # one field or the other
    assert out_of(splice, Delta(text="a"), Delta(**extra)) == [Delta(**extra)]  # type: ignore[arg-type]
