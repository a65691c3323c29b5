"""What breakers mean for questions: who is not asked, who is asked instead, and what is told where nobody is left."""

from __future__ import annotations

import asyncio

import pytest

from mesh.errors import Reason
from services.router.domain.breaker import BreakerPolicy
from services.router.domain.routes import Deployment
from tests.unit.services.router.bench import Bench
from tests.unit.services.router.twins import Hang, Pause, Script, error, finish, role, streamed, text
from tollway.ledger.v1.ledger_pb2 import AttemptStatus

both = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])

DOWN = error(Reason.UPSTREAM_FAILED, upstream_status="503")
BUSY = error(Reason.UPSTREAM_RATE_LIMITED, 20.0, upstream_status="429")
REFUSED = error(Reason.UPSTREAM_CREDENTIALS, upstream_status="401")


def once(provider: str, model: str = "m", **breaker: float) -> Deployment:
    """A deployment that is not asked again when it fails."""
    return Deployment(provider, model, retries=0, breaker=BreakerPolicy(**breaker))  # type: ignore[arg-type]


async def ask(bench: Bench, stream: bool, times: int = 1) -> None:
    for _ in range(times):
        waiting = bench.ask(stream)
        await bench.seconds(waiting)
        await waiting


@both
async def test_a_deployment_that_keeps_failing_is_left_alone(bench: Bench, stream: bool) -> None:
    bench.deploy(once("a"), once("b"), a=[DOWN], b=[streamed()])
    await ask(bench, stream, 8)
    assert bench.providers.asked().count("a/m") == 5
    assert bench.providers.asked()[-3:] == ["b/m"] * 3


@both
async def test_it_is_tried_again_with_one_call_and_is_back_when_that_goes_well(bench: Bench, stream: bool) -> None:
    bench.deploy(once("a"), once("b"), a=[DOWN] * 6 + [streamed()], b=[streamed()])
    await ask(bench, stream, 6)
    await bench.clock.advance(30)
    await ask(bench, stream, 2)
    assert bench.providers.asked()[-3:] == ["a/m", "b/m", "b/m"]
    await bench.clock.advance(30)
    await ask(bench, stream, 2)
    assert bench.providers.asked()[-2:] == ["a/m", "a/m"]


@both
async def test_while_it_is_being_tried_others_are_asked(bench: Bench, stream: bool) -> None:
    bench.deploy(once("a"), once("b"), a=[DOWN] * 5 + [[Pause(5), *streamed()]], b=[streamed()])
    await ask(bench, stream, 5)
    await bench.clock.advance(30)
    probe = bench.ask(stream)
    await bench.clock.advance(0)
    await ask(bench, stream, 3)
    assert bench.providers.asked()[-4:] == ["a/m", "b/m", "b/m", "b/m"]
    await bench.clock.advance(5)
    assert (await probe)[1].deployment == "a/m"


async def test_a_stream_shows_with_its_first_content_that_a_deployment_is_back(bench: Bench) -> None:
    bench.deploy(once("a"), once("b"), a=[DOWN] * 5 + [[text("a"), Pause(60), finish()]], b=[streamed()])
    await ask(bench, True, 5)
    await bench.clock.advance(30)
    reader = bench.stream()
    await bench.clock.advance(0)
    assert bench.fleet.standing("a/m").breaker.closed
    reader.task.cancel()
    await asyncio.wait([reader.task])


@both
@pytest.mark.parametrize("leaves", [True, False], ids=["client leaves", "deadline passes"])
async def test_a_probe_that_nobody_waits_for_any_more_can_be_made_again(
    bench: Bench, stream: bool, leaves: bool
) -> None:
    bench.deploy(once("a"), once("b"), a=[DOWN] * 5 + [Hang(), streamed()], b=[streamed()])
    await ask(bench, stream, 5)
    await bench.clock.advance(30)
    probe = bench.ask(stream, timeout=None if leaves else 2.0)
    await bench.clock.advance(1)
    if leaves:
        probe.cancel()
    await bench.clock.advance(1)
    await asyncio.wait([probe])
    assert bench.journal.rows[-1].status == AttemptStatus.ATTEMPT_STATUS_CANCELLED
    await ask(bench, stream)
    assert bench.providers.asked()[-2:] == ["a/m", "a/m"]


