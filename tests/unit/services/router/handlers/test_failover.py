"""Each row of the table of failures, end to end: whole and streamed, with one candidate and with several."""

from __future__ import annotations

import asyncio

import pytest

from mesh.errors import Reason
from services.router.domain.routes import Deployment
from tests.unit.services.router.bench import Bench
from tests.unit.services.router.twins import Hang, Pause, Script, error, role, streamed
from tollway.ledger.v1.ledger_pb2 import AttemptStatus

pytestmark = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])

BUSY = error(Reason.UPSTREAM_RATE_LIMITED, upstream_status="429")
REPEATED = [
    BUSY,
    error(Reason.UPSTREAM_FAILED, upstream_status="503"),
    error(Reason.UPSTREAM_UNREACHABLE),
    error(Reason.UPSTREAM_CUT),
    error(Reason.UPSTREAM_MALFORMED, upstream_status="200"),
    error(Reason.SERVICE_UNAVAILABLE),
]
PASSED_ON = [
    error(Reason.UPSTREAM_SILENT),
    error(Reason.UPSTREAM_CREDENTIALS, upstream_status="401"),
    error(Reason.UPSTREAM_FORBIDDEN, upstream_status="403"),
    error(Reason.UPSTREAM_MODEL_NOT_FOUND, upstream_status="404"),
    error(Reason.PROVIDER_NOT_CONFIGURED),
    error(Reason.UNSUPPORTED_FEATURE),
    error(Reason.INTERNAL),
]
FINAL = [
    error(Reason.UPSTREAM_REJECTED, upstream_status="400"),
    error(Reason.CONTENT_FILTERED, upstream_status="400"),
]


def by_reason(failure: object) -> str:
    return str(getattr(failure, "reason", failure))


@pytest.mark.parametrize("failure", REPEATED, ids=by_reason)
async def test_a_lone_candidate_is_asked_four_times_over_seven_seconds(
    bench: Bench, stream: bool, failure: Script
) -> None:
    bench.deploy(a=[failure])
    waiting = bench.ask(stream)
    told = await bench.failure(waiting)
    assert told.reason is by_reason_of(failure)
    assert bench.providers.asked() == ["a/m"] * 4
    starts = [call.at - bench.providers.calls[0].at for call in bench.providers.calls]
    assert starts == [0, 1, 3, 7]
    assert told.metadata["attempts"] == "4"


@pytest.mark.parametrize("failure", REPEATED, ids=by_reason)
async def test_a_candidate_that_recovers_answers_and_nobody_notices(
    bench: Bench, stream: bool, failure: Script
) -> None:
    bench.deploy(a=[failure, failure, streamed()])
    waiting = bench.ask(stream)
    await bench.seconds(waiting)
    text, receipt = await waiting
    assert (text, receipt.attempts, receipt.deployment) == ("Hello", 3, "a/m")


@pytest.mark.parametrize("failure", REPEATED, ids=by_reason)
async def test_any_other_candidate_is_asked_once_more_and_then_the_next(
    bench: Bench, stream: bool, failure: Script
) -> None:
    bench.deploy(a=[failure], b=[streamed()])
    waiting = bench.ask(stream)
    assert await bench.seconds(waiting) == pytest.approx(1, abs=0.25)
    text, receipt = await waiting
    assert (text, receipt.attempts, receipt.deployment) == ("Hello", 3, "b/m")
    assert bench.providers.asked() == ["a/m", "a/m", "b/m"]


@pytest.mark.parametrize("failure", PASSED_ON, ids=by_reason)
async def test_what_asking_again_cannot_change_goes_to_the_next_candidate_at_once(
    bench: Bench, stream: bool, failure: Script
) -> None:
    bench.deploy(a=[failure], b=[streamed()])
    waiting = bench.ask(stream)
    assert await bench.seconds(waiting) == 0
    assert (await waiting)[0] == "Hello"
    assert bench.providers.asked() == ["a/m", "b/m"]


@pytest.mark.parametrize("failure", PASSED_ON, ids=by_reason)
async def test_what_asking_again_cannot_change_is_told_where_nobody_else_is_left(
    bench: Bench, stream: bool, failure: Script
) -> None:
    bench.deploy(a=[failure])
    told = await bench.failure(bench.ask(stream))
    assert told.reason is by_reason_of(failure)
    assert bench.providers.asked() == ["a/m"]


