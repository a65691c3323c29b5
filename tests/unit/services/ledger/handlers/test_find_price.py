"""From a model that nobody has priced to a row that says what it cost, on real databases and the real catalogue."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any, TypeVar

import grpc
import pytest

from mesh.clock import VirtualClock
from mesh.money import cost_nanos
from services.ledger.settings import Callee, LedgerSettings
from tests.unit.services.ledger.conftest import Ledger, StartLedger
from tests.unit.services.ledger.samples import NOW, attempt
from tollway.chat.v1.chat_pb2 import Usage
from tollway.ledger.v1.ledger_pb2 import (
    PRICE_SOURCE_CATALOGUE,
    Attempt,
    FindPriceRequest,
    GetSpendRequest,
    ListPricesRequest,
    ListUsageRequest,
    Markup,
    Price,
    SetPriceRequest,
    WatchPricesRequest,
    WatchPricesResponse,
)

MODEL = "gpt-4o-mini"
R = TypeVar("R")


@pytest.fixture
async def catalogued(start_ledger: StartLedger, settings: LedgerSettings) -> Ledger:
    callees = (Callee("openai", "https://api.openai.com/v1"), Callee("local", "http://127.0.0.1:9100/v1"))
    markups = (Markup(provider_name="openai", model_name="*", ppm=100_000),)
    return await start_ledger(replace(settings, callees=callees, markups=markups))


async def soon(ledger: Ledger, call: Coroutine[Any, Any, R]) -> R:
    """The answer to a call that may have to wait for the pause between two readings of the catalogue."""
    answer = asyncio.ensure_future(call)
    while not answer.done():  # reading takes a process, which virtual time knows nothing of
        await ledger.clock.advance(1)
        await asyncio.sleep(0.01)
    return await answer


async def read(watch: Any) -> WatchPricesResponse:
    response = await watch.read()
    assert isinstance(response, WatchPricesResponse)
    return response


async def find(ledger: Ledger, provider: str = "openai", model: str = MODEL) -> Price | None:
    answer = await ledger.stub.FindPrice(FindPriceRequest(provider_name=provider, model_name=model))
    return answer.price if answer.HasField("price") else None


def unpriced(model: str = MODEL, **changes: Any) -> Attempt:
    usage = Usage(input_tokens=1_000, output_tokens=500)
    return attempt(model_used=model, usage=usage, cost_nanos=None, price_version=None, **changes)


async def rows(ledger: Ledger) -> dict[str, Attempt]:
    return {row.attempt_id: row for row in (await ledger.stub.ListUsage(ListUsageRequest())).attempts}


async def test_a_model_that_is_met_for_the_first_time_is_looked_up_and_is_a_price_like_others_then(
    catalogued: Ledger,
) -> None:
    watch = catalogued.stub.WatchPrices(WatchPricesRequest())
    first = await read(watch)
    assert len(first.prices) == 4
    price = await find(catalogued)
    assert price is not None
    assert price.version.startswith(f"openai/{MODEL}@")
    assert price.version.endswith("Z#1+10%")
    assert (price.source, price.markup_ppm) == (PRICE_SOURCE_CATALOGUE, 100_000)
    told = await read(watch)
    assert MODEL in {each.model_name for each in told.prices}
    assert told.markups == first.markups
    listed = (await catalogued.stub.ListPrices(ListPricesRequest())).prices
    assert all(each.catalogue_entry.startswith("genai-prices ") for each in listed if each.model_name == MODEL)
    watch.cancel()


async def test_nobody_knows_what_a_model_of_nobodys_costs(catalogued: Ledger) -> None:
    for provider, model in (("openai", "nobodys"), ("local", MODEL), ("somebody", MODEL)):
        assert await soon(catalogued, find(catalogued, provider, model)) is None


@pytest.mark.parametrize("field", ["provider_name", "model_name"])
@pytest.mark.parametrize("name", ["", "a\0b", "x" * 5000])
async def test_a_name_that_cannot_be_one_is_refused_by_its_field(catalogued: Ledger, field: str, name: str) -> None:
    request = FindPriceRequest(**{"provider_name": "openai", "model_name": "m"} | {field: name})
    with pytest.raises(grpc.aio.AioRpcError, match=field) as raised:
        await catalogued.stub.FindPrice(request)
    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_the_first_attempt_on_a_new_model_is_priced_when_it_is_recorded_with_its_markup_and_the_audit_agrees(
    catalogued: Ledger,
) -> None:
    new = unpriced()
    await catalogued.record(new)
    row = (await rows(catalogued))[new.attempt_id]
    price = await find(catalogued)
    assert price is not None
    assert (row.price_version, row.cost_nanos) == (price.version, cost_nanos(new.usage, price))
    plain = Price()
    plain.CopyFrom(price)
    plain.markup_ppm = 0
    assert row.cost_nanos * 10 == cost_nanos(new.usage, plain) * 11
    assert (await catalogued.audit())[0] == []


async def test_what_has_no_price_is_booked_as_unpriced_counted_and_named_once(
    catalogued: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    await soon(catalogued, catalogued.record(unpriced("nobodys"), unpriced("nobodys")))
    await soon(catalogued, catalogued.record(unpriced("nobodys"), unpriced("other", provider_name="local")))
    assert {row.HasField("cost_nanos") for row in (await rows(catalogued)).values()} == {False}
    total = (await catalogued.stub.GetSpend(GetSpendRequest())).total
    assert (total.unpriced_attempts, total.cost_nanos) == (4, 0)
    counted = {
        labels: n for (name, labels), n in catalogued.metrics.counts.items() if name == "tollway.ledger.unpriced"
    }
    assert counted == {"openai": 3, "local": 1}
    said = [record.message for record in caplog.records if "No price is known" in record.message]
    assert [message.split(":")[0] for message in said] == [
        "No price is known of openai/nobodys", "No price is known of local/other",
    ]  # fmt: skip


async def test_a_price_that_is_set_goes_before_the_catalogues_and_past_rows_keep_what_they_cost(
    catalogued: Ledger,
) -> None:
    before = unpriced()
    await catalogued.record(before)
    kept = (await rows(catalogued))[before.attempt_id]
    await catalogued.stub.SetPrice(
        SetPriceRequest(price=Price(provider_name="openai", model_name=MODEL, input_nanos_per_1m=10**6))
    )
    after = unpriced()
    await catalogued.record(after)
    now = await rows(catalogued)
    assert now[before.attempt_id] == kept
    assert (now[after.attempt_id].price_version, now[after.attempt_id].cost_nanos) == (
        f"openai/{MODEL}@2023-11-14T22:13:20Z+10%", 1_100,
    )  # fmt: skip
    assert (await catalogued.audit())[0] == []


async def test_a_service_tier_and_a_large_prompt_are_in_the_row_and_the_audit_works_them_out_again(
    ledger: Ledger,
) -> None:
    price = Price(provider_name="p", model_name="m", input_nanos_per_1m=10**6, request_nanos=5)
    price.context_tiers.add(above_input_tokens=100).rates.input_nanos_per_1m = 10**7
    price.service_tiers.add(name="batch", multiplier_ppm=500_000)
    own = price.service_tiers.add(name="priority")
    own.rates.input_nanos_per_1m = 3 * 10**6
    own.rates.cached_input_nanos_per_1m = 0
    own.context_tiers.add(above_input_tokens=50).rates.input_nanos_per_1m = 4 * 10**6
    kept = (await ledger.stub.SetPrice(SetPriceRequest(price=price))).price
    assert kept in (await ledger.stub.ListPrices(ListPricesRequest())).prices, "it comes back as it was set"
    expected = {
        ("", 100): 105, ("", 101): 1_015, ("batch", 101): 508, ("priority", 50): 155, ("priority", 101): 409,
    }  # fmt: skip
    for (tier, tokens), cost in expected.items():
        sent = attempt(
            provider_name="p", model_used="m", cost_nanos=None, price_version=None,
            usage=Usage(input_tokens=tokens, service_tier=tier),
        )  # fmt: skip
        await ledger.record(sent)
        row = (await rows(ledger))[sent.attempt_id]
        assert (row.usage, row.cost_nanos) == (sent.usage, cost)
    assert (await ledger.audit())[0] == []
    ledger.sql("UPDATE request_logs SET service_tier = '' WHERE service_tier = 'batch'")
    (finding,) = (await ledger.audit())[0]
    assert "its usage costs $0.000001015" in finding.message


async def test_configured_models_are_looked_up_soon_after_the_start(
    start_ledger: StartLedger, settings: LedgerSettings
) -> None:
    callees = (Callee("openai", "https://api.openai.com/v1"),)
    ledger = await start_ledger(replace(settings, callees=callees, deployments=(("openai", MODEL),)), VirtualClock(NOW))
    assert len((await ledger.stub.ListPrices(ListPricesRequest())).prices) == 4
    watch = ledger.stub.WatchPrices(WatchPricesRequest())
    assert len((await read(watch)).prices) == 4
    await ledger.clock.advance(2)
    assert len((await read(watch)).prices) > 4, "a process has read it"
    watch.cancel()
    without = await start_ledger(replace(settings, uncatalogued=None), VirtualClock(NOW + 10))
    assert await find(without) is None