@both
async def test_the_place_of_a_probe_that_cannot_be_written_down_is_free_again(bench: Bench, stream: bool) -> None:
    bench.deploy(once("a"), a=[DOWN] * 5 + [streamed()])
    for _ in range(5):
        await bench.failure(bench.ask(stream))
    await bench.clock.advance(30)
    bench.journal.full = True
    assert "journal" in (await bench.failure(bench.ask(stream))).message
    bench.journal.full = False
    await ask(bench, stream)


# -- nobody is left ----------------------------------------------------------------------------------------------------


@both
async def test_where_all_are_left_alone_the_client_is_told_why_and_when_to_come_back(
    bench: Bench, stream: bool
) -> None:
    bench.deploy(once("a"), once("b"), a=[DOWN], b=[BUSY])
    for _ in range(5):
        await bench.failure(bench.ask(stream))
        await bench.clock.advance(0.5)
    calls = len(bench.providers.calls)
    waiting = bench.ask(stream)
    told = await bench.failure(waiting)
    assert told.reason is Reason.NO_DEPLOYMENT_READY
    assert told.row.http_status == 503
    assert "a/m is left alone for 30s: 5 of its last 5 calls failed, the last with UPSTREAM_FAILED" in told.message
    assert "b/m is left alone for" in told.message
    assert "said when to come back" in told.message
    assert told.retry_after is not None
    assert told.retry_after == pytest.approx(17.5)
    assert told.metadata["attempts"] == "0"
    assert len(bench.providers.calls) == calls


@both
async def test_a_short_while_is_waited_for(bench: Bench, stream: bool) -> None:
    bench.deploy(once("a"), a=[error(Reason.UPSTREAM_RATE_LIMITED, 8.0), streamed()])
    assert (await bench.failure(bench.ask(stream))).retry_after == 8.0
    await bench.clock.advance(4)
    waiting = bench.ask(stream)
    assert await bench.seconds(waiting) == pytest.approx(4, abs=0.25)
    assert (await waiting)[0] == "Hello"


@both
async def test_but_not_beyond_the_deadline(bench: Bench, stream: bool) -> None:
    bench.deploy(once("a"), a=[error(Reason.UPSTREAM_RATE_LIMITED, 8.0), streamed()])
    await bench.failure(bench.ask(stream))
    await bench.clock.advance(4)
    waiting = bench.ask(stream, timeout=3.0)
    assert await bench.seconds(waiting) == 0
    assert (await bench.failure(waiting)).reason is Reason.NO_DEPLOYMENT_READY


@both
async def test_many_that_wait_for_one_that_was_busy_are_answered_once_it_is_not(bench: Bench, stream: bool) -> None:
    busy = error(Reason.UPSTREAM_RATE_LIMITED, 2.0, upstream_status="429")
    too_many: list[Script] = [[Pause(1), busy]] * 20
    bench.deploy(Deployment("a", "m"), a=[*too_many, streamed()])
    waiting = [bench.ask(stream) for _ in range(20)]
    assert max([await bench.seconds(each) for each in waiting]) == pytest.approx(3, abs=0.25)
    assert [(await each)[0] for each in waiting] == ["Hello"] * 20
    assert len(bench.providers.calls) == 40


@both
async def test_whoever_waits_until_it_is_not_busy_waits_for_no_other_answer(bench: Bench, stream: bool) -> None:
    busy = error(Reason.UPSTREAM_RATE_LIMITED, 1.0, upstream_status="429")
    slow: Script = [Pause(12), *streamed()]
    bench.deploy(Deployment("a", "m"), a=[busy, slow])
    waiting = [bench.ask(stream)]
    await bench.clock.advance(0.3)
    waiting += [bench.ask(stream) for _ in range(6)]
    assert max([await bench.seconds(each) for each in waiting]) == pytest.approx(12.7, abs=0.25)
    assert [(await each)[0] for each in waiting] == ["Hello"] * 7
    assert len(bench.providers.calls) == 8


@both
async def test_an_attempt_is_not_repeated_on_a_deployment_whose_breaker_opened_meanwhile(
    bench: Bench, stream: bool
) -> None:
    bench.deploy(Deployment("a", "m"), a=[DOWN])
    first, second = bench.ask(stream), bench.ask(stream)
    told = [await bench.failure(first), await bench.failure(second)]
    assert len(bench.providers.calls) == 5
    assert [each.reason for each in told] == [Reason.UPSTREAM_FAILED] * 2


