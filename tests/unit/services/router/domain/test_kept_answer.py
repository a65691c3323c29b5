from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.router.domain.kept_answer import Response, Tape, hit_receipt, joined, with_receipt
from tests.unit.services.router.twins import answer
from tollway.chat.v1.chat_pb2 import ChatChunk, Choice, Delta, FinishReason, ReasoningPart, Role, ToolCallDelta, Usage
from tollway.router.v1.router_pb2 import (
    CacheOutcome,
    Continuation,
    CreateChatCompletionResponse,
    Receipt,
    StreamChatCompletionResponse,
)

STOP = FinishReason.FINISH_REASON_STOP
KEPT = {STOP, FinishReason.FINISH_REASON_TOOL_CALLS, FinishReason.FINISH_REASON_FUNCTION_CALL}
INDEXES = st.integers(0, 2)
DELTAS = st.one_of(
    st.builds(Delta, index=INDEXES, text=st.text(max_size=5)),
    st.builds(Delta, index=INDEXES, role=st.just(Role.ROLE_ASSISTANT)),
    st.builds(Delta, index=INDEXES, refusal=st.text(max_size=3)),
    st.builds(Delta, index=INDEXES, text=st.text(max_size=3), extra_json=st.just(b'{"a":1}')),
    st.builds(Delta, index=INDEXES, reasoning=st.builds(ReasoningPart, text=st.text(max_size=3))),
    st.builds(Delta, index=INDEXES, tool_calls=st.just([ToolCallDelta(index=0, arguments="{")])),
)
CHUNKS = st.lists(st.lists(DELTAS, max_size=4).map(lambda deltas: ChatChunk(deltas=deltas)), max_size=8)


def told(chunks: Sequence[ChatChunk]) -> dict[int, list[object]]:
    """What a client makes of chunks: each choice's parts in order, text joined."""
    parts: dict[int, list[object]] = defaultdict(list)
    for chunk in chunks:
        for delta in chunk.deltas:
            rest = Delta()
            rest.CopyFrom(delta)
            rest.ClearField("text")
            before = parts[delta.index]
            if delta.text:
                if before and isinstance(before[-1], str):
                    before[-1] += delta.text
                else:
                    before.append(delta.text)
            if rest != Delta(index=delta.index):
                before.append(rest.SerializeToString())
    return {index: each for index, each in parts.items() if each}


@given(CHUNKS)
def test_however_an_answer_was_cut_its_pieces_come_to_the_same_in_one(chunks: list[ChatChunk]) -> None:
    before = [chunk.SerializeToString() for chunk in chunks]
    assert told([joined(chunks)]) == told(chunks)
    assert [chunk.SerializeToString() for chunk in chunks] == before


@given(st.text(min_size=1), st.lists(st.integers(0, 40)))
def test_text_that_was_cut_anywhere_is_in_one_piece_again(text: str, cuts: list[int]) -> None:
    places = sorted({0, len(text), *(min(cut, len(text)) for cut in cuts)})
    pieces = [text[start:end] for start, end in pairwise(places)]
    (delta,) = joined([ChatChunk(deltas=[Delta(text=piece)]) for piece in pieces]).deltas
    assert delta.text == text


def test_what_chunks_say_of_the_whole_answer_is_kept() -> None:
    whole = joined(
        [
            ChatChunk(id="1", model="m", deltas=[Delta(text="a")], extra_json=b'{"a":1,"b":12345678901234567890123}'),
            ChatChunk(service_tier="flex", extra_json=b'{"a":2}'),
            ChatChunk(system_fingerprint="fp", deltas=[Delta(text="b")]),
        ]
    )
    assert (whole.id, whole.model, whole.service_tier, whole.system_fingerprint) == ("1", "m", "flex", "fp")
    assert whole.extra_json == b'{"a":2,"b":12345678901234567890123}'
    assert orjson.loads(whole.extra_json)["a"] == 2


