"""Questions for vectors go the way of a conversation."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from mesh.errors import Reason, TollwayError
from services.router.domain.routes import Deployment
from services.router.domain.rules import Action, Condition, Rule
from tests.unit.services.router.bench import Bench
from tests.unit.services.router.budget_keeper import budget
from tests.unit.services.router.spending import spending
from tests.unit.services.router.twins import USAGE, Hang, Pause, error, vectors
from tollway.chat.v1.chat_pb2 import Usage
from tollway.chat.v1.embedding_pb2 import EmbeddingInput, EmbeddingRequest, TokenList
from tollway.ledger.v1.ledger_pb2 import (
    ATTEMPT_STATUS_CANCELLED,
    ATTEMPT_STATUS_FAILED,
    ATTEMPT_STATUS_OK,
    PROVENANCE_ESTIMATED,
    PROVENANCE_PROVIDER_REPORTED,
    Price,
)
from tollway.router.v1.router_pb2 import CreateEmbeddingsResponse

TOOK = Usage(input_tokens=10)
DOLLAR = 1_000_000_000


async def test_vectors_are_passed_on_with_what_they_cost(bench: Bench) -> None:
    bench.deploy(a=[vectors([0.5, 1.0], counted=TOOK)])
    response = await bench.embed("Hello")
    assert response.embedding == vectors([0.5, 1.0], counted=TOOK)
    receipt = response.receipt
    assert (receipt.request_id, receipt.deployment, receipt.attempts, receipt.cost_nanos) == ("req-1", "a/m", 1, 10_000)


async def test_the_provider_is_asked_what_was_asked(bench: Bench) -> None:
    bench.deploy(a=[vectors([1.0])])
    asked = EmbeddingRequest(model="gpt", inputs=[EmbeddingInput(text="Hi")], dimensions=3, user="ada")
    await bench.embed(request=asked)
    (call,) = bench.providers.calls
    assert (call.request.provider, call.request.model) == ("a", "m")
    assert call.request.embedding == asked
    assert call.trace == bench.tracer.named("attempt 1 a/m")[0].context


async def test_there_is_one_row_with_what_the_provider_counted(bench: Bench) -> None:
    bench.deploy(a=[vectors([1.0], counted=TOOK)])
    await bench.embed("Hello")
    (row,) = bench.journal.rows
    assert (row.status, row.provenance, row.usage, row.cost_nanos) == (
        ATTEMPT_STATUS_OK, PROVENANCE_PROVIDER_REPORTED, TOOK, 10_000,
    )  # fmt: skip
    assert not row.streamed
    assert list(row.tags) == ["ci"]


async def test_a_provider_that_counts_nothing_is_estimated_by_the_size_of_the_texts(bench: Bench) -> None:
    bench.deploy(a=[vectors([1.0], [1.0], counted=None)])
    tokens = EmbeddingInput(tokens=TokenList(tokens=[1, 2, 3]))
    await bench.embed(request=EmbeddingRequest(model="gpt", inputs=[EmbeddingInput(text="x" * 8), tokens]))
    (row,) = bench.journal.rows
    assert (row.usage.input_tokens, row.usage.output_tokens, row.provenance) == (5, 0, PROVENANCE_ESTIMATED)


async def test_a_failure_is_retried_and_then_the_next_deployment_is_asked(bench: Bench) -> None:
    bench.deploy(a=[error(Reason.UPSTREAM_FAILED)], b=[vectors([1.0])])
    asking = bench.embed("Hello")
    await bench.seconds(asking)
    assert bench.providers.asked() == ["a/m", "a/m", "b/m"]
    assert asking.result().receipt.attempts == 3
    assert [row.status for row in bench.journal.rows] == [ATTEMPT_STATUS_FAILED] * 2 + [ATTEMPT_STATUS_OK]


async def test_a_provider_that_makes_no_vectors_is_passed_over_at_once(bench: Bench) -> None:
    bench.deploy(a=[error(Reason.UNSUPPORTED_FEATURE)], b=[vectors([1.0])])
    await bench.embed("Hello")
    assert bench.providers.asked() == ["a/m", "b/m"]


async def test_a_vector_that_is_missing_is_a_malformed_answer(bench: Bench) -> None:
    bench.deploy(a=[vectors([1.0])], b=[vectors([1.0], [2.0])])
    asking = bench.embed("one", "two")
    await bench.seconds(asking)
    assert asking.result().receipt.deployment == "b/m"
    assert bench.journal.rows[0].error_reason == Reason.UPSTREAM_MALFORMED
    assert bench.journal.rows[0].cost_nanos == 20_000, "the provider bills it all the same"


async def test_failures_open_the_breaker_of_conversations(bench: Bench) -> None:
    bench.deploy(Deployment("a", "m", retries=0), a=[error(Reason.UPSTREAM_FAILED)])
    for _ in range(5):
        await bench.failure(bench.embed("Hello"))
    failure = await bench.failure(bench.embed("Hello"))
    assert failure.reason is Reason.NO_DEPLOYMENT_READY
    assert len(bench.providers.calls) == 5


async def test_a_deadline_ends_it(bench: Bench) -> None:
    bench.deploy(a=[Hang()])
    failure = await bench.failure(bench.embed("Hello", timeout=3.0))
    assert failure.reason is Reason.DEADLINE_EXCEEDED
    assert bench.journal.rows[0].status == ATTEMPT_STATUS_CANCELLED


async def test_whoever_leaves_ends_the_providers_call(bench: Bench) -> None:
    bench.deploy(a=[Hang()])
    asking = bench.embed("Hello")
    await bench.clock.advance(1)
    asking.cancel()
    await bench.clock.advance(0)
    assert bench.providers.calls[0].cancelled
    assert bench.journal.rows[0].status == ATTEMPT_STATUS_CANCELLED


async def test_a_provider_that_bills_all_the_same_is_read_to_the_end(bench: Bench) -> None:
    bench.deploy(Deployment("a", "m", drain=30.0), a=[[Pause(5)]])
    asking = bench.embed("Hello")
    await bench.clock.advance(1)
    asking.cancel()
    await bench.clock.advance(5)
    assert not bench.providers.calls[0].cancelled
    (row,) = bench.journal.rows
    assert (row.status, row.usage) == (ATTEMPT_STATUS_CANCELLED, USAGE)


async def test_rules_look_at_how_much_there_is(bench: Bench) -> None:
    bench.deploy(a=[vectors([1.0])], b=[vectors([1.0])])
    bench.rules = [Rule("long ones", Condition(over=100), Action(choose=("b",)))]
    await bench.embed("x" * 100)
    await bench.embed("x" * 1000)
    assert bench.providers.asked() == ["a/m", "b/m"]


async def test_a_rule_may_deny_it(bench: Bench) -> None:
    bench.deploy(a=[vectors([1.0])])
    bench.rules = [Rule("none", Condition(model=("gpt",)), Action(deny="no vectors here"))]
    with pytest.raises(TollwayError) as denied:
        await bench.embed("Hello")
    assert denied.value.reason is Reason.DENIED_BY_RULE
    assert not bench.providers.calls


async def test_its_span_speaks_of_embeddings_with_its_attempts_under_it(bench: Bench) -> None:
    bench.deploy(a=[vectors([1.0], counted=TOOK)])
    await bench.embed(request=EmbeddingRequest(model="gpt", inputs=[EmbeddingInput(text="Hi")], dimensions=8))
    (span,) = bench.tracer.named("embeddings gpt")
    assert span.attributes["gen_ai.operation.name"] == "embeddings"
    assert span.attributes["gen_ai.embeddings.dimension.count"] == 8
    assert span.attributes["gen_ai.response.model"] == "m-2026"
    assert span.attributes["gen_ai.usage.input_tokens"] == 10
    assert "gen_ai.response.finish_reasons" not in span.attributes
    assert bench.tracer.named("attempt 1 a/m")[0].parent == span.context
    labels = [labels for name, _, labels in bench.metrics.seen if name == "gen_ai.client.operation.duration"]
    assert [each["gen_ai.operation.name"] for each in labels] == ["embeddings"]


async def everybody(asking: list[asyncio.Task[CreateEmbeddingsResponse]]) -> None:
    await asyncio.gather(*asking, return_exceptions=True)


class TestUnderHardBudgets:
    async def test_it_is_charged_what_it_cost(self, bench: Bench, tmp_path: Path) -> None:
        bench.deploy(a=[vectors([1.0], counted=TOOK)])
        async with spending(bench, tmp_path, budget("project:default", DOLLAR)) as made:
            await bench.embed("Hello")
            assert made.spent == [10_000]
            assert bench.journal.rows[0].lease_ids

    async def test_what_might_not_fit_is_not_asked(self, bench: Bench, tmp_path: Path) -> None:
        bench.deploy(a=[vectors([1.0])])
        async with spending(bench, tmp_path, budget("project:default", 400_000), wait=0.0):
            await bench.embed("x" * 100)  # at most 54 tokens
            failure = await bench.failure(bench.embed("x" * 10_000))
            assert failure.reason is Reason.BUDGET_EXCEEDED
            assert len(bench.providers.calls) == 1

    async def test_however_many_are_asked_at_once_they_stay_within_it(self, bench: Bench, tmp_path: Path) -> None:
        took = Usage(input_tokens=25)
        bench.deploy(a=[vectors([1.0], counted=took)])
        async with spending(bench, tmp_path, budget("project:default", 1_000_000), wait=0.0) as made:
            asking = [bench.embed("x" * 100) for _ in range(100)]
            await bench.seconds(asyncio.create_task(everybody(asking)))
            answered = [each for each in asking if each.exception() is None]
            assert made.spent[0] == 25_000 * len(answered) <= 1_000_000
            assert 1 <= len(answered) < 100

    async def test_no_price_is_no_call(self, bench: Bench, tmp_path: Path) -> None:
        bench.deploy(a=[vectors([1.0])])
        bench.prices.price = None
        async with spending(bench, tmp_path, budget("project:default", DOLLAR)):
            failure = await bench.failure(bench.embed("Hello"))
            assert failure.reason is Reason.MODEL_UNPRICED

    async def test_nothing_is_reserved_for_an_answer_in_tokens(self, bench: Bench, tmp_path: Path) -> None:
        bench.prices.price = Price(version="v1", input_nanos_per_1m=1_000_000_000, output_nanos_per_1m=DOLLAR * DOLLAR)
        bench.deploy(a=[vectors([1.0], counted=TOOK)])
        async with spending(bench, tmp_path, budget("project:default", 1_000_000), wait=0.0):
            response = await bench.embed("Hello")
            assert response.receipt.cost_nanos == 10_000
