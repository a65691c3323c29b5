"""A second attempt beside a slow first one: the first that answers is the answer, and the other is accounted for."""

from __future__ import annotations

import asyncio

import pytest

from mesh.errors import Reason
from services.router.domain.hedging import Hedge
from services.router.domain.routes import Deployment
from tests.unit.services.router.bench import Bench
from tests.unit.services.router.twins import (
    Hang,
    Item,
    Pause,
    Script,
    answer,
    error,
    finish,
    role,
    streamed,
    text,
    usage,
)
from tollway.ledger.v1.ledger_pb2 import AttemptKind, AttemptStatus

both = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])

SOON = Hedge(after=1.0, budget=1.0)
USUAL = Hedge(after=None, budget=1.0)
OK, FAILED, CANCELLED = (
    AttemptStatus.ATTEMPT_STATUS_OK,
    AttemptStatus.ATTEMPT_STATUS_FAILED,
    AttemptStatus.ATTEMPT_STATUS_CANCELLED,
)
HEDGE = AttemptKind.ATTEMPT_KIND_HEDGE


def no_task_is_left() -> bool:
    return asyncio.all_tasks() == {asyncio.current_task()}


@both
async def test_without_it_nobody_is_asked_beside_a_slow_one(bench: Bench, stream: bool) -> None:
    bench.deploy(a=[[Pause(9), *streamed()]], b=[streamed()])
    waiting = bench.ask(stream)
    assert await bench.seconds(waiting) == pytest.approx(9, abs=0.25)
    assert bench.providers.asked() == ["a/m"]


@both
async def test_the_one_that_answers_first_is_the_answer(bench: Bench, stream: bool) -> None:
    bench.deploy(hedge=SOON, a=[[Pause(9), *streamed("Slow")]], b=[streamed("Hello")])
    waiting = bench.ask(stream)
    assert await bench.seconds(waiting) == pytest.approx(1, abs=0.25)
    words, receipt = await waiting
    assert (words, receipt.deployment, receipt.attempts, receipt.hedged) == ("Hello", "b/m", 2, True)
    assert bench.providers.calls[0].cancelled
    assert [(row.status, row.kind) for row in bench.journal.rows] == [(CANCELLED, 0), (OK, HEDGE)]
    assert no_task_is_left()


@both
async def test_one_that_is_soon_enough_is_alone(bench: Bench, stream: bool) -> None:
    bench.deploy(hedge=SOON, a=[[Pause(0.75), *streamed()]], b=[streamed()])
    waiting = bench.ask(stream)
    await bench.seconds(waiting)
    assert not (await waiting)[1].hedged
    assert bench.providers.asked() == ["a/m"]
    assert no_task_is_left()


@both
async def test_the_first_can_win_all_the_same(bench: Bench, stream: bool) -> None:
    bench.deploy(hedge=SOON, a=[[Pause(2), *streamed("Hello")]], b=[[Pause(9), *streamed("Slow")]])
    waiting = bench.ask(stream)
    await bench.seconds(waiting)
    words, receipt = await waiting
    assert (words, receipt.deployment, receipt.attempts, receipt.hedged) == ("Hello", "a/m", 2, False)
    assert [(row.status, row.kind) for row in bench.journal.rows] == [(OK, 0), (CANCELLED, HEDGE)]
    assert bench.providers.calls[1].cancelled


async def test_a_bare_role_is_no_content(bench: Bench) -> None:
    bench.deploy(hedge=SOON, a=[[role(), Pause(9), text("Slow"), finish()]], b=[[role(), *streamed("Hello")]])
    reader = bench.stream()
    await bench.seconds(reader.task)
    assert reader.text == "Hello"
    assert reader.messages[0].receipt.hedged


async def test_after_the_first_content_a_stream_flows_as_it_comes(bench: Bench) -> None:
    bench.deploy(hedge=SOON, a=[Hang()], b=[[text("a"), Pause(5), text("b"), finish(), usage()]])
    reader = bench.stream()
    await bench.clock.advance(1.5)
    assert reader.text == "a"
    assert no_task_is_left() or {reader.task} == asyncio.all_tasks() - {asyncio.current_task()}
    await bench.clock.advance(5)
    assert reader.text == "ab"
    assert bench.providers.calls[1].pulled == 5


