from __future__ import annotations

from typing import Any

import grpc
import pytest

from mesh.status import from_rpc_error
from tests.unit.services.ledger.conftest import Ledger
from tests.unit.services.ledger.samples import NOW, attempt
from tollway.ledger.v1.ledger_pb2 import ListPricesRequest, ListUsageRequest, Price, SetPriceRequest


def price(input_nanos: int, **more: Any) -> Price:
    return Price(provider_name="openai", model_name="gpt-4o-2024-08-06", input_nanos_per_1m=input_nanos, **more)


async def test_a_price_without_a_time_holds_from_now_on(ledger: Ledger) -> None:
    answer = (await ledger.stub.SetPrice(SetPriceRequest(price=price(5, cached_input_nanos_per_1m=0)))).price
    assert answer.effective_time.ToMicroseconds() == round(NOW * 1e6)
    assert answer.version == "openai/gpt-4o-2024-08-06@2023-11-14T22:13:20Z"
    listed = (await ledger.stub.ListPrices(ListPricesRequest())).prices
    assert answer in listed


async def test_the_same_price_again_is_answered_with_the_one_that_is_there(ledger: Ledger) -> None:
    first = await ledger.stub.SetPrice(SetPriceRequest(price=price(5)))
    assert await ledger.stub.SetPrice(SetPriceRequest(price=price(5))) == first


async def test_a_different_price_of_the_same_moment_is_a_conflict(ledger: Ledger) -> None:
    first = await ledger.stub.SetPrice(SetPriceRequest(price=price(5)))
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await ledger.stub.SetPrice(SetPriceRequest(price=price(6)))
    assert raised.value.code() is grpc.StatusCode.ALREADY_EXISTS
    assert from_rpc_error(raised.value).metadata == {"version": first.price.version}


async def test_a_price_that_cannot_be_is_refused_by_the_name_of_the_field(ledger: Ledger) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await ledger.stub.SetPrice(SetPriceRequest(price=price(-5)))
    assert from_rpc_error(raised.value).violations[0].field == "price.input_nanos_per_1m"


async def test_rows_that_are_booked_keep_their_price(ledger: Ledger) -> None:
    await ledger.stub.SetPrice(SetPriceRequest(price=price(1_000_000)))
    unpriced = {"cost_nanos": None, "price_version": None}
    await ledger.record(attempt(NOW + 1, **unpriced))
    await ledger.clock.advance(2)
    await ledger.stub.SetPrice(SetPriceRequest(price=price(9_000_000)))
    await ledger.record(attempt(NOW + 1.5, **unpriced), attempt(NOW + 3, **unpriced))
    rows = (await ledger.stub.ListUsage(ListUsageRequest())).attempts
    assert [row.cost_nanos for row in rows] == [900, 100, 100]
