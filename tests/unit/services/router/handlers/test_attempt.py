"""What the ledger, the trace and the metrics are told of an attempt."""

from __future__ import annotations

import asyncio

import pytest

from mesh.errors import Reason
from mesh.ids import uuid7_time
from mesh.tracing import Kind, NoTracer, Tracer
from services.router.domain.routes import Deployment
from tests.unit.services.router.bench import PARENT, Bench
from tests.unit.services.router.twins import USAGE, Hang, Pause, answer, error, finish, role, streamed, text, usage
from tollway.chat.v1.chat_pb2 import Usage
from tollway.ledger.v1.ledger_pb2 import AttemptState, AttemptStatus, Provenance

SETTLED, UNSETTLED = AttemptState.ATTEMPT_STATE_SETTLED, AttemptState.ATTEMPT_STATE_UNSETTLED
both = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


@both
async def test_the_row_of_an_answer_says_everything_about_it(bench: Bench, stream: bool) -> None:
    bench.deploy(a=[[Pause(0.25), *streamed(), Pause(1.5)]])
    waiting = bench.ask(stream)
    await bench.seconds(waiting)
    await waiting
    (row,) = bench.journal.rows
    assert (row.state, row.status) == (SETTLED, AttemptStatus.ATTEMPT_STATUS_OK)
    assert uuid7_time(row.attempt_id) == pytest.approx(row.start_time.ToMicroseconds() / 1e6, abs=0.001)
    assert (row.request_id, row.trace_id, list(row.tags)) == ("req-1", "a" * 32, ["ci"])
    assert row.span_id == bench.tracer.named("attempt")[0].context.span_id
    assert (row.model_requested, row.model_used, row.deployment) == ("gpt", "m", "a/m")
    assert (row.attempt_number, row.streamed) == (1, stream)
    assert (row.usage, row.provenance) == (USAGE, Provenance.PROVENANCE_PROVIDER_REPORTED)
    assert (row.cost_nanos, row.price_version) == (20_000, "v1")
    assert (row.upstream_status, row.upstream_request_id) == (200, "up-1")
    assert row.response_time_ms == 1750
    assert row.time_to_first_token_ms == (250 if stream else 1750)
    assert row.finish_reason == "FINISH_REASON_STOP"
    assert row.error_reason == ""
    assert row.end_time.ToMilliseconds() - row.start_time.ToMilliseconds() == 1750


@both
async def test_the_journal_knows_of_a_call_before_it_leaves(bench: Bench, stream: bool) -> None:
    bench.deploy(a=[Hang()])
    waiting = bench.ask(stream)
    await bench.clock.advance(0)
    (opened,) = bench.journal.opens.values()
    assert opened.state == AttemptState.ATTEMPT_STATE_OPENED
    assert opened.attempt_id == bench.providers.calls[0].request.attempt_id
    assert not opened.HasField("end_time")
    waiting.cancel()
    await asyncio.wait([waiting])


@both
async def test_a_failed_attempt_is_never_billed(bench: Bench, stream: bool) -> None:
    bench.deploy(a=[error(Reason.UPSTREAM_REJECTED, upstream_status="400", upstream_request_id="up-9")])
    await bench.failure(bench.ask(stream))
    (row,) = bench.journal.rows
    assert (row.state, row.status) == (SETTLED, AttemptStatus.ATTEMPT_STATUS_FAILED)
    assert (row.error_reason, row.upstream_status, row.upstream_request_id) == ("UPSTREAM_REJECTED", 400, "up-9")
    assert not row.HasField("usage")
    assert not row.HasField("cost_nanos")
    assert not row.HasField("time_to_first_token_ms")
    assert row.provenance == Provenance.PROVENANCE_UNSETTLED


@both
@pytest.mark.parametrize("reason", [Reason.UPSTREAM_UNREACHABLE, Reason.UPSTREAM_SILENT, Reason.SERVICE_UNAVAILABLE])
async def test_a_call_whose_provider_was_never_heard_of_is_unsettled(
    bench: Bench, stream: bool, reason: Reason
) -> None:
    bench.deploy(Deployment("a", "m", retries=0), a=[error(reason)])
    await bench.failure(bench.ask(stream))
    (row,) = bench.journal.rows
    assert (row.state, row.status) == (UNSETTLED, AttemptStatus.ATTEMPT_STATUS_FAILED)
    assert row.error_reason == reason


@both
async def test_a_call_that_was_cancelled_before_its_provider_was_heard_of_is_unsettled(
    bench: Bench, stream: bool
) -> None:
    bench.deploy(a=[Hang()])
    waiting = bench.ask(stream)
    await bench.clock.advance(1)
    waiting.cancel()
    await asyncio.wait([waiting])
    (row,) = bench.journal.rows
    assert (row.state, row.status) == (UNSETTLED, AttemptStatus.ATTEMPT_STATUS_CANCELLED)
    assert not row.HasField("usage")