async def test_both_may_be_there_in_the_same_moment(bench: Bench) -> None:
    bench.deploy(hedge=SOON, a=[[Pause(2), *streamed("One")]], b=[[Pause(1), *streamed("Two")]])
    reader = bench.stream()
    await bench.seconds(reader.task)
    assert reader.text in ("One", "Two")
    assert sorted(row.status for row in bench.journal.rows) == [OK, CANCELLED]
    assert no_task_is_left()


# -- failures ----------------------------------------------------------------------------------------------------------


@both
async def test_where_the_first_fails_meanwhile_the_second_is_waited_for_and_no_third_is_asked(
    bench: Bench, stream: bool
) -> None:
    failing: list[Item] = [Pause(2), error(Reason.UPSTREAM_FAILED, upstream_status="500")]
    bench.deploy(hedge=SOON, a=[failing], b=[[Pause(4), *streamed()]], c=[streamed()])
    waiting = bench.ask(stream)
    assert await bench.seconds(waiting) == pytest.approx(5, abs=0.25)
    assert (await waiting)[1].deployment == "b/m"
    assert bench.providers.asked() == ["a/m", "b/m"]
    assert [row.status for row in bench.journal.rows] == [FAILED, OK]


@both
async def test_where_the_second_fails_the_first_is_waited_for(bench: Bench, stream: bool) -> None:
    bench.deploy(hedge=SOON, a=[[Pause(4), *streamed()]], b=[error(Reason.UPSTREAM_FAILED)], c=[streamed()])
    waiting = bench.ask(stream)
    assert await bench.seconds(waiting) == pytest.approx(4, abs=0.25)
    _, receipt = await waiting
    assert (receipt.deployment, receipt.hedged) == ("a/m", False)
    assert bench.providers.asked() == ["a/m", "b/m"]


@both
async def test_where_both_fail_the_next_is_asked(bench: Bench, stream: bool) -> None:
    silent = error(Reason.UPSTREAM_SILENT)
    bench.deploy(hedge=SOON, a=[[Pause(2), silent]], b=[[Pause(2), silent]], c=[streamed()])
    waiting = bench.ask(stream)
    assert await bench.seconds(waiting) == pytest.approx(3, abs=0.25)
    assert (await waiting)[1].deployment == "c/m"
    assert bench.providers.asked() == ["a/m", "b/m", "c/m"]
    assert no_task_is_left()


@both
async def test_where_everybody_fails_the_client_is_told_of_everybody(bench: Bench, stream: bool) -> None:
    silent = error(Reason.UPSTREAM_SILENT)
    bench.deploy(hedge=SOON, a=[[Pause(2), silent]], b=[[Pause(2), silent]])
    told = await bench.failure(bench.ask(stream))
    assert told.reason is Reason.UPSTREAM_SILENT
    assert "a/m: showed" in told.message
    assert "b/m: showed" in told.message
    assert told.metadata["attempts"] == "2"


@both
async def test_one_that_fails_before_it_is_slow_is_followed_as_ever(bench: Bench, stream: bool) -> None:
    bench.deploy(hedge=SOON, a=[error(Reason.UPSTREAM_SILENT)], b=[streamed()])
    waiting = bench.ask(stream)
    assert await bench.seconds(waiting) == 0
    assert (await waiting)[1].deployment == "b/m"
    assert [row.kind for row in bench.journal.rows] == [0, 0]


async def test_an_answer_that_breaks_off_after_it_won_is_gone_on_with(bench: Bench) -> None:
    able = Deployment("b", "m", can=frozenset({"prefill"}))
    bench.deploy(
        Deployment("a", "m"), able, hedge=SOON,
        a=[Hang()], b=[[text("Hel"), error(Reason.UPSTREAM_CUT)], [text("lo"), finish()]],
    )  # fmt: skip
    reader = bench.stream()
    await bench.seconds(reader.task)
    assert reader.text == "Hello"
    assert bench.providers.asked() == ["a/m", "b/m", "b/m"]
    assert reader.messages[0].receipt.hedged
    assert reader.messages[-1].receipt.hedged


# -- whom and when -----------------------------------------------------------------------------------------------------


@both
async def test_nobody_is_asked_beside_who_is_alone(bench: Bench, stream: bool) -> None:
    bench.deploy(hedge=SOON, a=[[Pause(3), *streamed()]])
    waiting = bench.ask(stream)
    await bench.seconds(waiting)
    assert bench.providers.asked() == ["a/m"]


