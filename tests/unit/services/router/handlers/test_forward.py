"""Questions that are passed on go the way of a conversation, as far as that is possible unread."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from pathlib import Path

import pytest

from mesh.errors import Reason, TollwayError
from services.router.domain.routes import Deployment
from tests.unit.services.router.bench import Bench
from tests.unit.services.router.budget_keeper import budget
from tests.unit.services.router.spending import spending
from tests.unit.services.router.twins import UPSTREAM, Hang, Passed, Pause, error, passed
from tollway.chat.v1.chat_pb2 import Usage
from tollway.chat.v1.forwarding_pb2 import Endpoint, ForwardedHead
from tollway.ledger.v1.ledger_pb2 import (
    ATTEMPT_STATUS_CANCELLED,
    ATTEMPT_STATUS_INTERRUPTED,
    ATTEMPT_STATUS_OK,
    PROVENANCE_ESTIMATED,
    PROVENANCE_PROVIDER_REPORTED,
    PROVENANCE_UNSETTLED,
    Price,
)
from tollway.providers.v1.providers_pb2 import CallTimeouts, ForwardResponse
from tollway.router.v1 import router_pb2

DOLLAR = 1_000_000_000
IMAGES, MODERATIONS = Endpoint.ENDPOINT_IMAGE_GENERATIONS, Endpoint.ENDPOINT_MODERATIONS
FIRST = ForwardResponse(head=ForwardedHead(content_type="audio/wav"), data=b"RI", upstream=UPSTREAM)


def deploy(bench: Bench, *deployments: Deployment, **scripts: list[list[Passed]]) -> None:
    bench.deploy(*(deployments or [Deployment(name, "m", model_provider="openai") for name in scripts]))
    bench.providers.passing = {f"{name}/m": list(each) for name, each in scripts.items()}


async def read(bench: Bench, **how: object) -> list[router_pb2.ForwardResponse]:
    async with aclosing(bench.pass_on(**how)) as messages:  # type: ignore[arg-type]
        return [message async for message in messages]


def reading(bench: Bench, **how: object) -> asyncio.Task[list[router_pb2.ForwardResponse]]:
    return asyncio.get_running_loop().create_task(read(bench, **how))


async def test_an_answer_is_passed_on_to_the_byte_and_its_receipt_comes_last(bench: Bench) -> None:
    deploy(bench, a=[passed(b"RI", b"FF", counted=Usage(input_tokens=3, output_tokens=4))])
    messages = await read(bench)
    assert b"".join(message.data for message in messages) == b"RIFF"
    assert messages[0].head.content_type == "audio/wav"
    assert messages[0].receipt.deployment == "a/m"
    assert not messages[0].receipt.HasField("cost_nanos")
    assert messages[-1].receipt.cost_nanos == 11_000


async def test_there_is_one_row_with_what_the_answer_said(bench: Bench) -> None:
    took = Usage(input_tokens=3, output_tokens=4, output_image_tokens=4)
    deploy(bench, a=[passed(b"{}", kind="application/json", counted=took)])
    await read(bench, endpoint=IMAGES)
    (row,) = bench.journal.rows
    assert (row.status, row.provenance, row.usage) == (ATTEMPT_STATUS_OK, PROVENANCE_PROVIDER_REPORTED, took)


async def test_an_answer_that_says_nothing_of_tokens_costs_nobody_knows_what(bench: Bench) -> None:
    deploy(bench, a=[passed(b"RIFF")])
    messages = await read(bench)
    (row,) = bench.journal.rows
    assert (row.status, row.provenance) == (ATTEMPT_STATUS_OK, PROVENANCE_UNSETTLED)
    assert not row.HasField("usage")
    assert not row.HasField("cost_nanos")
    assert not messages[-1].receipt.HasField("cost_nanos")


async def test_where_requests_alone_have_a_price_each_costs_that(bench: Bench) -> None:
    bench.prices.price = Price(version="v1", request_nanos=7)
    deploy(bench, a=[passed(b"RIFF")])
    messages = await read(bench)
    assert messages[-1].receipt.cost_nanos == 7
    assert bench.journal.rows[0].provenance == PROVENANCE_ESTIMATED


async def test_before_the_first_byte_another_attempt_is_invisible(bench: Bench) -> None:
    deploy(bench, a=[[error(Reason.UPSTREAM_FAILED)]], b=[passed(b"RIFF")])
    asking = reading(bench)
    await bench.seconds(asking)
    assert bench.providers.asked() == ["a/m", "a/m", "b/m"]
    assert asking.result()[0].receipt.deployment == "b/m"
    assert asking.result()[0].receipt.attempts == 3


async def test_an_answer_that_never_began_is_asked_for_anew(bench: Bench) -> None:
    deploy(bench, a=[[]], b=[passed(b"RIFF")])
    asking = reading(bench)
    await bench.seconds(asking)
    assert asking.result()[0].receipt.deployment == "b/m"


async def test_after_the_first_byte_nobody_goes_on_and_the_error_says_what_broke(bench: Bench) -> None:
    deploy(bench, a=[[FIRST, error(Reason.UPSTREAM_CUT)]], b=[passed(b"RIFF")])
    messages = bench.pass_on()
    assert (await anext(messages)).data == b"RI"
    with pytest.raises(TollwayError) as broken:
        await anext(messages)
    assert broken.value.reason is Reason.UPSTREAM_CUT
    assert broken.value.metadata["deployment"] == "a/m"
    assert bench.providers.asked() == ["a/m"]
    assert bench.journal.rows[0].status == ATTEMPT_STATUS_INTERRUPTED


async def test_whoever_leaves_ends_the_providers_call(bench: Bench) -> None:
    deploy(bench, a=[[FIRST, Hang()]])
    messages = bench.pass_on()
    await anext(messages)
    await messages.aclose()
    assert bench.providers.calls[0].cancelled
    assert bench.journal.rows[0].status == ATTEMPT_STATUS_CANCELLED


async def test_a_slow_reader_is_not_read_ahead_for(bench: Bench) -> None:
    deploy(bench, a=[passed(*[b"x"] * 100)])
    async with aclosing(bench.pass_on()) as messages:
        await anext(messages)
        await bench.clock.advance(60)
        assert bench.providers.calls[0].pulled == 1


async def test_what_is_made_whole_may_take_as_long_as_its_call_before_it_shows(bench: Bench) -> None:
    timeouts = CallTimeouts()
    for limit in (timeouts.headers, timeouts.first_token, timeouts.gap):
        limit.FromSeconds(7)
    deploy(bench, Deployment("a", "m", timeouts=timeouts), a=[passed(b"{}")])
    await read(bench, endpoint=IMAGES)
    await read(bench, endpoint=IMAGES, body=b'{"stream": true}')
    whole, streamed = (call.request.timeouts for call in bench.providers.calls)
    assert not whole.HasField("headers")
    assert streamed == timeouts


async def test_its_span_says_what_is_asked_for(bench: Bench) -> None:
    deploy(bench, a=[passed(b"{}", kind="application/json")])
    await read(bench, endpoint=MODERATIONS)
    (span,) = bench.tracer.named("moderation gpt")
    assert span.attributes["gen_ai.operation.name"] == "moderation"
    assert span.attributes["tollway.outcome"] == "ok"
    assert bench.tracer.named("attempt 1 a/m")[0].parent == span.context


async def test_time_until_the_first_byte_counts_as_time_to_first_content(bench: Bench) -> None:
    deploy(bench, a=[[Pause(2), *passed(b"RIFF")]])
    asking = reading(bench)
    await bench.seconds(asking)
    assert bench.journal.rows[0].time_to_first_token_ms == 2000


class TestUnderHardBudgets:
    async def test_what_costs_so_many_tokens_as_nobody_knows_is_refused(self, bench: Bench, tmp_path: Path) -> None:
        deploy(bench, a=[passed(b"{}")])
        async with spending(bench, tmp_path, budget("project:default", DOLLAR)):
            failure = await bench.failure(reading(bench, endpoint=IMAGES))
        assert failure.reason is Reason.MODEL_UNPRICED
        assert "image_generation" in failure.message
        assert "a/m has a price for its tokens" in failure.message
        assert failure.metadata["scope"] == "project:default"
        assert not bench.providers.calls

    async def test_a_price_for_each_request_is_reserved_and_charged(self, bench: Bench, tmp_path: Path) -> None:
        bench.prices.price = Price(version="v1", request_nanos=600)
        deploy(bench, a=[passed(b"{}")])
        async with spending(bench, tmp_path, budget("project:default", 1000), wait=0.0) as made:
            await read(bench)
            failure = await bench.failure(reading(bench))
            assert failure.reason is Reason.BUDGET_EXCEEDED
            assert made.spent == [600]

    async def test_what_is_free_is_passed_on(self, bench: Bench, tmp_path: Path) -> None:
        bench.prices.price = Price(version="v1")
        deploy(bench, a=[passed(b"{}")])
        async with spending(bench, tmp_path, budget("project:default", DOLLAR)):
            messages = await read(bench, endpoint=MODERATIONS)
        assert messages[-1].receipt.cost_nanos == 0

    async def test_a_soft_budget_stands_in_nobodys_way(self, bench: Bench, tmp_path: Path) -> None:
        deploy(bench, a=[passed(b"{}")])
        async with spending(bench, tmp_path, budget("project:default", 1, soft=True)):
            await read(bench, endpoint=IMAGES)
        assert len(bench.providers.calls) == 1
