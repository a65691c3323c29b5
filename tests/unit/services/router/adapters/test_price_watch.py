from __future__ import annotations

import asyncio

import pytest

from mesh.clock import VirtualClock
from mesh.errors import Reason
from services.router.adapters.price_watch import PriceWatch
from tests.unit.services.router.twins import FakeLedger, error
from tollway.ledger.v1.ledger_pb2 import Price

NOW = 1_700_000_000.0


def price(amount: int) -> Price:
    return Price(version=f"v{amount}", provider_name="a", model_name="m", input_nanos_per_1m=amount)


class Watches:
    def __init__(self) -> None:
        self.clock, self.ledger = VirtualClock(), FakeLedger()
        self.watch = PriceWatch(self.ledger, self.clock)

    @property
    def version(self) -> str | None:
        found = self.watch.find("a", "m", NOW)
        return None if found is None else found.version


@pytest.fixture
async def watches() -> Watches:
    return Watches()


async def test_the_router_starts_with_the_first_prices(watches: Watches) -> None:
    watches.ledger.prices.put_nowait([price(1)])
    await watches.watch.start(1.0)
    assert watches.version == "v1"
    await watches.watch.close()


async def test_the_router_does_not_wait_long_for_them(watches: Watches) -> None:
    starting = asyncio.get_running_loop().create_task(watches.watch.start(1.0))
    await watches.clock.advance(0.9)
    assert not starting.done()
    await watches.clock.advance(0.1)
    await starting
    assert watches.version is None
    watches.ledger.prices.put_nowait([price(1)])
    await watches.clock.advance(0)
    assert watches.version == "v1"
    await watches.watch.close()


async def test_prices_are_kept_current(watches: Watches) -> None:
    watches.ledger.prices.put_nowait([price(1)])
    await watches.watch.start(1.0)
    watches.ledger.prices.put_nowait([price(2)])
    await watches.clock.advance(0)
    assert watches.version == "v2"
    await watches.watch.close()


@pytest.mark.parametrize("end", [None, error(Reason.SERVICE_UNAVAILABLE)])
async def test_watching_begins_anew_whenever_it_ends_and_the_old_prices_hold_until_then(
    watches: Watches, end: None, caplog: pytest.LogCaptureFixture
) -> None:
    watches.ledger.prices.put_nowait([price(1)])
    await watches.watch.start(1.0)
    for _ in range(5):
        watches.ledger.prices.put_nowait(end)
    await watches.clock.advance(0)
    assert watches.version == "v1"
    watches.ledger.prices.put_nowait([price(2)])
    await watches.clock.advance(60)
    assert watches.version == "v2"
    assert len(caplog.records) <= 1
    await watches.watch.close()


async def test_a_watch_that_was_never_started_can_be_closed(watches: Watches) -> None:
    await watches.watch.close()