@both
async def test_a_fallback_is_another_model_and_not_asked_beside(bench: Bench, stream: bool) -> None:
    bench.deploy(
        Deployment("a", "m"), fallback=Deployment("b", "m"), hedge=SOON, a=[[Pause(3), *streamed()]], b=[streamed()]
    )
    waiting = bench.ask(stream)
    await bench.seconds(waiting)
    assert bench.providers.asked() == ["a/m"]


@both
async def test_nor_is_one_that_is_left_alone(bench: Bench, stream: bool) -> None:
    bench.deploy(hedge=SOON, a=[[Pause(3), *streamed()]], b=[streamed()], c=[streamed()])
    standing = bench.fleet.standing("b/m")
    standing.breaker.trip(0, bench.clock.monotonic(), Deployment("b").breaker, "it is down")
    waiting = bench.ask(stream)
    await bench.seconds(waiting)
    assert bench.providers.asked() == ["a/m", "c/m"]


@both
async def test_a_question_has_one_extra_call_at_most(bench: Bench, stream: bool) -> None:
    silent = error(Reason.UPSTREAM_SILENT)
    bench.deploy(hedge=SOON, a=[[Pause(2), silent]], b=[[Pause(2), silent]], c=[[Pause(5), *streamed()]], d=[Hang()])
    waiting = bench.ask(stream)
    await bench.seconds(waiting)
    assert bench.providers.asked() == ["a/m", "b/m", "c/m"]


@both
async def test_extra_calls_are_bounded_by_their_budget(bench: Bench, stream: bool) -> None:
    bench.deploy(hedge=Hedge(1.0, 0.25), a=[[Pause(2), *streamed()]], b=[[Pause(9), *streamed()]])
    for _ in range(20):
        waiting = bench.ask(stream)
        await bench.seconds(waiting)
        await waiting
    assert bench.providers.asked().count("a/m") == 20
    assert bench.providers.asked().count("b/m") == 5


@both
async def test_what_is_slow_is_learnt_from_what_is_usual(bench: Bench, stream: bool) -> None:
    usual: list[Script] = [[Pause(0.75 if question in (3, 9) else 0.25), *streamed()] for question in range(30)]
    bench.deploy(hedge=USUAL, a=[*usual, [Pause(9), *streamed()]], b=[streamed()])
    for _ in range(30):
        await bench.seconds(bench.ask(stream))
    assert bench.providers.asked() == ["a/m"] * 30
    waiting = bench.ask(stream)
    assert await bench.seconds(waiting) == pytest.approx(0.75)
    assert (await waiting)[1].hedged


async def test_whole_answers_and_first_contents_are_not_compared(bench: Bench) -> None:
    bench.deploy(hedge=USUAL, a=[[text("a"), Pause(5), finish()]], b=[streamed()])
    for _ in range(30):
        await bench.seconds(bench.ask(True))
    waiting = bench.ask(False)
    assert await bench.seconds(waiting) == pytest.approx(5, abs=0.25)
    assert not (await waiting)[1].hedged


@both
async def test_one_that_lost_was_at_least_so_slow(bench: Bench, stream: bool) -> None:
    bench.deploy(hedge=Hedge(2.0, 1.0), a=[Hang()], b=[streamed()])
    for _ in range(25):
        await bench.seconds(bench.ask(stream))
    assert bench.fleet.standing("a/m").waits[stream].p95(bench.clock.monotonic()) == pytest.approx(2.0, abs=0.25)


@both
async def test_losing_is_no_failure(bench: Bench, stream: bool) -> None:
    bench.deploy(hedge=SOON, a=[Hang()], b=[streamed()])
    for _ in range(10):
        await bench.seconds(bench.ask(stream))
    standing = bench.fleet.standing("a/m")
    assert (standing.breaker.calls, standing.in_flight) == (0, 0)
    assert standing.breaker.closed


@both
async def test_a_probe_that_lost_can_be_made_again(bench: Bench, stream: bool) -> None:
    bench.deploy(hedge=SOON, a=[Hang()], b=[streamed()])
    standing = bench.fleet.standing("a/m")
    standing.breaker.trip(0, bench.clock.monotonic(), Deployment("a").breaker, "it is down")
    await bench.clock.advance(30)
    for _ in range(2):
        await bench.seconds(bench.ask(stream))
    assert bench.providers.asked() == ["a/m", "b/m"] * 2


