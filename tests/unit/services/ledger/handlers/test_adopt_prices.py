from __future__ import annotations

from dataclasses import replace

import pytest

from mesh.clock import VirtualClock
from mesh.errors import TollwayError
from services.ledger.settings import LedgerSettings
from tests.unit.services.ledger.conftest import Ledger, StartLedger
from tests.unit.services.ledger.samples import NOW
from tollway.ledger.v1.ledger_pb2 import ListPricesRequest, Price


def price(input_nanos: int) -> Price:
    return Price(provider_name="local", model_name="*", input_nanos_per_1m=input_nanos)


async def local_prices(ledger: Ledger) -> list[tuple[float, int]]:
    prices = (await ledger.stub.ListPrices(ListPricesRequest())).prices
    return [
        (one.effective_time.ToMicroseconds() / 1e6 - NOW, one.input_nanos_per_1m)
        for one in prices
        if one.provider_name == "local"
    ]


async def test_only_a_price_that_differs_from_the_one_in_force_makes_a_new_row(
    start_ledger: StartLedger, settings: LedgerSettings
) -> None:
    seen = []
    for later, nanos in enumerate((5, 5, 7, 7, 5)):
        ledger = await start_ledger(replace(settings, prices=(price(nanos),)), VirtualClock(NOW + later))
        seen.append(await local_prices(ledger))
    assert seen[1] == seen[0] == [(-NOW, 5)]  # the first price holds from the beginning
    assert seen[3] == seen[2] == [(-NOW, 5), (2, 7)]
    assert seen[4] == [(-NOW, 5), (2, 7), (4, 5)]


async def test_a_seeded_price_can_be_overridden_for_a_provider(
    start_ledger: StartLedger, settings: LedgerSettings
) -> None:
    free = Price(provider_name="sim", model_name="*")
    ledger = await start_ledger(replace(settings, prices=(free,)))
    prices = (await ledger.stub.ListPrices(ListPricesRequest())).prices
    assert [one.input_nanos_per_1m for one in prices if one.provider_name == "sim"] == [10**12, 0]


async def test_a_configured_price_that_cannot_be_stops_the_start_and_names_itself(
    start_ledger: StartLedger, settings: LedgerSettings
) -> None:
    with pytest.raises(TollwayError, match=r"prices\[1\]\.provider_name"):
        await start_ledger(replace(settings, prices=(price(1), Price(provider_name="a/b", model_name="*"))))