def stream(finishes: dict[int, FinishReason.ValueType], **receipt: object) -> list[Response]:
    deltas = [Delta(index=index, finish_reason=reason) for index, reason in finishes.items()]
    return [
        StreamChatCompletionResponse(chunk=ChatChunk(deltas=[Delta(text="a")]), receipt=Receipt(deployment="a/m")),
        StreamChatCompletionResponse(chunk=ChatChunk(deltas=[Delta(text="b")])),
        StreamChatCompletionResponse(
            chunk=ChatChunk(deltas=deltas, usage=Usage(input_tokens=1)),
            receipt=Receipt(deployment="a/m", **receipt),  # type: ignore[arg-type]
        ),
    ]


def whole(finishes: dict[int, FinishReason.ValueType], **receipt: object) -> list[Response]:
    chat = answer()
    del chat.choices[:]
    chat.choices.extend(Choice(index=index, finish_reason=reason) for index, reason in finishes.items())
    return [CreateChatCompletionResponse(chat=chat, receipt=Receipt(deployment="a/m", **receipt))]  # type: ignore[arg-type]


def keep(responses: list[Response], choices: int = 1, most: int = 10_000) -> object:
    tape = Tape(most)
    for response in responses:
        tape.add(response)
    return tape.answer(choices, 5.0)


@pytest.mark.parametrize("shape", [stream, whole])
@pytest.mark.parametrize("reason", FinishReason.values())
def test_an_answer_is_kept_that_has_said_all_it_had_to_say(shape: object, reason: FinishReason.ValueType) -> None:
    made = stream({0: reason}) if shape is stream else whole({0: reason})
    assert (keep(made) is not None) == (reason in KEPT)


@pytest.mark.parametrize("shape", [stream, whole], ids=["stream", "whole"])
class TestNotKept:
    def test_is_an_answer_with_a_choice_that_is_cut_or_missing(self, shape: object) -> None:
        make = stream if shape is stream else whole
        assert keep(make({0: STOP, 1: STOP}), choices=2) is not None
        assert keep(make({0: STOP, 1: FinishReason.FINISH_REASON_LENGTH}), choices=2) is None
        assert keep(make({0: STOP}), choices=2) is None
        assert keep(make({})) is None

    def test_is_an_answer_that_was_continued(self, shape: object) -> None:
        make = stream if shape is stream else whole
        assert keep(make({0: STOP}, continuations=[Continuation.CONTINUATION_SPLICE])) is None

    def test_is_an_answer_that_is_too_large(self, shape: object) -> None:
        make = stream if shape is stream else whole
        assert keep(make({0: STOP}), most=10) is None


def test_nothing_is_no_answer() -> None:
    assert Tape(10).answer(1, 0.0) is None


def test_a_stream_is_kept_in_two_pieces_the_last_of_which_ends_it() -> None:
    tape = Tape(10_000)
    for response in stream({0: STOP}):
        tape.add(response)
    kept = tape.answer(1, 5.0)
    assert kept is not None
    assert (kept.at, kept.deployment) == (5.0, "a/m")
    opening, ending = kept.responses
    assert isinstance(opening, StreamChatCompletionResponse)
    assert isinstance(ending, StreamChatCompletionResponse)
    assert [delta.text for delta in opening.chunk.deltas] == ["ab"]
    assert ending.chunk.usage.input_tokens == 1
    assert not any(each.HasField("receipt") for each in kept.responses)
    receipt = hit_receipt(kept, "req-2", "t" * 32, 7.5)
    given_ = with_receipt(kept.responses, receipt)
    assert [each.receipt for each in given_] == [receipt, receipt]
    assert (receipt.cache, receipt.cost_nanos, receipt.attempts) == (CacheOutcome.CACHE_OUTCOME_HIT, 0, 0)
    assert receipt.HasField("cost_nanos")
    assert receipt.age.ToNanoseconds() == 2_500_000_000
    assert hit_receipt(kept, "", "", 4.0).age.ToNanoseconds() == 0  # another machine's clock