# -- money, trace, leaving ---------------------------------------------------------------------------------------------


async def test_what_an_answer_cost_includes_what_the_other_attempt_did(bench: Bench) -> None:
    bench.deploy(hedge=SOON, a=[[Pause(2), text("Hello")]], b=[[Pause(1), text("Hello"), finish(), usage()]])
    reader = bench.stream()
    await bench.seconds(reader.task)
    costs = [row.cost_nanos for row in bench.journal.rows]
    assert reader.messages[-1].receipt.cost_nanos == sum(costs)


@both
async def test_the_trace_shows_both(bench: Bench, stream: bool) -> None:
    bench.deploy(hedge=SOON, a=[Hang()], b=[streamed() if stream else answer()])
    await bench.seconds(bench.ask(stream))
    first, second = bench.tracer.named("attempt")
    assert (first.attributes["tollway.outcome"], first.attributes["tollway.lost"]) == ("cancelled", True)
    assert (second.attributes["tollway.outcome"], second.attributes["tollway.hedge"]) == ("ok", True)
    (operation,) = bench.tracer.named("chat")
    assert operation.attributes["tollway.hedged"] is True
    assert first.parent == second.parent == operation.context
    assert all(span.ended == 1 for span in bench.tracer.spans)


@both
@pytest.mark.parametrize("at", [0.5, 1.5])
async def test_a_client_that_leaves_stops_both(bench: Bench, stream: bool, at: float) -> None:
    bench.deploy(hedge=SOON, a=[Hang()], b=[Hang()])
    waiting = bench.ask(stream)
    await bench.clock.advance(at)
    waiting.cancel()
    await asyncio.wait([waiting])
    assert all(call.cancelled for call in bench.providers.calls)
    assert {row.status for row in bench.journal.rows} == {CANCELLED}
    assert no_task_is_left()


@both
async def test_the_deadline_ends_both(bench: Bench, stream: bool) -> None:
    bench.deploy(hedge=SOON, a=[Hang()], b=[Hang()])
    waiting = bench.ask(stream, timeout=3.0)
    assert await bench.seconds(waiting) == pytest.approx(3, abs=0.25)
    assert (await bench.failure(waiting)).reason is Reason.DEADLINE_EXCEEDED
    assert len(bench.journal.rows) == 2
    assert no_task_is_left()


@both
async def test_the_loser_is_read_on_where_its_provider_bills_anyway(bench: Bench, stream: bool) -> None:
    slow = Deployment("a", "m", drain=30.0)
    bench.deploy(slow, Deployment("b", "m"), hedge=SOON, a=[[Pause(4), *streamed()]], b=[streamed()])
    waiting = bench.ask(stream)
    assert await bench.seconds(waiting) == pytest.approx(1, abs=0.25)
    assert list(bench.journal.ends) == [1]
    await bench.clock.advance(5)
    row = bench.journal.rows[0]
    assert (row.status, row.usage.output_tokens) == (CANCELLED, 5)


@both
async def test_a_second_attempt_that_cannot_be_written_down_ends_neither(bench: Bench, stream: bool) -> None:
    bench.deploy(hedge=SOON, a=[[Pause(3), *streamed()]], b=[streamed()])
    waiting = bench.ask(stream)
    await bench.clock.advance(0.5)
    bench.journal.full = True
    await bench.seconds(waiting)
    assert (await waiting)[1].deployment == "a/m"
    assert bench.providers.asked() == ["a/m"]


async def test_of_assured_answers_the_one_that_is_whole_first_is_the_answer(bench: Bench) -> None:
    bench.deploy(hedge=SOON, assured=True, a=[[Pause(2), *streamed("One")]], b=[[text("T"), Pause(9), finish()]])
    reader = bench.stream()
    await bench.seconds(reader.task)
    assert reader.text == "One"


async def test_an_assured_answer_that_has_begun_is_not_slow(bench: Bench) -> None:
    bench.deploy(hedge=SOON, assured=True, a=[[text("a"), Pause(5), finish()]], b=[streamed()])
    reader = bench.stream()
    await bench.seconds(reader.task)
    assert bench.providers.asked() == ["a/m"]