@both
async def test_every_attempt_has_an_id_and_a_number_of_its_own(bench: Bench, stream: bool) -> None:
    bench.deploy(a=[error(Reason.UPSTREAM_FAILED, upstream_status="503")], b=[streamed()])
    waiting = bench.ask(stream)
    await bench.seconds(waiting)
    rows = bench.journal.rows
    assert [row.attempt_number for row in rows] == [1, 2, 3]
    assert [row.deployment for row in rows] == ["a/m", "a/m", "b/m"]
    assert len({row.attempt_id for row in rows}) == 3
    assert {row.request_id for row in rows} == {"req-1"}


@both
async def test_a_zero_of_the_provider_is_a_zero(bench: Bench, stream: bool) -> None:
    bench.deploy(a=[[text("a"), finish(), usage(Usage())]] if stream else [answer("a", Usage())])
    _, receipt = await bench.ask(stream)
    assert receipt.HasField("cost_nanos")
    assert receipt.cost_nanos == 0
    assert bench.journal.rows[0].provenance == Provenance.PROVENANCE_PROVIDER_REPORTED


async def test_an_answer_without_usage_is_counted_by_its_size(bench: Bench) -> None:
    bench.deploy(a=[[text("12345"), finish()], answer("12345", None)])
    await bench.ask(True)
    await bench.ask(False)
    counted, estimated = bench.journal.rows
    expected = Usage(input_tokens=3, output_tokens=2)
    assert (counted.usage, counted.provenance) == (expected, Provenance.PROVENANCE_STREAM_COUNTED)
    assert (estimated.usage, estimated.provenance) == (expected, Provenance.PROVENANCE_ESTIMATED)


async def test_what_was_delivered_of_an_interrupted_answer_is_counted(bench: Bench) -> None:
    bench.deploy(a=[[text("12345"), error(Reason.UPSTREAM_CUT)]])
    await bench.failure(bench.stream().task)
    (row,) = bench.journal.rows
    assert (row.state, row.status) == (SETTLED, AttemptStatus.ATTEMPT_STATUS_INTERRUPTED)
    assert (row.usage.output_tokens, row.provenance) == (2, Provenance.PROVENANCE_STREAM_COUNTED)
    assert row.cost_nanos == 3 * 1000 + 2 * 2000


async def test_a_stream_cancelled_before_any_content_costs_nothing(bench: Bench) -> None:
    bench.deploy(a=[[role(), Hang()]])
    reader = bench.stream()
    await bench.clock.advance(0)
    reader.task.cancel()
    await asyncio.wait([reader.task])
    (row,) = bench.journal.rows
    assert (row.state, row.status) == (SETTLED, AttemptStatus.ATTEMPT_STATUS_CANCELLED)
    assert not row.HasField("usage")
    assert not row.HasField("cost_nanos")


async def test_a_stream_cancelled_midway_costs_what_was_delivered(bench: Bench) -> None:
    bench.deploy(a=[[text("12345"), Hang()]])
    reader = bench.stream()
    await bench.clock.advance(0)
    reader.task.cancel()
    await asyncio.wait([reader.task])
    assert bench.journal.rows[0].usage == Usage(input_tokens=3, output_tokens=2)


async def test_what_the_provider_reported_of_a_failed_attempt_is_booked_and_in_the_sum(bench: Bench) -> None:
    bench.deploy(a=[[usage(), error(Reason.UPSTREAM_SILENT, upstream_status="200")]], b=[streamed()])
    _, receipt = await bench.ask(True)
    assert [row.cost_nanos for row in bench.journal.rows] == [20_000, 20_000]
    assert receipt.cost_nanos == 40_000


async def test_counts_that_contradict_each_other_leave_a_row_unpriced(bench: Bench) -> None:
    assert bench.prices.price is not None
    bench.prices.price.cached_input_nanos_per_1m = 0
    impossible = Usage(input_tokens=1, cached_input_tokens=1000)
    bench.deploy(a=[answer("a", impossible)])
    await bench.create()
    (row,) = bench.journal.rows
    assert row.usage == impossible
    assert not row.HasField("cost_nanos")


async def test_what_the_provider_said_first_of_the_call_stays_when_it_fails_later(bench: Bench) -> None:
    bench.deploy(a=[[text("a"), error(Reason.UPSTREAM_CUT, upstream_status="200")]])
    await bench.failure(bench.stream().task)
    (row,) = bench.journal.rows
    assert (row.upstream_status, row.upstream_request_id) == (200, "up-1")


