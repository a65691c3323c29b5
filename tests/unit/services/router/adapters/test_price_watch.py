from __future__ import annotations

import asyncio

import pytest

from mesh.clock import VirtualClock
from mesh.errors import Reason
from mesh.prices import PriceBook
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
    watches.ledger.prices.put_nowait(PriceBook([price(1)]))
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
    watches.ledger.prices.put_nowait(PriceBook([price(1)]))
    await watches.clock.advance(0)
    assert watches.version == "v1"
    await watches.watch.close()


async def test_prices_are_kept_current(watches: Watches) -> None:
    watches.ledger.prices.put_nowait(PriceBook([price(1)]))
    await watches.watch.start(1.0)
    watches.ledger.prices.put_nowait(PriceBook([price(2)]))
    await watches.clock.advance(0)
    assert watches.version == "v2"
    await watches.watch.close()


@pytest.mark.parametrize("end", [None, error(Reason.SERVICE_UNAVAILABLE)])
async def test_watching_begins_anew_whenever_it_ends_and_the_old_prices_hold_until_then(
    watches: Watches, end: None, caplog: pytest.LogCaptureFixture
) -> None:
    watches.ledger.prices.put_nowait(PriceBook([price(1)]))
    await watches.watch.start(1.0)
    for _ in range(5):
        watches.ledger.prices.put_nowait(end)
    await watches.clock.advance(0)
    assert watches.version == "v1"
    watches.ledger.prices.put_nowait(PriceBook([price(2)]))
    await watches.clock.advance(60)
    assert watches.version == "v2"
    assert len(caplog.records) <= 1
    await watches.watch.close()


async def test_a_watch_that_was_never_started_can_be_closed(watches: Watches) -> None:
    await watches.watch.close()


async def test_a_model_that_is_met_for_the_first_time_is_asked_for_once_and_known_from_then_on(
    watches: Watches,
) -> None:
    watches.ledger.prices.put_nowait(PriceBook([price(1)]))
    await watches.watch.start(1.0)
    watches.ledger.catalogue["a", "new"] = Price(version="new")
    assert watches.watch.find("a", "new", NOW) is None
    assert watches.watch.find("a", "new", NOW) is None
    await watches.clock.advance(0)
    assert watches.ledger.asked == [("a", "new")]
    assert watches.watch.find("a", "new", NOW) == Price(version="new")
    watches.ledger.prices.put_nowait(PriceBook([price(1), Price(version="newer", provider_name="a", model_name="new")]))
    await watches.clock.advance(0)
    found = watches.watch.find("a", "new", NOW)
    assert found is not None
    assert found.version == "newer"
    await watches.watch.close()


async def test_a_model_without_a_price_is_asked_for_no_second_time(watches: Watches) -> None:
    watches.ledger.prices.put_nowait(PriceBook())
    await watches.watch.start(1.0)
    for _ in range(3):
        assert watches.watch.find("a", "nobodys", NOW) is None
        await watches.clock.advance(100)
    assert watches.ledger.asked == [("a", "nobodys")]
    await watches.watch.close()


async def test_a_ledger_that_cannot_say_is_asked_again_after_a_while(watches: Watches) -> None:
    watches.ledger.prices.put_nowait(PriceBook())
    await watches.watch.start(1.0)
    watches.ledger.catalogue["a", "new"] = error(Reason.SERVICE_UNAVAILABLE)
    for _ in range(3):
        watches.watch.find("a", "new", NOW)
        await watches.clock.advance(1)
    assert len(watches.ledger.asked) == 1
    watches.ledger.catalogue["a", "new"] = Price(version="new")
    await watches.clock.advance(5)
    watches.watch.find("a", "new", NOW)
    await watches.clock.advance(0)
    assert watches.watch.find("a", "new", NOW) == Price(version="new")
    await watches.watch.close()


async def test_who_cannot_do_without_a_price_waits_for_the_ledgers_word(watches: Watches) -> None:
    watches.ledger.prices.put_nowait(PriceBook())
    await watches.watch.start(1.0)
    watches.ledger.catalogue["a", "new"] = Price(version="new")
    await watches.watch.learn("a", "new")
    assert watches.watch.find("a", "new", NOW) == Price(version="new")
    await watches.watch.learn("a", "nobodys")
    await watches.watch.learn("a", "nobodys")
    assert watches.ledger.asked == [("a", "new"), ("a", "nobodys")]
    await watches.watch.close()


async def test_a_price_of_a_time_to_come_takes_effect_then_without_a_word_from_the_ledger(watches: Watches) -> None:
    later = price(2)
    later.effective_time.FromSeconds(int(NOW) + 60)
    watches.ledger.prices.put_nowait(PriceBook([price(1), later]))
    await watches.watch.start(1.0)
    versions = [found.version for at in (0, 59.9, 60) if (found := watches.watch.find("a", "m", NOW + at))]
    assert versions == ["v1", "v1", "v2"]
    await watches.watch.close()


async def test_before_the_first_prices_nothing_is_asked_for(watches: Watches) -> None:
    assert watches.watch.find("a", "m", NOW) is None
    await watches.clock.advance(10)
    assert watches.ledger.asked == []


async def test_what_clients_make_up_is_forgotten_again(watches: Watches) -> None:
    watches.ledger.prices.put_nowait(PriceBook())
    await watches.watch.start(1.0)
    for number in range(5000):
        watches.watch.find("a", f"m{number}", NOW)
        if number % 250 == 0:
            await watches.clock.advance(0)
    await watches.clock.advance(0)
    assert 4096 < len(watches.ledger.asked) <= 5000
    assert len(watches.watch._not_before) <= 4096
    await watches.watch.close()
