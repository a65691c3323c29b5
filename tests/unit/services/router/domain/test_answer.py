"""The laws of a stream, on the part that decides what goes out when."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.router.domain.answer import Answer
from tests.unit.services.router.twins import STOP, USAGE, finish, role, text, usage
from tollway.chat.v1.chat_pb2 import ChatChunk, Delta, FinishReason, ReasoningPart, Role, ToolCallDelta, Usage

LENGTH = FinishReason.FINISH_REASON_LENGTH


def passed(answer: Answer, *chunks: ChatChunk) -> list[ChatChunk]:
    return [out for chunk in chunks if (out := answer.take(chunk)) is not None]


def joined(*chunks: ChatChunk) -> ChatChunk:
    whole = ChatChunk()
    for chunk in chunks:
        whole.MergeFrom(chunk)
    return whole


def words(chunks: list[ChatChunk], index: int = 0) -> str:
    return "".join(delta.text for chunk in chunks for delta in chunk.deltas if delta.index == index)


def finishes(chunks: list[ChatChunk]) -> list[tuple[int, int]]:
    return [(delta.index, delta.finish_reason) for chunk in chunks for delta in chunk.deltas if delta.finish_reason]


@pytest.mark.parametrize(
    "content",
    [
        Delta(text="a"),
        Delta(refusal="no"),
        Delta(reasoning=ReasoningPart(text="hm")),
        Delta(tool_calls=[ToolCallDelta(id="call-1")]),
        Delta(extra_json=b'{"audio":{"data":"AAAA"}}'),
    ],
)
def test_content_of_any_kind_begins_the_answer(content: Delta) -> None:
    answer = Answer(1)
    assert passed(answer, ChatChunk(deltas=[content])) == [ChatChunk(deltas=[content])]
    assert answer.begun


@pytest.mark.parametrize("nothing", [Delta(role=Role.ROLE_ASSISTANT), Delta(), Delta(extra_json=b'{"annotations":[]}')])
def test_what_is_no_content_does_not_begin_it(nothing: Delta) -> None:
    answer = Answer(1)
    assert passed(answer, ChatChunk(deltas=[nothing]), ChatChunk()) == []
    assert not answer.begun


def test_what_came_before_the_first_content_goes_out_with_it() -> None:
    answer = Answer(1)
    (first,) = passed(answer, role(), ChatChunk(service_tier="flex"), text("Hi"))
    assert [delta.role for delta in first.deltas] == [Role.ROLE_ASSISTANT, Role.ROLE_UNSPECIFIED]
    assert (words([first]), first.service_tier, first.id) == ("Hi", "flex", "chat-1")


def test_a_server_that_says_nothing_at_length_fills_no_memory() -> None:
    answer = Answer(1)
    assert passed(answer, *[role()] * 1000) == []
    (first,) = passed(answer, text("Hi"))
    assert len(first.deltas) < 100


def test_chunks_go_out_as_they_came() -> None:
    answer = Answer(1)
    chunks = [joined(text("a"), text("b")), text("c"), ChatChunk(extra_json=b'{"x":1}')]
    assert passed(answer, *chunks) == chunks


def test_the_finish_and_the_usage_wait_for_the_end() -> None:
    answer = Answer(1)
    out = passed(answer, text("a"), finish(), usage())
    assert out == [text("a")]
    ending = answer.ending()
    assert finishes([ending]) == [(0, STOP)]
    assert (ending.usage, ending.id, ending.model) == (USAGE, "chat-1", "m-2026")


def test_content_that_came_with_the_finish_does_not_wait() -> None:
    answer = Answer(1)
    last = Delta(text="b", finish_reason=LENGTH, native_finish_reason="max", extra_json=b'{"y":2}')
    (_, second) = passed(answer, text("a"), ChatChunk(deltas=[last]))
    assert list(second.deltas) == [Delta(text="b", extra_json=b'{"y":2}')]
    assert list(answer.ending().deltas) == [Delta(finish_reason=LENGTH, native_finish_reason="max")]


def test_a_whole_answer_in_one_chunk_is_parted_into_content_and_ending() -> None:
    answer = Answer(1)
    chunk = joined(role(), text("a"), text("b"), finish(), usage())
    before = chunk.SerializeToString()
    (out,) = passed(answer, chunk)
    assert words([out]) == "ab"
    assert finishes([out]) == []
    assert not out.HasField("usage")
    assert finishes([answer.ending()]) == [(0, STOP)]
    assert chunk.SerializeToString() == before, "a message that was received is never changed"


def test_usage_in_the_middle_is_kept_and_the_last_one_counts() -> None:
    answer = Answer(1)
    middle = joined(text("a"), usage(Usage(output_tokens=1)))
    out = passed(answer, middle, finish(), usage(Usage(output_tokens=2)))
    assert out == [text("a")]
    assert answer.ending().usage == Usage(output_tokens=2)


def test_usage_that_comes_with_a_repeated_finish_is_not_lost() -> None:
    answer = Answer(1)
    out = passed(answer, text("a"), finish(), joined(finish(), usage()))
    assert finishes(out) == []
    assert finishes([answer.ending()]) == [(0, STOP)]
    assert answer.ending().usage == USAGE


def test_of_several_choices_only_the_last_to_finish_waits() -> None:
    answer = Answer(2)
    out = passed(answer, text("a", 0), text("b", 1), finish(1), text("c", 0), finish(0))
    assert finishes(out) == [(1, STOP)]
    assert finishes([answer.ending()]) == [(0, STOP)]
    assert answer.complete


def test_an_answer_is_complete_once_every_choice_asked_for_has_finished() -> None:
    answer = Answer(2)
    passed(answer, text("a", 0), finish(0))
    assert not answer.complete
    assert answer.whole, "the provider may have given fewer"
    passed(answer, text("b", 1))
    assert not answer.whole
    passed(answer, finish(1))
    assert answer.complete


def test_an_answer_without_a_finish_is_neither_complete_nor_whole() -> None:
    answer = Answer(1)
    passed(answer, text("a"))
    assert not answer.complete
    assert not answer.whole


def test_an_empty_answer_is_all_ending() -> None:
    answer = Answer(1)
    assert passed(answer, role(), finish(0, LENGTH), usage()) == []
    ending = answer.ending()
    assert [delta.role for delta in ending.deltas] == [Role.ROLE_ASSISTANT, Role.ROLE_UNSPECIFIED]
    assert finishes([ending]) == [(0, LENGTH)]
    assert ending.usage == USAGE
    assert not answer.begun


def test_extra_fields_of_what_waits_are_all_kept() -> None:
    answer = Answer(1)
    ended = joined(finish(), ChatChunk(extra_json=b'{"a":1,"b":1}'))
    counted = joined(usage(), ChatChunk(extra_json=b'{"b":2}', system_fingerprint="fp"))
    passed(answer, text("x"), ended, counted)
    ending = answer.ending()
    assert (ending.extra_json, ending.system_fingerprint) == (b'{"a":1,"b":2}', "fp")


def test_characters_are_counted_over_all_kinds_of_content() -> None:
    answer = Answer(1)
    chunk = ChatChunk(
        deltas=[
            Delta(text="abc", refusal="d"),
            Delta(reasoning=ReasoningPart(text="ef")),
            Delta(tool_calls=[ToolCallDelta(name="g", arguments="hi")]),
        ]
    )
    passed(answer, chunk)
    assert answer.characters == 9


_deltas = st.lists(
    st.builds(
        Delta, index=st.integers(0, 1), text=st.sampled_from(["", "a", "bc"]), refusal=st.sampled_from(["", "no"])
    ),
    max_size=8,
)


@given(deltas=_deltas, cuts=st.lists(st.integers(0, 10), max_size=5), order=st.permutations([0, 1]))
def test_however_a_stream_is_cut_the_same_answer_goes_out(
    deltas: list[Delta], cuts: list[int], order: list[int]
) -> None:
    everything = [*deltas, *(Delta(index=index, finish_reason=STOP) for index in order)]
    places = sorted({0, len(everything), *(min(cut, len(everything)) for cut in cuts)})
    chunks = [ChatChunk(deltas=everything[start:end]) for start, end in pairwise(places)]
    chunks.append(usage())
    answer = Answer(2)
    out = [*passed(answer, *chunks), answer.ending()]
    for index in (0, 1):
        assert words(out, index) == "".join(delta.text for delta in deltas if delta.index == index)
    assert finishes(out) == [(index, STOP) for index in order]
    assert finishes(out[-1:]) == [(order[-1], STOP)] or not answer.begun
    assert [chunk.HasField("usage") for chunk in out] == [False] * (len(out) - 1) + [True]