@pytest.mark.parametrize("failure", FINAL, ids=by_reason)
async def test_what_is_the_clients_fault_is_told_at_once(bench: Bench, stream: bool, failure: Script) -> None:
    bench.deploy(a=[failure], b=[streamed()])
    waiting = bench.ask(stream)
    assert await bench.seconds(waiting) == 0
    assert (await bench.failure(waiting)).reason is by_reason_of(failure)
    assert bench.providers.asked() == ["a/m"]


async def test_a_question_too_long_skips_windows_that_are_no_larger(bench: Bench, stream: bool) -> None:
    too_long = error(Reason.CONTEXT_LENGTH_EXCEEDED, upstream_status="400")
    small, same, large = (Deployment(name, "m", context=size) for name, size in (("a", 8), ("b", 8), ("c", 32)))
    bench.deploy(small, same, large, a=[too_long], b=[streamed()], c=[streamed()])
    await bench.ask(stream)
    assert bench.providers.asked() == ["a/m", "c/m"]


async def test_a_fallback_model_is_asked_after_the_models_own_deployments(bench: Bench, stream: bool) -> None:
    silent = error(Reason.UPSTREAM_SILENT)
    own, fallback = Deployment("a", "m"), Deployment("b", "m")
    bench.deploy(own, fallback=fallback, a=[silent], b=[streamed()])
    _, receipt = await bench.ask(stream)
    assert receipt.deployment == "b/m"
    assert [row.model_requested for row in bench.journal.rows] == ["gpt", "gpt"]


# -- Retry-After -------------------------------------------------------------------------------------------------------


async def test_a_short_retry_after_is_waited_for(bench: Bench, stream: bool) -> None:
    bench.deploy(a=[error(Reason.UPSTREAM_RATE_LIMITED, 3.0), streamed()])
    waiting = bench.ask(stream)
    assert await bench.seconds(waiting) == pytest.approx(3, abs=0.25)
    assert (await waiting)[0] == "Hello"


async def test_a_retry_after_is_not_waited_for_where_another_deployment_is_ready(bench: Bench, stream: bool) -> None:
    bench.deploy(a=[error(Reason.UPSTREAM_RATE_LIMITED, 1.0)], b=[streamed()])
    waiting = bench.ask(stream)
    assert await bench.seconds(waiting) == 0
    assert (await waiting)[1].deployment == "b/m"


async def test_a_retry_after_beyond_the_deadline_is_told_at_once(bench: Bench, stream: bool) -> None:
    bench.deploy(a=[error(Reason.UPSTREAM_RATE_LIMITED, 3.0)])
    waiting = bench.ask(stream, timeout=2.0)
    assert await bench.seconds(waiting) == 0
    told = await bench.failure(waiting)
    assert (told.reason, told.retry_after) == (Reason.UPSTREAM_RATE_LIMITED, 3.0)


async def test_where_all_are_busy_the_shortest_wait_is_told(bench: Bench, stream: bool) -> None:
    bench.deploy(a=[error(Reason.UPSTREAM_RATE_LIMITED, 20.0)], b=[error(Reason.UPSTREAM_RATE_LIMITED, 60.0)])
    told = await bench.failure(bench.ask(stream))
    assert (told.reason, told.retry_after) == (Reason.UPSTREAM_RATE_LIMITED, 20.0)


# -- what the client is told -------------------------------------------------------------------------------------------


async def test_an_error_says_what_each_candidate_showed_and_where_to_look(bench: Bench, stream: bool) -> None:
    bench.deploy(a=[error(Reason.UPSTREAM_SILENT)], b=[error(Reason.UPSTREAM_CREDENTIALS, provider="b")])
    told = await bench.failure(bench.ask(stream))
    assert "a/m: showed UPSTREAM_SILENT" in told.message
    assert "b/m: showed UPSTREAM_CREDENTIALS" in told.message
    assert told.metadata == {
        "provider": "b",
        "request_id": "req-1",
        "trace_id": "a" * 32,
        "attempts": "2",
        "deployment": "b/m",
    }


