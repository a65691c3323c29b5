"""What hard budgets do to questions: a token of a prompt costs 1,000 nano-USD here, one of an answer 2,000."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from mesh.errors import Reason, TollwayError
from services.router.domain.hedging import Hedge
from services.router.domain.routes import Deployment
from tests.unit.services.router.bench import Bench
from tests.unit.services.router.budget_keeper import budget
from tests.unit.services.router.spending import HEARD, Spending, spending
from tests.unit.services.router.twins import (
    Hang,
    Item,
    Pause,
    answer,
    chat,
    error,
    finish,
    role,
    streamed,
    text,
    usage,
)
from tollway.chat.v1.chat_pb2 import FINISH_REASON_LENGTH, ChatRequest, SamplingOptions, Usage
from tollway.ledger.v1.ledger_pb2 import ATTEMPT_STATUS_INTERRUPTED, PROVENANCE_STREAM_COUNTED
from tollway.providers.v1.providers_pb2 import StreamCompletionRequest
from tollway.router.v1.router_pb2 import CONTINUATION_PREFILL

DOLLAR = 1_000_000_000
both = pytest.mark.parametrize("in_pieces", [False, True], ids=["whole", "streamed"])


@pytest.fixture
async def plenty(bench: Bench, tmp_path: Path) -> AsyncIterator[Spending]:
    """A budget of $100, with nothing spent."""
    async with spending(bench, tmp_path, budget("project:default", 100 * DOLLAR)) as made:
        yield made


def capped_at(cap: int) -> ChatRequest:
    question = chat()
    question.sampling.CopyFrom(SamplingOptions(max_tokens=cap))
    return question


def long_answer(pieces: int, pause: float = 0.0) -> list[Item]:
    """Forty characters, ten tokens, to a piece."""
    said: list[Item] = []
    for _ in range(pieces):
        said += [text("x" * 40), *([Pause(pause)] if pause else [])]
    return [role(), *said, finish(), usage(Usage(input_tokens=3, output_tokens=10 * pieces))]


def cut_short(tokens: int, words: str = "Hello") -> list[Item]:
    return [text(words), finish(reason=FINISH_REASON_LENGTH), usage(Usage(input_tokens=3, output_tokens=tokens))]


def sent(bench: Bench, call: int = -1) -> StreamCompletionRequest:
    request = bench.providers.calls[call].request
    assert isinstance(request, StreamCompletionRequest)
    return request


@both
async def test_a_question_is_charged_to_a_lease_of_each_budget_it_falls_under(
    bench: Bench, tmp_path: Path, in_pieces: bool
) -> None:
    bench.deploy(a=[streamed()])
    budgets = budget("project:default", DOLLAR), budget("tag:*", DOLLAR), budget("key:other", DOLLAR)
    async with spending(bench, tmp_path, *budgets) as made:
        words, receipt = await bench.ask(in_pieces)
        (row,) = bench.journal.rows
        assert words == "Hello"
        names = {made.keeper.leases[lease].name for lease in row.lease_ids}
        assert names == {("project:default/total", "project:default"), ("tag:*/total", "tag:ci")}
        assert made.spent == [receipt.cost_nanos, receipt.cost_nanos] == [20_000, 20_000]
        assert list(bench.journal.opens[0].lease_ids) == list(row.lease_ids)


async def test_where_no_hard_budget_applies_nothing_is_reserved(bench: Bench, tmp_path: Path) -> None:
    bench.deploy(a=[answer()])
    budgets = budget("project:other", DOLLAR), budget("project:default", 1, soft=True)
    async with spending(bench, tmp_path, *budgets) as made:
        await bench.create()
        assert not bench.journal.rows[0].lease_ids
        assert made.keeper.requests == 0


async def test_a_named_soft_budget_stands_in_place_of_a_hard_one_for_everybody(bench: Bench, tmp_path: Path) -> None:
    bench.deploy(a=[answer()])
    async with spending(bench, tmp_path, budget("key:*", 1), budget("key:local", 1, soft=True)):
        await bench.create()
        assert not bench.journal.rows[0].lease_ids


async def test_calls_do_not_ask_the_ledger_one_by_one(bench: Bench, plenty: Spending) -> None:
    bench.deploy(a=[streamed()])
    for _ in range(50):
        await bench.create()
    assert plenty.keeper.requests < 10


@both
async def test_what_was_not_needed_is_free_again(bench: Bench, tmp_path: Path, in_pieces: bool) -> None:
    bench.deploy(a=[streamed()])
    name = ("project:default/total", "project:default")
    async with spending(bench, tmp_path, budget("project:default", DOLLAR)) as made:
        await bench.ask(in_pieces)
        assert made.purse.fund(name).held == 0
        made.ship()
        await bench.clock.advance(60)
        assert made.keeper.granted(name) == 0
        assert made.keeper.left(name) == DOLLAR - 20_000


@both
async def test_a_budget_that_is_used_up_refuses_at_once_and_says_which_it_is(
    bench: Bench, tmp_path: Path, in_pieces: bool
) -> None:
    bench.deploy(a=[streamed()])
    async with spending(bench, tmp_path, budget("project:default", DOLLAR)) as made:
        made.keeper.spent["project:default/total", "project:default"] = DOLLAR
        asked = bench.ask(in_pieces)
        refused = await bench.failure(asked)
        assert refused.reason is Reason.BUDGET_EXCEEDED
        assert refused.message == "project:default may spend $1.00 in all, and has spent $1.00: nothing is left."
        about = {
            "scope": "project:default",
            "budget": "project:default/total",
            "limit_usd": "1.00",
            "spent_usd": "1.00",
        }
        assert refused.metadata == {
            **about, "request_id": "req-1", "trace_id": refused.metadata["trace_id"], "attempts": "0"
        }  # fmt: skip
        assert not bench.providers.calls
        assert not bench.journal.opens


async def test_a_refusal_gives_back_the_place_that_a_breaker_kept(bench: Bench, tmp_path: Path) -> None:
    bench.deploy(a=[error(Reason.UPSTREAM_FAILED), streamed()])
    async with spending(bench, tmp_path, budget("project:default", DOLLAR)) as made:
        made.keeper.spent["project:default/total", "project:default"] = DOLLAR
        await bench.failure(bench.create())
        standing = bench.fleet.standing("a/m")
        assert standing.enter(bench.clock.monotonic()) is not None
        assert standing.in_flight == 0


async def test_a_huge_cap_of_the_clients_blocks_nobody(bench: Bench, tmp_path: Path) -> None:
    """One that all of the budget could not pay for, asked for by many at once (litellm#38647)."""
    bench.deploy(a=[[text("Hello"), Pause(1.0), finish(), usage()]])
    async with spending(bench, tmp_path, budget("project:default", DOLLAR)) as made:
        asked = [bench.create(request=capped_at(1_000_000)) for _ in range(100)]
        await bench.clock.advance(2.0)
        assert all(each.done() and each.exception() is None for each in asked)
        assert made.spent == [100 * 20_000]


async def test_an_absurd_cap_of_the_clients_is_no_trouble(bench: Bench, plenty: Spending) -> None:
    bench.deploy(a=[streamed()])
    response = await bench.create(request=capped_at(2**62))
    assert response.chat == answer()
    assert not plenty.reservations.lost


async def test_an_answer_is_streamed_from_the_provider_whatever_the_client_asked_for(
    bench: Bench, plenty: Spending
) -> None:
    bench.deploy(a=[streamed("Hello")])
    response = await bench.create()
    assert isinstance(sent(bench), StreamCompletionRequest)
    assert response.chat == answer()
    assert response.receipt.cost_nanos == 20_000
    assert bench.journal.rows[0].streamed


async def test_sound_is_asked_for_whole_and_capped(bench: Bench, plenty: Spending) -> None:
    bench.deploy(Deployment("a", "m", can=frozenset({"audio"})), a=[answer()])
    question = chat()
    question.modalities.extend(["text", "audio"])
    await bench.create(request=question)
    request = bench.providers.calls[0].request
    assert not isinstance(request, StreamCompletionRequest)
    assert request.chat.sampling.max_output_tokens == 16_384


# -- caps ------------------------------------------------------------------------------------------------------------


async def test_a_model_that_may_think_unheard_is_capped_at_what_is_reserved(bench: Bench, plenty: Spending) -> None:
    bench.deploy(a=[streamed()])
    await bench.create()
    assert sent(bench).chat.sampling.max_output_tokens == 16_384
    await bench.create(request=capped_at(50))
    assert sent(bench).chat.sampling == SamplingOptions(max_tokens=50)


async def test_a_model_that_is_known_not_to_think_is_not_capped(bench: Bench, plenty: Spending) -> None:
    bench.deploy(HEARD, a=[streamed()])
    await bench.create()
    assert not sent(bench).chat.sampling.HasField("max_output_tokens")


async def test_where_not_much_is_left_caps_are_small(bench: Bench, tmp_path: Path) -> None:
    bench.deploy(a=[streamed()])
    async with spending(bench, tmp_path, budget("project:default", 10_000_000)):  # 5,000 tokens
        await bench.create()
        assert 1_024 <= sent(bench).chat.sampling.max_output_tokens < 1_030


async def test_the_length_that_a_client_asked_for_is_no_fault(bench: Bench, plenty: Spending) -> None:
    bench.deploy(a=[cut_short(50)])
    response = await bench.create(request=capped_at(50))
    assert response.chat.choices[0].finish_reason == FINISH_REASON_LENGTH


async def test_a_window_that_is_full_before_our_cap_is_no_fault_of_the_budgets(bench: Bench, plenty: Spending) -> None:
    bench.deploy(a=[cut_short(4_000)])
    response = await bench.create()
    assert response.chat.choices[0].finish_reason == FINISH_REASON_LENGTH


async def test_a_whole_answer_that_our_cap_ended_is_asked_for_again_with_more(bench: Bench, plenty: Spending) -> None:
    bench.deploy(a=[cut_short(16_384), streamed()])
    asked = bench.create()
    await bench.seconds(asked)
    response = asked.result()
    assert response.chat == answer()
    assert response.receipt.attempts == 2
    assert sent(bench, 1).chat.sampling.max_output_tokens == 2 * 16_384
    first, _ = bench.journal.rows
    assert first.error_reason == Reason.RESERVATION_EXCEEDED
    assert plenty.spent == [response.receipt.cost_nanos] == [3_000 + 16_384 * 2_000 + 20_000]


async def test_a_stream_that_our_cap_ended_before_any_content_begins_anew_unseen(
    bench: Bench, plenty: Spending
) -> None:
    thought = [role(), finish(reason=FINISH_REASON_LENGTH), usage(Usage(input_tokens=3, output_tokens=16_384))]
    bench.deploy(a=[thought, streamed()])
    reader = bench.stream()
    await bench.seconds(reader.task)
    assert reader.text == "Hello"


async def test_a_stream_that_our_cap_ended_goes_on_by_prefill(bench: Bench, plenty: Spending) -> None:
    deployment = Deployment("a", "m", can=frozenset({"reasoning", "prefill"}))
    bench.deploy(deployment, a=[cut_short(16_384, "Hel"), [text("lo"), finish(), usage()]])
    reader = bench.stream()
    await bench.seconds(reader.task)
    assert reader.text == "Hello"
    assert list(reader.messages[-1].receipt.continuations) == [CONTINUATION_PREFILL]
    assert sent(bench, 1).chat.sampling.max_output_tokens == 2 * 16_384


async def test_a_stream_that_cannot_be_gone_on_with_is_not_paid_for_twice(bench: Bench, tmp_path: Path) -> None:
    bench.deploy(Deployment("a", "m"), Deployment("b", "m"), a=[cut_short(16_384, "Hel")], b=[streamed("Hello")])
    async with spending(bench, tmp_path, budget("project:default", 100 * DOLLAR)):
        reader = bench.stream()
        failure = await bench.failure(reader.task)
        assert failure.reason is Reason.RESERVATION_EXCEEDED
        assert failure.row.openai_code == "budget_exceeded"
        assert reader.text == "Hel"
        assert not reader.finishes
        assert bench.providers.asked() == ["a/m"]


# -- while it is answered --------------------------------------------------------------------------------------------


@both
async def test_an_answer_that_becomes_long_is_given_more(bench: Bench, plenty: Spending, in_pieces: bool) -> None:
    bench.deploy(HEARD, a=[long_answer(200)])
    words, _ = await bench.ask(in_pieces)
    assert len(words) == 8_000
    assert plenty.spent == [3_000 + 2_000 * 2_000]


async def test_a_stream_is_cut_where_there_is_no_more(bench: Bench, tmp_path: Path) -> None:
    bench.deploy(HEARD, a=[long_answer(1_000)])
    async with spending(bench, tmp_path, budget("project:default", 5_000_000)) as made:  # 2,500 tokens
        reader = bench.stream()
        failure = await bench.failure(reader.task)
        assert failure.reason is Reason.BUDGET_EXCEEDED
        assert not failure.row.repeatable
        assert failure.metadata["scope"] == "project:default"
        assert not reader.finishes
        assert bench.providers.calls[0].cancelled
        (row,) = bench.journal.rows
        assert (row.status, row.error_reason) == (ATTEMPT_STATUS_INTERRUPTED, Reason.BUDGET_EXCEEDED)
        assert row.provenance == PROVENANCE_STREAM_COUNTED
        assert 1_000_000 < sum(made.spent) <= 5_000_000
        assert made.purse.fund(("project:default/total", "project:default")).held == 0


async def test_a_whole_answer_is_cut_where_there_is_no_more(bench: Bench, tmp_path: Path) -> None:
    bench.deploy(HEARD, a=[long_answer(1_000)])
    async with spending(bench, tmp_path, budget("project:default", 5_000_000)):
        failure = await bench.failure(bench.create())
        assert failure.reason is Reason.BUDGET_EXCEEDED
        assert bench.providers.asked() == ["a/m"]
        assert bench.providers.calls[0].cancelled


async def test_an_answer_that_is_all_there_is_not_cut(bench: Bench, tmp_path: Path) -> None:
    """Its provider has counted it: to refuse it now would save nothing."""
    async with spending(bench, tmp_path, budget("project:default", 2_000_000)):
        both_at_once = text("x" * 400)
        both_at_once.deltas.extend(finish().deltas)
        bench.deploy(HEARD, a=[[both_at_once, usage(Usage(input_tokens=3, output_tokens=1_000))]])
        reader = bench.stream()
        await bench.seconds(reader.task)
        assert len(reader.text) == 400


async def test_a_call_that_took_more_than_was_reserved_takes_it_from_the_rest(bench: Bench, plenty: Spending) -> None:
    bench.deploy(HEARD, a=[[text("Hi"), finish(), usage(Usage(input_tokens=3, output_tokens=100_000))]])
    await bench.create()
    assert plenty.spent == [3_000 + 200_000_000]
    await bench.create()
    assert plenty.spent == [2 * (3_000 + 200_000_000)]


async def test_choices_that_have_ended_need_nothing_more(bench: Bench, tmp_path: Path) -> None:
    script: list[Item] = [text("Hi"), finish(), Pause(5.0), text("Ho", 1), finish(1), usage()]
    bench.deploy(HEARD, a=[script])
    question = capped_at(200)
    question.choice_count = 2
    async with spending(bench, tmp_path, budget("project:default", DOLLAR)) as made:
        reader = bench.stream(request=question)
        await bench.clock.advance(0)
        fund = made.purse.fund(("project:default/total", "project:default"))
        assert fund.held < 2 * 200 * 2_000
        await bench.seconds(reader.task)
        assert fund.held == 0


async def test_a_client_that_leaves_is_charged_for_what_was_said(bench: Bench, plenty: Spending) -> None:
    bench.deploy(HEARD, a=[[text("x" * 400), Hang()]])
    responses = bench.responses()
    await anext(responses)
    await responses.aclose()
    assert plenty.spent == [3_000 + 100 * 2_000]
    assert plenty.purse.fund(("project:default/total", "project:default")).held == 0


async def test_an_answer_that_is_read_on_stays_charged_until_it_is_settled(bench: Bench, plenty: Spending) -> None:
    deployment = Deployment("a", "m", drain=30.0)
    bench.deploy(deployment, a=[[text("Hel"), Pause(5.0), text("lo"), finish(), usage()]])
    responses = bench.responses()
    await anext(responses)
    await responses.aclose()
    fund = plenty.purse.fund(("project:default/total", "project:default"))
    assert fund.held > 0
    await bench.clock.advance(6.0)
    assert fund.held == 0
    assert plenty.spent == [20_000]


# -- every attempt ---------------------------------------------------------------------------------------------------


@both
async def test_each_try_is_charged(bench: Bench, plenty: Spending, in_pieces: bool) -> None:
    bench.deploy(a=[error(Reason.UPSTREAM_FAILED), streamed()])
    asked = bench.ask(in_pieces)
    await bench.seconds(asked)
    assert [len(row.lease_ids) for row in bench.journal.rows] == [1, 1]
    assert plenty.spent == [20_000]


async def test_a_fallback_is_held_to_the_budget_too(bench: Bench, tmp_path: Path) -> None:
    """litellm#41379."""
    bench.deploy(
        Deployment("a", "m", retries=0), fallback=Deployment("b", "m"),
        a=[error(Reason.UPSTREAM_FAILED)], b=[streamed()],
    )  # fmt: skip
    async with spending(bench, tmp_path, budget("model:gpt", DOLLAR)) as made:
        await bench.seconds(bench.create())
        assert bench.providers.asked() == ["a/m", "b/m"]
        assert made.spent == [20_000]


@both
async def test_both_of_a_race_are_charged(bench: Bench, plenty: Spending, in_pieces: bool) -> None:
    bench.deploy(
        Deployment("a", "m"), Deployment("b", "m"), hedge=Hedge(1.0, 1.0),
        a=[[Pause(60.0), *streamed()]], b=[streamed()],
    )  # fmt: skip
    asked = bench.ask(in_pieces)
    await bench.seconds(asked)
    assert asked.result()[1].hedged
    assert [len(row.lease_ids) for row in bench.journal.rows] == [1, 1]
    assert plenty.purse.fund(("project:default/total", "project:default")).held == 0


async def test_no_second_attempt_is_made_that_the_budget_cannot_bear(bench: Bench, tmp_path: Path) -> None:
    bench.deploy(
        Deployment("a", "m"), Deployment("b", "m"), hedge=Hedge(1.0, 1.0),
        a=[[Pause(3.0), *streamed()]], b=[streamed()],
    )  # fmt: skip
    async with spending(bench, tmp_path, budget("project:default", 2_100_000)):
        await bench.seconds(bench.create())
        assert bench.providers.asked() == ["a/m"]
        assert bench.fleet.standing("b/m").in_flight == 0


async def test_a_call_that_cannot_be_written_down_reserves_nothing(bench: Bench, plenty: Spending) -> None:
    bench.deploy(a=[streamed()])
    bench.journal.full = True
    failure = await bench.failure(bench.create())
    assert failure.reason is Reason.SERVICE_UNAVAILABLE
    assert plenty.purse.fund(("project:default/total", "project:default")).held == 0


# -- prices ----------------------------------------------------------------------------------------------------------


async def test_a_model_without_a_price_is_refused_by_name(bench: Bench, plenty: Spending) -> None:
    """litellm#35524: a reservation must not be skipped because nobody knows the cost."""
    bench.deploy(a=[streamed()])
    bench.prices.price = None
    failure = await bench.failure(bench.create())
    assert failure.reason is Reason.MODEL_UNPRICED
    assert "a/m has no price" in failure.message
    assert '{provider: a, model: "m", input: $…, output: $…}' in failure.message
    assert not bench.providers.calls


@both
async def test_a_model_that_is_met_for_the_first_time_waits_for_its_price(
    bench: Bench, plenty: Spending, in_pieces: bool
) -> None:
    bench.deploy(a=[streamed()])
    bench.prices.price, bench.prices.to_learn = None, bench.prices.price
    words, receipt = await bench.ask(in_pieces)
    assert (words, receipt.cost_nanos) == ("Hello", 20_000)
    assert plenty.spent == [20_000]


async def test_nobody_waits_for_a_price_longer_than_they_have(bench: Bench, plenty: Spending) -> None:
    bench.deploy(a=[streamed()])
    bench.prices.price, bench.prices.learning = None, asyncio.get_running_loop().create_future()
    failing = asyncio.create_task(bench.failure(bench.create(timeout=3.0)))
    await bench.clock.advance(2.9)
    assert not failing.done()
    await bench.clock.advance(0.2)
    assert (await failing).reason is Reason.MODEL_UNPRICED
    assert not bench.providers.calls


async def test_while_the_ledger_is_lost_nobody_waits_for_a_price(bench: Bench, tmp_path: Path) -> None:
    bench.deploy(a=[streamed()])
    bench.prices.price, bench.prices.learning = None, asyncio.get_running_loop().create_future()
    async with spending(bench, tmp_path, budget("project:default", DOLLAR), allow=True) as made:
        made.reservations.lose()
        await bench.create()
        assert not bench.journal.rows[0].price_version


async def test_a_model_that_costs_nothing_needs_nothing_of_a_budget(bench: Bench, tmp_path: Path) -> None:
    bench.deploy(a=[streamed()])
    assert bench.prices.price is not None
    bench.prices.price.input_nanos_per_1m = bench.prices.price.output_nanos_per_1m = 0
    try:
        async with spending(bench, tmp_path, budget("project:default", DOLLAR)) as made:
            made.keeper.spent["project:default/total", "project:default"] = DOLLAR
            await bench.create()
            assert not sent(bench).chat.sampling.HasField("max_output_tokens")
    finally:
        bench.prices.price.input_nanos_per_1m, bench.prices.price.output_nanos_per_1m = 10**9, 2 * 10**9


# -- waiting ---------------------------------------------------------------------------------------------------------


async def test_who_finds_all_reserved_waits_until_another_call_has_ended(bench: Bench, tmp_path: Path) -> None:
    bench.deploy(a=[[text("Hello"), Pause(1.5), finish(), usage()], streamed()])
    async with spending(bench, tmp_path, budget("project:default", 2_100_000)):  # 1,050 tokens
        first, second = bench.create(), bench.create()
        await bench.clock.advance(1.0)
        assert len(bench.providers.calls) == 1
        await bench.clock.advance(1.0)
        assert first.done()
        assert (await second).chat == answer()


async def test_who_waits_takes_what_there_is_when_the_wait_is_over(bench: Bench, tmp_path: Path) -> None:
    bench.deploy(a=[[text("Hello"), Hang()], streamed()])
    async with spending(bench, tmp_path, budget("project:default", 3_300_000)):  # 1,650 tokens
        first, second = bench.create(), bench.create()
        await bench.clock.advance(1.9)
        assert len(bench.providers.calls) == 1
        await bench.clock.advance(0.2)
        assert second.done()
        assert 512 <= sent(bench).chat.sampling.max_output_tokens < 1_024
        first.cancel()


async def test_who_waited_in_vain_is_told_that_the_rest_is_reserved(bench: Bench, tmp_path: Path) -> None:
    bench.deploy(a=[[text("Hello"), Hang()]])
    async with spending(bench, tmp_path, budget("project:default", 2_100_000), wait=3.0):
        first, second = bench.create(), bench.create()
        took = await bench.seconds(second)
        assert 3.0 <= took <= 3.5
        failure = second.exception()
        assert isinstance(failure, TollwayError)
        assert failure.reason is Reason.BUDGET_EXCEEDED
        assert "the rest is reserved for requests under way" in failure.message
        first.cancel()


async def test_nobody_waits_longer_than_their_deadline(bench: Bench, tmp_path: Path) -> None:
    bench.deploy(a=[[text("Hello"), Hang()]])
    async with spending(bench, tmp_path, budget("project:default", 2_100_000), wait=30.0):
        first, second = bench.create(), bench.create(timeout=1.0)
        assert await bench.seconds(second) <= 1.25
        first.cancel()


async def test_who_leaves_while_waiting_takes_nothing_along(bench: Bench, tmp_path: Path) -> None:
    bench.deploy(a=[[text("Hello"), Pause(1.0), finish(), usage()], streamed()])
    async with spending(bench, tmp_path, budget("project:default", 2_100_000)) as made:
        first, second, third = bench.create(), bench.create(), bench.create()
        await bench.clock.advance(0.5)
        second.cancel()
        await bench.clock.advance(2.0)
        assert first.done()
        assert (await third).chat == answer()
        assert made.purse.fund(("project:default/total", "project:default")).held == 0


async def test_a_stream_that_needs_more_goes_before_those_that_have_not_begun(bench: Bench, tmp_path: Path) -> None:
    quick: list[Item] = [role(), text("x" * 40), Pause(1.0), finish(), usage()]
    bench.deploy(HEARD, a=[quick, long_answer(25, 0.045), streamed()])
    async with spending(bench, tmp_path, budget("project:default", 1_500_000)):  # 750 tokens
        first, long = bench.stream(), bench.stream()
        await bench.clock.advance(0.95)
        late = bench.create()
        await bench.clock.advance(1.5)
        assert first.task.done()
        assert long.task.done()
        late.cancel()
        await asyncio.gather(late, return_exceptions=True)
        assert long.task.exception() is None, long.task.exception()


# -- without the ledger ----------------------------------------------------------------------------------------------


async def test_leases_last_for_a_while_when_the_ledger_is_gone(bench: Bench, plenty: Spending) -> None:
    bench.deploy(a=[streamed()])
    await bench.create()
    plenty.keeper.gone = True
    await bench.clock.advance(8.0)
    await bench.create()
    assert plenty.budgeting.any


@both
async def test_then_hard_budgets_refuse_and_say_why(bench: Bench, plenty: Spending, in_pieces: bool) -> None:
    bench.deploy(a=[streamed()])
    plenty.keeper.gone = True
    failure = await bench.failure(bench.ask(in_pieces))
    assert failure.reason is Reason.SERVICE_UNAVAILABLE
    assert "ledger.when_lost is deny" in failure.message
    assert plenty.reservations.lost
    plenty.keeper.gone = False
    await bench.clock.advance(2.0)
    assert not plenty.reservations.lost
    await bench.ask(in_pieces)


@both
async def test_or_let_pass_where_that_is_configured(bench: Bench, tmp_path: Path, in_pieces: bool) -> None:
    bench.deploy(HEARD, a=[long_answer(100)])
    async with spending(bench, tmp_path, budget("project:default", DOLLAR), allow=True) as made:
        made.keeper.gone = True
        asked = bench.ask(in_pieces)
        await bench.seconds(asked)
        assert len(asked.result()[0]) == 4_000
        assert not bench.journal.rows[0].lease_ids


async def test_a_stream_under_way_goes_on_where_that_is_configured(bench: Bench, tmp_path: Path) -> None:
    bench.deploy(HEARD, a=[long_answer(100, 0.1)])
    async with spending(bench, tmp_path, budget("project:default", DOLLAR), allow=True, most=1_000_000) as made:
        reader = bench.stream()
        await bench.clock.advance(1.0)
        made.keeper.gone = True
        await bench.seconds(reader.task)
        assert len(reader.text) == 4_000


async def test_other_traffic_goes_on(bench: Bench, tmp_path: Path) -> None:
    bench.deploy(a=[answer()])
    async with spending(bench, tmp_path, budget("project:other", DOLLAR)) as made:
        made.keeper.gone = True
        await bench.create()


async def test_without_prices_and_ledger_a_budget_refuses_because_of_the_ledger(bench: Bench, plenty: Spending) -> None:
    bench.deploy(a=[streamed()])
    plenty.keeper.gone = True
    await bench.failure(bench.create())
    bench.prices.price = None
    failure = await bench.failure(bench.create())
    assert failure.reason is Reason.SERVICE_UNAVAILABLE


# -- laws ------------------------------------------------------------------------------------------------------------


async def test_many_at_once_never_spend_more_than_there_is(bench: Bench, tmp_path: Path) -> None:
    bench.deploy(
        HEARD, a=[long_answer(10, 0.05), long_answer(100, 0.02), long_answer(3, 0.2), long_answer(30, 0.01)] * 9
    )
    limit = 30_000_000
    async with spending(bench, tmp_path, budget("project:default", limit), most=3_000_000) as made:
        asked: list[asyncio.Task[Any]] = [bench.ask(number % 2 == 0) for number in range(60)]
        for _ in range(300):
            await bench.clock.advance(0.1)
            made.ship()
        outcomes = await asyncio.gather(*asked, return_exceptions=True)
        assert all(
            isinstance(each, tuple) or (isinstance(each, TollwayError) and each.reason is Reason.BUDGET_EXCEEDED)
            for each in outcomes
        )
        assert 0.8 * limit <= sum(made.spent) <= limit


async def test_a_stream_that_waits_for_more_is_cut_before_its_provider_says_much_more(
    bench: Bench, tmp_path: Path
) -> None:
    bench.deploy(HEARD, a=[[text("Hello"), Hang()], long_answer(1_000, 0.02)])
    async with spending(bench, tmp_path, budget("project:default", 2_000_000), wait=30.0):
        first, second = bench.stream(), bench.stream()
        failure = await bench.failure(second.task)
        assert failure.reason is Reason.BUDGET_EXCEEDED
        row = bench.journal.ends[1]
        assert row.response_time_ms < 20 * bench.providers.calls[1].pulled + 200
        first.task.cancel()
