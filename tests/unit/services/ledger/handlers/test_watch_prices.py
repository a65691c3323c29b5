from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from mesh.prices import PriceBook
from services.ledger.adapters.bell import Bell
from services.ledger.handlers.watch_prices import WatchPrices, watch_prices
from tests.unit.services.ledger.conftest import Ledger, StartLedger
from tollway.ledger.v1.ledger_pb2 import Price, SetPriceRequest, WatchPricesRequest, WatchPricesResponse


def price(nanos: int, model: str = "m") -> SetPriceRequest:
    return SetPriceRequest(price=Price(provider_name="p", model_name=model, input_nanos_per_1m=nanos))


async def read(call: Any) -> WatchPricesResponse:
    response = await call.read()
    assert isinstance(response, WatchPricesResponse)
    return response


async def models(call: Any) -> list[str]:
    response = await read(call)
    return [one.model_name for one in response.prices if one.provider_name == "p"]


async def test_every_price_comes_at_once_and_all_again_when_one_is_set(ledger: Ledger) -> None:
    call = ledger.stub.WatchPrices(WatchPricesRequest())
    assert len((await read(call)).prices) == 4
    await ledger.stub.SetPrice(price(1, "m"))
    assert await models(call) == ["m"]
    await ledger.stub.SetPrice(price(1, "n"))
    assert sorted(await models(call)) == ["m", "n"]
    call.cancel()


async def test_everyone_who_watches_is_told(ledger: Ledger) -> None:
    calls = [ledger.stub.WatchPrices(WatchPricesRequest()) for _ in range(3)]
    for call in calls:
        await read(call)
    await ledger.stub.SetPrice(price(1))
    assert [await models(call) for call in calls] == [["m"]] * 3
    for call in calls:
        call.cancel()


class Shelf:
    """Prices that change by hand."""

    book_: PriceBook

    def put(self, *models: str) -> None:
        self.book_ = PriceBook(Price(provider_name="p", model_name=model) for model in models)

    async def book(self) -> PriceBook:
        return self.book_

    async def set_at(self, provider: str, model: str, effective: Timestamp) -> Price | None:
        raise NotImplementedError

    async def add(self, price: Price) -> None:
        raise NotImplementedError


async def test_who_reads_slowly_gets_the_latest_and_not_every_step() -> None:
    shelf, bell = Shelf(), Bell()
    shelf.put("a")
    watch = watch_prices(WatchPrices(), prices=shelf, changes=bell)
    await anext(watch)
    for models in ("ab", "abc", "abcd"):
        shelf.put(*models)
        bell.announce()
    assert [price.model_name for price in (await anext(watch)).prices] == list("abcd")
    bell.announce()  # with nothing new to tell
    bell.close()
    assert [response async for response in watch] == []


async def test_a_refused_price_is_no_news(ledger: Ledger) -> None:
    call = ledger.stub.WatchPrices(WatchPricesRequest())
    await read(call)
    with pytest.raises(grpc.aio.AioRpcError):
        await ledger.stub.SetPrice(price(-1))
    await ledger.stub.SetPrice(price(2, "good"))
    assert await models(call) == ["good"]
    call.cancel()


async def test_a_price_that_another_process_set_is_seen_within_seconds(start_ledger: StartLedger) -> None:
    here, elsewhere = await start_ledger(), await start_ledger()
    call = here.stub.WatchPrices(WatchPricesRequest())
    await read(call)
    await elsewhere.stub.SetPrice(price(1))
    told = asyncio.ensure_future(models(call))
    while not told.done():  # looking takes turns of the driver's thread, which virtual time knows nothing of
        await here.clock.advance(5)
        await asyncio.sleep(0.001)
    assert await told == ["m"]
    call.cancel()


async def test_a_watch_ends_well_when_its_server_drains(ledger: Ledger) -> None:
    call = ledger.stub.WatchPrices(WatchPricesRequest())
    await read(call)
    ledger.draining.begin()
    assert await call.read() is grpc.aio.EOF
    assert await call.code() is grpc.StatusCode.OK


async def test_a_watch_ends_well_when_the_ledger_closes(ledger: Ledger) -> None:
    call = ledger.stub.WatchPrices(WatchPricesRequest())
    await read(call)
    await ledger.runtime.close()
    assert await call.read() is grpc.aio.EOF
    assert await call.code() is grpc.StatusCode.OK


async def test_a_watch_ends_as_unavailable_when_the_store_cannot_be_read(
    ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    call = ledger.stub.WatchPrices(WatchPricesRequest())
    await read(call)
    await ledger.reshape("DROP TABLE model_pricing")
    ledger.runtime._bells.prices.announce()
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await read(call)
    assert raised.value.code() is grpc.StatusCode.UNAVAILABLE
    assert "WatchPrices failed" in caplog.text


async def test_looking_for_prices_goes_on_after_the_store_could_not_be_read(
    ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    watching = ledger.stub.WatchPrices(WatchPricesRequest())
    await read(watching)
    await ledger.reshape("ALTER TABLE model_pricing RENAME TO hidden")
    while "could not look for new prices" not in caplog.text:
        await ledger.clock.advance(5)
        await asyncio.sleep(0.001)
    await ledger.reshape("ALTER TABLE hidden RENAME TO model_pricing")
    call = ledger.stub.WatchPrices(WatchPricesRequest())
    assert len((await read(call)).prices) == 4
    call.cancel()
    watching.cancel()