@both
async def test_a_deployment_that_comes_back_while_others_fail_is_asked_after_all(bench: Bench, stream: bool) -> None:
    bench.deploy(once("a", open_for=10.0), Deployment("b", "m", retries=3), a=[DOWN] * 5 + [streamed()], b=[streamed()])
    await ask(bench, stream, 5)
    bench.providers.scripts["b/m"] = [[Pause(11), error(Reason.UPSTREAM_SILENT)]]
    waiting = bench.ask(stream)
    await bench.seconds(waiting)
    assert (await waiting)[1].deployment == "a/m"


@both
async def test_where_no_other_is_ready_the_one_that_is_asked_is_the_last_and_asked_as_often(
    bench: Bench, stream: bool
) -> None:
    bench.deploy(Deployment("a", "m"), once("b"), a=[REFUSED, DOWN, DOWN, DOWN, streamed()], b=[REFUSED])
    await bench.failure(bench.ask(stream))
    bench.fleet.credential("a").close()
    waiting = bench.ask(stream)
    assert await bench.seconds(waiting) == pytest.approx(7, abs=0.25)
    assert (await waiting)[1].attempts == 4


# -- what counts -------------------------------------------------------------------------------------------------------


@both
async def test_a_refused_credential_leaves_every_deployment_of_the_provider_alone(bench: Bench, stream: bool) -> None:
    bench.deploy(once("a"), once("a", "n"), once("b"), a=[REFUSED], b=[streamed()])
    bench.providers.scripts["a/n"] = [streamed()]
    await ask(bench, stream, 2)
    assert bench.providers.asked() == ["a/m", "b/m", "b/m"]


@both
@pytest.mark.parametrize("reason", Reason)
async def test_each_row_of_the_table_says_what_a_failure_does_to_the_breakers(
    bench: Bench, stream: bool, reason: Reason
) -> None:
    counting = {
        Reason.UPSTREAM_RATE_LIMITED, Reason.UPSTREAM_FAILED, Reason.UPSTREAM_UNREACHABLE, Reason.UPSTREAM_CUT,
        Reason.UPSTREAM_MALFORMED, Reason.UPSTREAM_SILENT, Reason.DEADLINE_EXCEEDED,
    }  # fmt: skip
    bench.deploy(once("a"), a=[error(reason)])
    await bench.failure(bench.ask(stream))
    standing = bench.fleet.standing("a/m")
    assert standing.breaker.failures == (1 if reason in counting else 0)
    assert standing.credential.closed == (reason is not Reason.UPSTREAM_CREDENTIALS)


async def test_a_stream_that_breaks_off_counts_as_a_failure(bench: Bench) -> None:
    bench.deploy(once("a"), a=[[text("a"), error(Reason.UPSTREAM_CUT)]])
    for _ in range(5):
        await bench.failure(bench.ask(True))
    assert (await bench.failure(bench.ask(True))).reason is Reason.NO_DEPLOYMENT_READY


@both
async def test_what_the_client_or_its_deadline_ended_does_not_count(bench: Bench, stream: bool) -> None:
    bench.deploy(once("a"), a=[Hang()])
    for _ in range(10):
        waiting = bench.ask(stream, timeout=2.0)
        await bench.failure(waiting)
        leaving = bench.ask(stream)
        await bench.clock.advance(1)
        leaving.cancel()
        await asyncio.wait([leaving])
    assert bench.fleet.standing("a/m").breaker.calls == 0


@both
async def test_what_is_told_of_an_attempt_says_how_its_breaker_stood(bench: Bench, stream: bool) -> None:
    bench.deploy(once("a"), a=[DOWN] * 5 + [[role(), *streamed()]])
    for _ in range(5):
        await bench.failure(bench.ask(stream))
    await bench.clock.advance(30)
    await ask(bench, stream)
    spans = bench.tracer.named("attempt")
    assert [span.attributes["tollway.breaker"] for span in spans] == ["closed"] * 5 + ["half_open"]
    changes = [labels for name, _, labels in bench.metrics.seen if name == "tollway.breaker.changes"]
    assert changes == [
        {"tollway.provider": "a", "tollway.breaker": "open"},
        {"tollway.provider": "a", "tollway.breaker": "closed"},
    ]
