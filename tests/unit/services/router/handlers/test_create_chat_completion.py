from __future__ import annotations

import asyncio

import pytest

from services.router.domain.routes import Deployment
from tests.unit.services.router.bench import Bench
from tests.unit.services.router.twins import USAGE, Hang, Pause, answer, chat, streamed
from tollway.ledger.v1.ledger_pb2 import AttemptStatus
from tollway.providers.v1.providers_pb2 import CallTimeouts


async def test_an_answer_is_passed_on_whole_with_its_receipt(bench: Bench) -> None:
    bench.deploy(a=[answer("Hello")])
    response = await bench.create()
    assert response.chat == answer("Hello")
    receipt = response.receipt
    assert (receipt.request_id, receipt.trace_id, receipt.deployment) == ("req-1", "a" * 32, "a/m")
    assert (receipt.attempts, receipt.cost_nanos) == (1, 20_000)


async def test_the_provider_is_asked_for_its_own_model_under_the_attempts_id(bench: Bench) -> None:
    timeouts = CallTimeouts()
    timeouts.gap.FromSeconds(7)
    bench.deploy(Deployment("a", "m", timeouts=timeouts), a=[answer()])
    question = chat(words="What?")
    await bench.create(request=question)
    (call,) = bench.providers.calls
    assert (call.request.provider, call.request.model, call.request.chat) == ("a", "m", question)
    assert call.request.attempt_id == bench.journal.rows[0].attempt_id
    assert call.request.timeouts == timeouts
    assert call.trace == bench.tracer.named("attempt 1 a/m")[0].context


async def test_a_whole_answer_may_take_as_long_as_its_call_before_anything_shows(bench: Bench) -> None:
    timeouts = CallTimeouts()
    for limit in (timeouts.connect, timeouts.headers, timeouts.first_token, timeouts.gap):
        limit.FromSeconds(7)
    bench.deploy(Deployment("a", "m", timeouts=timeouts, total=90.0), a=[answer(), streamed()])
    await bench.create()
    await bench.stream().task
    whole, stream = bench.providers.calls
    assert stream.request.timeouts == timeouts
    assert whole.request.timeouts == CallTimeouts(connect=timeouts.connect, gap=timeouts.gap)
    assert whole.timeout == 90.0


async def test_a_client_that_leaves_stops_the_provider_at_once(bench: Bench) -> None:
    bench.deploy(a=[Hang()])
    waiting = bench.create()
    await bench.clock.advance(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert bench.providers.calls[0].cancelled
    (row,) = bench.journal.rows
    assert row.status == AttemptStatus.ATTEMPT_STATUS_CANCELLED
    assert not row.HasField("usage")
    assert all(span.ended == 1 and not span.error for span in bench.tracer.spans)


async def test_without_a_known_price_the_cost_is_absent_rather_than_nothing(bench: Bench) -> None:
    bench.prices.price = None
    bench.deploy(a=[answer()])
    response = await bench.create()
    assert not response.receipt.HasField("cost_nanos")
    assert not bench.journal.rows[0].HasField("cost_nanos")
    assert bench.journal.rows[0].usage == USAGE


async def test_an_abandoned_answer_is_waited_for_where_the_provider_bills_anyway(bench: Bench) -> None:
    bench.deploy(Deployment("a", "m", drain=30.0), a=[[Pause(10)]])
    waiting = bench.create()
    await bench.clock.advance(1)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert bench.journal.ends == {}
    await bench.clock.advance(9)
    (row,) = bench.journal.rows
    assert (row.status, row.usage) == (AttemptStatus.ATTEMPT_STATUS_CANCELLED, USAGE)


async def test_an_abandoned_answer_is_not_waited_for_where_too_many_are(bench: Bench) -> None:
    bench.drains = type(bench.drains)(bench.clock, most=0)
    bench.deploy(Deployment("a", "m", drain=30.0), a=[Hang()])
    waiting = bench.create()
    await bench.clock.advance(1)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await bench.clock.advance(0)
    assert bench.providers.calls[0].cancelled
    assert bench.journal.rows[0].status == AttemptStatus.ATTEMPT_STATUS_CANCELLED


async def test_an_answer_that_is_awaited_to_its_end_is_the_same_where_it_might_have_been_abandoned(
    bench: Bench,
) -> None:
    bench.deploy(Deployment("a", "m", drain=30.0), a=[answer("Hello")])
    assert (await bench.create()).chat == answer("Hello")
