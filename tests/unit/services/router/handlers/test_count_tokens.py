from __future__ import annotations

import pytest

from mesh.errors import Reason, TollwayError
from services.router.domain.rules import Action, Condition, Rule
from services.router.handlers.count_tokens import CountTokens
from tests.unit.services.router.bench import PARENT, Bench
from tests.unit.services.router.twins import Hang, answer, chat, error
from tollway.providers.v1.providers_pb2 import CountTokensResponse
from tollway.router.v1.router_pb2 import Preferences

COUNTED, CANNOT = CountTokensResponse(input_tokens=42), CountTokensResponse(estimated=True)


async def test_the_provider_counts(bench: Bench) -> None:
    bench.deploy(a=[COUNTED])
    question = chat(words="How many?")
    counted = await bench.count(question)
    assert (counted.input_tokens, counted.estimated, counted.deployment) == (42, False, "a/m")
    (call,) = bench.providers.calls
    assert (call.request.model, call.request.chat) == ("m", question)


async def test_what_the_provider_left_out_and_cleared_is_told(bench: Bench) -> None:
    bench.deploy(a=[CountTokensResponse(input_tokens=42, dropped=["chat.user"], original_input_tokens=50), COUNTED])
    first, second = await bench.count(), await bench.count()
    assert (list(first.dropped), first.original_input_tokens) == (["chat.user"], 50)
    assert not second.HasField("original_input_tokens")


async def test_for_one_that_does_not_a_token_is_taken_for_four_characters(bench: Bench) -> None:
    bench.deploy(a=[CANNOT], b=[COUNTED])
    counted = await bench.count(chat(words="x" * 41))
    assert (counted.input_tokens, counted.estimated, counted.deployment) == (11, True, "a/m")


async def test_nothing_is_written_down_and_nothing_is_paid(bench: Bench) -> None:
    bench.deploy(a=[COUNTED])
    await bench.count()
    assert not bench.journal.opens


async def test_where_one_fails_the_next_one_counts_at_once(bench: Bench) -> None:
    bench.deploy(a=[error(Reason.UPSTREAM_FAILED)], b=[COUNTED])
    assert (await bench.count()).deployment == "b/m"
    assert bench.providers.asked() == ["a/m", "b/m"]


async def test_a_question_that_is_refused_is_asked_of_nobody_else(bench: Bench) -> None:
    bench.deploy(a=[error(Reason.UPSTREAM_REJECTED)], b=[COUNTED])
    with pytest.raises(TollwayError) as refused:
        await bench.count()
    assert refused.value.reason is Reason.UPSTREAM_REJECTED
    assert refused.value.metadata["deployment"] == "a/m"
    assert bench.providers.asked() == ["a/m"]


async def test_where_nobody_can_the_error_says_what_each_of_them_showed(bench: Bench) -> None:
    bench.deploy(a=[error(Reason.UPSTREAM_FAILED)], b=[error(Reason.UPSTREAM_SILENT)])
    with pytest.raises(TollwayError) as failed:
        await bench.count()
    assert "None of 2 deployments" in failed.value.message
    assert failed.value.metadata["request_id"] == "req-1"


async def test_who_is_left_alone_is_not_asked_to_count(bench: Bench) -> None:
    bench.deploy(a=[error(Reason.UPSTREAM_CREDENTIALS), COUNTED], b=[answer(), COUNTED])
    await bench.create()
    assert (await bench.count()).deployment == "b/m"
    assert bench.providers.asked() == ["a/m", "b/m", "b/m"]


async def test_a_rule_that_denies_the_question_denies_counting_it(bench: Bench) -> None:
    bench.deploy(a=[COUNTED])
    bench.rules = [Rule("none", Condition(model=("gpt",)), Action(deny="no"))]
    with pytest.raises(TollwayError) as denied:
        await bench.count()
    assert denied.value.reason is Reason.DENIED_BY_RULE
    assert not bench.providers.calls


async def test_a_deadline_bounds_the_call(bench: Bench) -> None:
    bench.deploy(a=[Hang()])
    failure = await bench.failure(bench.count(timeout=2.0))
    assert failure.reason is Reason.DEADLINE_EXCEEDED
    assert bench.providers.calls[0].timeout == 2.0


async def test_its_span_says_how_many_there_are(bench: Bench) -> None:
    bench.deploy(a=[COUNTED])
    await bench.count()
    (span,) = bench.tracer.named("count_tokens gpt")
    assert span.attributes["gen_ai.usage.input_tokens"] == 42
    assert span.ended == 1


def test_an_idempotency_key_is_refused_for_there_is_nothing_to_give_again() -> None:
    query = CountTokens(chat(), "req-1", [], PARENT, None, Preferences(idempotency_key="k"))
    assert [each.field for each in query.violations()] == ["preferences.idempotency_key"]
