"""The laws of a stream, as a client sees them."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest

from mesh.errors import Reason, TollwayError
from services.router.domain.routes import Deployment
from tests.unit.services.router.bench import Bench
from tests.unit.services.router.twins import (
    STOP,
    USAGE,
    Hang,
    Item,
    Pause,
    chat,
    error,
    finish,
    role,
    streamed,
    text,
    usage,
)
from tollway.chat.v1.chat_pb2 import ChatChunk, Delta, FinishReason, ReasoningPart, ToolCallDelta
from tollway.ledger.v1.ledger_pb2 import AttemptStatus

CUT = error(Reason.UPSTREAM_CUT, upstream_status="200")
TOO_HOT = error(Reason.UPSTREAM_FAILED, upstream_status="500")


async def test_a_stream_opens_with_the_first_content_and_closes_with_finish_usage_and_receipt(bench: Bench) -> None:
    bench.deploy(a=[streamed("Hello")])
    reader = bench.stream()
    await reader.task
    first, last = reader.messages[0], reader.messages[-1]
    assert first.chunk.deltas[0].role
    assert first.chunk.deltas[1].text == "H"
    assert (first.receipt.request_id, first.receipt.trace_id) == ("req-1", "a" * 32)
    assert (first.receipt.deployment, first.receipt.attempts) == ("a/m", 1)
    assert not first.receipt.HasField("cost_nanos")
    assert [message.HasField("receipt") for message in reader.messages] == [True, False, False, False, False, True]
    assert reader.text == "Hello"
    assert [delta.finish_reason for delta in last.chunk.deltas] == [STOP]
    assert last.chunk.usage == USAGE
    assert last.receipt.cost_nanos == 10 * 1000 + 5 * 2000


async def test_content_is_passed_on_when_it_comes_and_the_finish_when_the_stream_is_over(bench: Bench) -> None:
    bench.deploy(a=[[text("a"), Pause(1), text("b"), finish(), Pause(1), usage(), Pause(1)]])
    reader = bench.stream()
    await bench.clock.advance(0)
    assert reader.text == "a"
    await bench.clock.advance(1)
    assert reader.text == "ab"
    await bench.clock.advance(1.5)
    assert reader.finishes == []
    await bench.clock.advance(0.5)
    assert reader.finishes == [STOP]
    await reader.task


async def test_events_that_arrived_together_stay_together(bench: Bench) -> None:
    batch = ChatChunk(deltas=[Delta(text=word) for word in "Hello"])
    bench.deploy(a=[[batch, finish()]])
    reader = bench.stream()
    await reader.task
    assert [len(message.chunk.deltas) for message in reader.messages] == [5, 1]


@pytest.mark.parametrize(
    "content",
    [
        Delta(text="a"),
        Delta(refusal="I cannot"),
        Delta(reasoning=ReasoningPart(text="hm")),
        Delta(tool_calls=[ToolCallDelta(id="call-1", name="f")]),
    ],
)
async def test_after_any_content_a_failure_is_one_error_and_never_another_answer(bench: Bench, content: Delta) -> None:
    bench.deploy(a=[[ChatChunk(deltas=[content]), CUT]], b=[streamed()])
    reader = bench.stream()
    told = await bench.failure(reader.task)
    assert told.reason is Reason.UPSTREAM_CUT
    assert told.metadata["deployment"] == "a/m"
    assert reader.deltas == [content]
    assert bench.providers.asked()[0] == "a/m"


@pytest.mark.parametrize("opening", [[], [role()], [role(), role()], [ChatChunk(service_tier="flex")]])
async def test_before_content_a_failure_is_invisible(bench: Bench, opening: list[Item]) -> None:
    silent = error(Reason.UPSTREAM_SILENT)
    bench.deploy(a=[[*opening, silent]], b=[streamed("Hi")])
    reader = bench.stream()
    await reader.task
    assert reader.text == "Hi"
    assert [delta.role for delta in reader.deltas].count(role().deltas[0].role) == 1
    assert reader.messages[0].receipt.attempts == 2


@pytest.mark.parametrize(
    "reason", [Reason.UPSTREAM_CUT, Reason.UPSTREAM_SILENT, Reason.UPSTREAM_MALFORMED, Reason.UPSTREAM_FAILED]
)
async def test_a_truncated_stream_is_never_reported_as_finished(bench: Bench, reason: Reason) -> None:
    bench.deploy(a=[[text("a"), error(reason)]])
    reader = bench.stream()
    assert (await bench.failure(reader.task)).reason is reason
    assert reader.finishes == []
    assert not any(message.chunk.HasField("usage") for message in reader.messages)


async def test_a_stream_that_ends_without_a_finish_was_cut_whatever_the_provider_service_says(bench: Bench) -> None:
    bench.deploy(a=[[text("a"), usage()]])
    reader = bench.stream()
    assert (await bench.failure(reader.task)).reason is Reason.UPSTREAM_CUT
    assert reader.text == "a"


@pytest.mark.parametrize("end", [[CUT], [TOO_HOT], []])
async def test_after_the_finish_it_does_not_matter_how_the_connection_ends(bench: Bench, end: list[Item]) -> None:
    bench.deploy(a=[[text("a"), finish(), *end]])
    reader = bench.stream()
    await reader.task
    assert reader.finishes == [STOP]
    assert bench.journal.rows[0].status == AttemptStatus.ATTEMPT_STATUS_OK


async def test_of_two_choices_one_that_is_cut_off_makes_the_whole_stream_unfinished(bench: Bench) -> None:
    bench.deploy(a=[[text("a", 0), text("b", 1), finish(0), CUT]])
    reader = bench.stream(request=chat(choice_count=2))
    assert (await bench.failure(reader.task)).reason is Reason.UPSTREAM_CUT
    assert reader.finishes == [STOP]


async def test_of_two_choices_the_last_to_finish_is_in_the_last_message(bench: Bench) -> None:
    bench.deploy(a=[[text("a", 0), text("b", 1), finish(1), text("c", 0), finish(0), usage()]])
    reader = bench.stream(request=chat(choice_count=2))
    await reader.task
    assert [delta.index for delta in reader.deltas if delta.finish_reason] == [1, 0]
    assert [delta.index for delta in reader.messages[-1].chunk.deltas] == [0]


@pytest.mark.parametrize("reason", [STOP, FinishReason.FINISH_REASON_LENGTH])
async def test_an_empty_answer_is_an_answer(bench: Bench, reason: FinishReason.ValueType) -> None:
    bench.deploy(a=[[role(), finish(0, reason), usage()]], b=[streamed()])
    reader = bench.stream()
    await reader.task
    (only,) = reader.messages
    assert reader.finishes == [reason]
    assert only.chunk.usage == USAGE
    assert only.receipt.attempts == 1
    assert only.receipt.HasField("cost_nanos")


# -- backpressure and leaving ------------------------------------------------------------------------------------------


async def test_a_slow_reader_slows_the_provider_down(bench: Bench) -> None:
    bench.deploy(a=[[text("x")] * 100])
    responses = bench.responses()
    async with aclosing(responses):
        await anext(responses)
        await anext(responses)
        await bench.clock.advance(0)
        assert bench.providers.calls[0].pulled == 2


async def test_a_reader_that_leaves_stops_the_provider_at_once(bench: Bench) -> None:
    bench.deploy(a=[[text("Hell"), Hang()]])
    reader = bench.stream()
    await bench.clock.advance(0)
    reader.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reader.task
    assert bench.providers.calls[0].cancelled
    (row,) = bench.journal.rows
    assert row.status == AttemptStatus.ATTEMPT_STATUS_CANCELLED
    assert all(span.ended == 1 and not span.error for span in bench.tracer.spans)
    assert {span.attributes["tollway.outcome"] for span in bench.tracer.spans} == {"cancelled"}


async def test_a_reader_that_stops_reading_between_two_messages_stops_the_provider_too(bench: Bench) -> None:
    bench.deploy(a=[[text("a"), text("b"), text("c")]])
    responses = bench.responses()
    async with aclosing(responses):
        await anext(responses)
    assert bench.providers.calls[0].cancelled
    assert bench.journal.rows[0].status == AttemptStatus.ATTEMPT_STATUS_CANCELLED


async def test_a_reader_that_leaves_after_the_last_message_has_had_its_answer(bench: Bench) -> None:
    bench.deploy(a=[[text("a"), finish()]])
    responses = bench.responses()
    async with aclosing(responses):
        await anext(responses)
        await anext(responses)
    assert bench.journal.rows[0].status == AttemptStatus.ATTEMPT_STATUS_OK
    assert bench.tracer.named("chat")[0].attributes["tollway.outcome"] == "ok"


async def test_a_bug_ends_the_attempt_and_its_spans_too(bench: Bench) -> None:
    broken = [ChatChunk(extra_json=b"not json", deltas=role().deltas), ChatChunk(extra_json=b"{}")]
    bench.deploy(a=[broken])
    reader = bench.stream()
    await asyncio.wait([reader.task])
    assert isinstance(reader.task.exception(), ValueError)
    assert not isinstance(reader.task.exception(), TollwayError)
    (row,) = bench.journal.rows
    assert (row.status, row.error_reason) == (AttemptStatus.ATTEMPT_STATUS_FAILED, "INTERNAL")
    assert [span.error for span in bench.tracer.spans] == ["INTERNAL", "INTERNAL"]


# -- on_disconnect: {drain: …} -----------------------------------------------------------------------------------------


DRAINED = Deployment("a", "m", drain=30.0)


async def left_after_the_first_message(bench: Bench, *rest: Item) -> None:
    bench.deploy(DRAINED, a=[[text("Hell"), Pause(1), *rest]])
    reader = bench.stream()
    await bench.clock.advance(0)
    assert reader.text == "Hell"
    reader.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reader.task
    assert bench.tracer.named("chat")[0].ended == 1


async def test_an_abandoned_answer_is_read_on_for_its_usage_where_the_provider_bills_anyway(bench: Bench) -> None:
    await left_after_the_first_message(bench, text("o"), finish(), Pause(20), usage())
    assert bench.journal.ends == {}
    assert not bench.providers.calls[0].cancelled
    await bench.clock.advance(21)
    (row,) = bench.journal.rows
    assert row.status == AttemptStatus.ATTEMPT_STATUS_CANCELLED
    assert row.usage == USAGE
    assert row.cost_nanos == 20_000


async def test_an_abandoned_answer_is_not_read_for_longer_than_configured(bench: Bench) -> None:
    await left_after_the_first_message(bench, text("o" * 4), Hang())
    await bench.clock.advance(29)
    assert bench.journal.ends == {}
    await bench.clock.advance(2)
    (row,) = bench.journal.rows
    assert row.usage.output_tokens == 2
    assert bench.providers.calls[0].cancelled


async def test_an_abandoned_answer_that_fails_is_settled_with_what_is_known(bench: Bench) -> None:
    await left_after_the_first_message(bench, CUT)
    await bench.clock.advance(1)
    assert bench.journal.rows[0].usage.output_tokens == 1


async def test_abandoned_answers_are_settled_when_the_router_closes(bench: Bench) -> None:
    await left_after_the_first_message(bench, Hang())
    await bench.drains.close()
    assert bench.journal.rows[0].status == AttemptStatus.ATTEMPT_STATUS_CANCELLED
    assert bench.providers.calls[0].cancelled


async def test_only_so_many_abandoned_answers_are_read_on(bench: Bench) -> None:
    bench.drains = type(bench.drains)(bench.clock, most=1)
    await left_after_the_first_message(bench, Hang())
    await left_after_the_first_message(bench, Hang())
    assert list(bench.journal.ends) == [1]
    assert [call.cancelled for call in bench.providers.calls] == [False, True]
    await bench.drains.close()


async def test_a_call_that_may_be_read_on_outlives_the_clients_deadline(bench: Bench) -> None:
    bench.deploy(DRAINED, a=[streamed()])
    await bench.stream(timeout=5.0).task
    assert bench.providers.calls[0].timeout == 35.0


async def test_an_answer_that_is_read_to_its_end_is_the_same_where_it_might_have_been_abandoned(bench: Bench) -> None:
    bench.deploy(DRAINED, a=[streamed("Hello")])
    reader = bench.stream()
    await reader.task
    assert (reader.text, reader.finishes) == ("Hello", [STOP])
