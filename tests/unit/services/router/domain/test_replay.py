from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.errors import TABLE, FieldViolation, Reason, TollwayError
from services.router.domain import replay
from services.router.domain.replay import Record, State
from tests.unit.services.router.twins import answer, text
from tollway.chat.v1.chat_pb2 import ChatChunk
from tollway.router.v1.router_pb2 import (
    CreateChatCompletionResponse,
    RateLimit,
    RateLimits,
    Receipt,
    StreamChatCompletionResponse,
)

RECORD = Record(b"asked", True, "owner", State.RUNNING)
FAILURE = TollwayError(
    Reason.UPSTREAM_REJECTED, "no", {"attempts": "1"}, 2.5, (FieldViolation("chat.model", "name a model"),)
)


@given(st.lists(st.lists(st.text(max_size=8), max_size=4), max_size=8))
def test_what_was_said_is_said_again_in_the_same_pieces(words: list[list[str]]) -> None:
    said = [
        StreamChatCompletionResponse(chunk=ChatChunk(deltas=[delta for word in piece for delta in text(word).deltas]))
        for piece in words
    ]
    again = replay.unframed(replay.framed(said), StreamChatCompletionResponse)
    assert again == said


@pytest.mark.parametrize("state", State)
def test_a_record_is_read_as_it_was_written(state: State) -> None:
    record = Record(b"\xff", False, "owner", state, b"\0frames", replay.kept(FAILURE))
    assert replay.decode(replay.encode(record)) == record


def test_a_record_of_another_version_may_say_more() -> None:
    longer = msgspec.msgpack.encode([*msgspec.structs.astuple(RECORD), "something new"])
    assert replay.decode(longer) == RECORD


@pytest.mark.parametrize("kept", [b"", b"\xc1", b"\x93\x01\x02\x03"])
def test_a_record_that_cannot_be_read_is_said_to_be_so(kept: bytes) -> None:
    with pytest.raises(TollwayError, match="cannot be read") as raised:
        replay.decode(kept)
    assert raised.value.reason is Reason.SERVICE_UNAVAILABLE


def test_an_error_is_told_again_with_all_it_said() -> None:
    told = replay.told(replay.kept(FAILURE))
    assert (told.reason, told.message, told.retry_after) == (FAILURE.reason, "no", 2.5)
    assert told.violations == FAILURE.violations
    assert told.metadata == {"attempts": "1", "replayed": "1"}


def test_an_error_of_a_later_version_is_an_error_all_the_same() -> None:
    told = replay.told(replay.Failure("BRAND_NEW", "no", {}, None, []))
    assert (told.reason, told.message) == (Reason.INTERNAL, "no")


ANSWERED = {"attempts": "1", "upstream_status": "400"}
FINAL = (
    Reason.CONTEXT_LENGTH_EXCEEDED, Reason.CONTENT_FILTERED, Reason.UNSUPPORTED_FEATURE, Reason.INVALID_REQUEST,
    Reason.UPSTREAM_REJECTED, Reason.UPSTREAM_MODEL_NOT_FOUND, Reason.UPSTREAM_FORBIDDEN,
)  # fmt: skip
PASSING = (
    Reason.UPSTREAM_RATE_LIMITED, Reason.UPSTREAM_FAILED, Reason.UPSTREAM_UNREACHABLE, Reason.UPSTREAM_SILENT,
    Reason.UPSTREAM_CUT, Reason.UPSTREAM_MALFORMED, Reason.UPSTREAM_CREDENTIALS, Reason.PROVIDER_NOT_CONFIGURED,
    Reason.RATE_LIMITED, Reason.BUDGET_EXCEEDED, Reason.DEADLINE_EXCEEDED, Reason.CANCELLED,
    Reason.SERVICE_UNAVAILABLE, Reason.INTERNAL,
)  # fmt: skip


@pytest.mark.parametrize(("reason", "final"), [*((r, True) for r in FINAL), *((r, False) for r in PASSING)])
def test_an_error_is_the_answer_where_a_provider_would_only_say_it_again(reason: Reason, final: bool) -> None:
    assert replay.is_final(TollwayError(reason, "", ANSWERED)) == final


@pytest.mark.parametrize("reason", TABLE)
def test_an_error_that_a_client_may_repeat_or_that_came_before_any_call_is_no_answer(reason: Reason) -> None:
    assert not (TABLE[reason].repeatable and replay.is_final(TollwayError(reason, "", ANSWERED)))
    assert not replay.is_final(TollwayError(reason, "", {"attempts": "1"})), "the question could not be put"
    assert not replay.is_final(TollwayError(reason, ""))


def test_a_receipt_says_that_it_is_given_again_and_not_what_was_left_of_limits_then() -> None:
    limits = RateLimits(requests=RateLimit(scope="key:ci", limit=1))
    first = CreateChatCompletionResponse(chat=answer(), receipt=Receipt(cost_nanos=5, rate_limits=limits))
    again = replay.repeated(first)
    assert again == CreateChatCompletionResponse(chat=answer(), receipt=Receipt(cost_nanos=5, replayed=True))
    assert not first.receipt.replayed
    between = StreamChatCompletionResponse(chunk=text("a"))
    assert replay.repeated(between) is between


def test_a_key_stands_for_a_question_in_the_shape_it_was_asked_for() -> None:
    assert replay.conflict(RECORD, b"asked", streamed=True) == ""
    assert "another question" in replay.conflict(RECORD, b"other", streamed=True)
    assert "used to ask for a streamed answer" in replay.conflict(RECORD, b"asked", streamed=False)