async def test_an_unknown_model_is_told_how_to_find_those_there_are_and_costs_nothing(
    bench: Bench, stream: bool
) -> None:
    told = await bench.failure(bench.ask(stream))
    assert told.reason is Reason.MODEL_NOT_FOUND
    assert "'gpt'" in told.message
    assert "GET /v1/models" in told.message
    assert told.metadata == {"request_id": "req-1", "trace_id": "a" * 32, "attempts": "0"}
    assert bench.providers.calls == []
    assert bench.journal.opens == {}


# -- deadlines ---------------------------------------------------------------------------------------------------------


async def test_a_call_may_take_what_is_left_of_the_deadline_or_its_own_limit(bench: Bench, stream: bool) -> None:
    quick, slow = Deployment("a", "m", total=4.0), Deployment("b", "m", total=600.0)
    bench.deploy(quick, slow, a=[[Pause(3.0), error(Reason.UPSTREAM_SILENT)]], b=[streamed()])
    waiting = bench.ask(stream, timeout=10.0)
    await bench.seconds(waiting)
    assert [call.timeout for call in bench.providers.calls] == [4.0, 7.0]


async def test_a_call_that_uses_up_its_own_limit_is_followed_by_the_next_candidate(bench: Bench, stream: bool) -> None:
    bench.deploy(Deployment("a", "m", total=2.0), Deployment("b", "m"), a=[Hang()], b=[streamed()])
    waiting = bench.ask(stream, timeout=10.0)
    assert await bench.seconds(waiting) == pytest.approx(2, abs=0.25)
    assert (await waiting)[1].deployment == "b/m"
    assert bench.journal.rows[0].status == AttemptStatus.ATTEMPT_STATUS_FAILED
    assert bench.journal.rows[0].error_reason == "DEADLINE_EXCEEDED"


async def test_the_clients_deadline_ends_everything(bench: Bench, stream: bool) -> None:
    bench.deploy(a=[Hang()], b=[streamed()])
    waiting = bench.ask(stream, timeout=5.0)
    told = await bench.failure(waiting)
    assert told.reason is Reason.DEADLINE_EXCEEDED
    assert bench.providers.asked() == ["a/m"]
    assert bench.journal.rows[0].status == AttemptStatus.ATTEMPT_STATUS_CANCELLED


async def test_a_call_ended_by_the_clients_deadline_is_the_last_even_if_clocks_disagree(
    bench: Bench, stream: bool
) -> None:
    bench.deploy(a=[[Pause(4.99), error(Reason.DEADLINE_EXCEEDED)]], b=[streamed()])
    told = await bench.failure(bench.ask(stream, timeout=5.0))
    assert told.reason is Reason.DEADLINE_EXCEEDED
    assert bench.providers.asked() == ["a/m"]


async def test_nobody_is_asked_once_the_deadline_has_passed(bench: Bench, stream: bool) -> None:
    bench.deploy(a=[streamed()])
    told = await bench.failure(bench.ask(stream, timeout=0.0))
    assert told.reason is Reason.DEADLINE_EXCEEDED
    assert bench.providers.calls == []


# -- no call is made that is not written down --------------------------------------------------------------------------


async def test_no_call_leaves_while_the_journal_cannot_be_written(bench: Bench, stream: bool) -> None:
    bench.deploy(a=[streamed()], b=[streamed()])
    bench.journal.full = True
    told = await bench.failure(bench.ask(stream))
    assert told.reason is Reason.SERVICE_UNAVAILABLE
    assert "journal" in told.message
    assert told.metadata["attempts"] == "0"
    assert bench.providers.calls == []
    assert [span.ended for span in bench.tracer.spans] == [1, 1]


async def test_the_client_can_leave_between_two_attempts(bench: Bench, stream: bool) -> None:
    bench.deploy(a=[[role(), error(Reason.UPSTREAM_FAILED, upstream_status="500")]])
    waiting = bench.ask(stream)
    await bench.clock.advance(0.5)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert bench.providers.asked() == ["a/m"]
    assert [row.status for row in bench.journal.rows] == [AttemptStatus.ATTEMPT_STATUS_FAILED]
    assert bench.tracer.named("chat")[0].ended == 1


def by_reason_of(script: Script) -> Reason:
    reason = getattr(script, "reason", None)
    assert isinstance(reason, Reason)
    return reason
