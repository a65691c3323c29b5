from __future__ import annotations

import grpc
import pytest

from tests.unit.services.ledger.conftest import Ledger
from tollway.ledger.v1.ledger_pb2 import ListPricesRequest, Price, SetPriceRequest


async def test_a_new_ledger_knows_the_first_prices(ledger: Ledger) -> None:
    prices = (await ledger.stub.ListPrices(ListPricesRequest())).prices
    assert [
        (p.provider_name, p.model_name, p.input_nanos_per_1m, p.output_nanos_per_1m, p.max_context_tokens)
        for p in prices
    ] == [
        ("", "deepseek-ai/DeepSeek-V3.1-Terminus", 300_000, 500_000, 64_000),
        ("", "moonshotai/Kimi-K2-Instruct-0905", 500_000, 1_000_000, 200_000),
        ("", "z-ai/glm-4.6", 100_000, 200_000, 128_000),
        ("sim", "*", 1_000 * 10**9, 2_000 * 10**9, 0),
    ]
    assert all(p.effective_time.ToMicroseconds() == 0 for p in prices)
    assert not any(p.HasField("cached_input_nanos_per_1m") for p in prices)


@pytest.mark.parametrize("size", [1, 3, 7, 8])
async def test_pages_hold_every_price_once_in_order(ledger: Ledger, size: int) -> None:
    for provider, seconds in (("b", 2), ("b", 1), ("a", 1)):
        price = Price(provider_name=provider, model_name="m")
        price.effective_time.FromSeconds(seconds)
        await ledger.stub.SetPrice(SetPriceRequest(price=price))
    token = ""
    found: list[Price] = []
    while True:
        page = await ledger.stub.ListPrices(ListPricesRequest(page_size=size, page_token=token))
        found += page.prices
        token = page.next_page_token
        if not token:
            break
    keys = [(p.provider_name, p.model_name, p.effective_time.ToMicroseconds()) for p in found]
    assert keys == sorted(set(keys))
    assert len(keys) == 7


async def test_a_page_token_that_is_not_ours_is_refused(ledger: Ledger) -> None:
    with pytest.raises(grpc.aio.AioRpcError, match="page_token"):
        await ledger.stub.ListPrices(ListPricesRequest(page_token="x"))