async def test_spans_hold_no_message_that_may_quote_the_question(bench: Bench) -> None:
    bench.deploy(a=[error(Reason.UPSTREAM_REJECTED, message="'my secret' is not allowed", upstream_status="400")])
    await bench.failure(bench.create())
    assert [span.error for span in bench.tracer.spans] == ["UPSTREAM_REJECTED"] * 2
    assert "secret" not in repr(bench.tracer.spans)


async def test_a_header_of_the_provider_cannot_make_a_row_unbookable(bench: Bench) -> None:
    bench.deploy(a=[error(Reason.UPSTREAM_REJECTED, upstream_status="400", upstream_request_id="a\0b" + "c" * 999)])
    await bench.failure(bench.create())
    kept = bench.journal.rows[0].upstream_request_id
    assert kept.startswith("abc")
    assert len(kept) <= 256


# -- spans and metrics -------------------------------------------------------------------------------------------------


@both
async def test_an_operation_is_one_span_with_a_span_for_each_attempt(bench: Bench, stream: bool) -> None:
    bench.deploy(a=[error(Reason.UPSTREAM_SILENT)], b=[streamed()])
    await bench.ask(stream)
    operation, first, second = bench.tracer.spans
    assert (operation.name, operation.kind, operation.parent) == ("chat gpt", Kind.CLIENT, PARENT)
    assert (first.name, first.kind, first.parent) == ("attempt 1 a/m", Kind.INTERNAL, operation.context)
    assert (second.name, second.parent) == ("attempt 2 b/m", operation.context)
    assert [span.error for span in bench.tracer.spans] == ["", "UPSTREAM_SILENT", ""]
    assert [span.ended for span in bench.tracer.spans] == [1, 1, 1]
    assert [span.attributes["tollway.outcome"] for span in bench.tracer.spans] == ["ok", "failed", "ok"]


@both
async def test_the_operations_span_speaks_genai(bench: Bench, stream: bool) -> None:
    bench.deploy(a=[streamed()])
    await bench.ask(stream)
    said = bench.tracer.named("chat")[0].attributes
    assert said["gen_ai.operation.name"] == "chat"
    assert said["gen_ai.provider.name"] == "openai"
    assert said["gen_ai.request.model"] == "gpt"
    assert said["gen_ai.request.stream"] is stream
    assert said["gen_ai.response.id"] == "chat-1"
    assert said["gen_ai.response.model"] == "m-2026"
    assert said["gen_ai.response.finish_reasons"] == ("stop",)
    assert said["gen_ai.usage.input_tokens"] == 10
    assert said["gen_ai.usage.output_tokens"] == 5
    assert said["tollway.cost_nanos"] == 20_000
    assert said["tollway.attempts"] == 1


@both
async def test_a_failed_operation_fails_its_span_with_the_reason(bench: Bench, stream: bool) -> None:
    bench.deploy(a=[error(Reason.UPSTREAM_REJECTED, upstream_status="400")])
    await bench.failure(bench.ask(stream))
    operation = bench.tracer.named("chat")[0]
    assert (operation.error, operation.ended) == ("UPSTREAM_REJECTED", 1)


@both
async def test_an_unsampled_request_has_a_trace_id_and_no_span_id(bench: Bench, stream: bool) -> None:
    unsampled: Tracer = NoTracer()
    bench.tracer = unsampled  # type: ignore[assignment]  # a tracer all the same
    bench.deploy(a=[streamed()])
    _, receipt = await bench.ask(stream)
    (row,) = bench.journal.rows
    assert row.trace_id == receipt.trace_id
    assert len(row.trace_id) == 32


@both
async def test_an_operation_and_its_attempts_are_measured(bench: Bench, stream: bool) -> None:
    bench.deploy(a=[error(Reason.UPSTREAM_SILENT)], b=[[Pause(2), *streamed()]])
    waiting = bench.ask(stream)
    await bench.seconds(waiting)
    assert bench.metrics.values("gen_ai.client.operation.duration") == [2.0]
    assert bench.metrics.values("gen_ai.client.token.usage") == [10, 5]
    assert bench.metrics.values("tollway.attempts") == [1, 1]
    assert bench.metrics.values("tollway.cost.nanos") == [20_000]
    first_chunk = bench.metrics.values("gen_ai.client.operation.time_to_first_chunk")
    assert first_chunk == ([2.0] if stream else [])
    outcomes = [labels["tollway.outcome"] for name, _, labels in bench.metrics.seen if name == "tollway.attempts"]
    assert outcomes == ["failed", "ok"]


async def test_a_failed_operation_is_measured_under_its_reason(bench: Bench) -> None:
    bench.deploy(a=[error(Reason.UPSTREAM_REJECTED)])
    await bench.failure(bench.create())
    ((_, _, labels),) = [seen for seen in bench.metrics.seen if seen[0] == "gen_ai.client.operation.duration"]
    assert labels["error.type"] == "UPSTREAM_REJECTED"
