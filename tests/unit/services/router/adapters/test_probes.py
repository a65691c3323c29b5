from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

from mesh.clock import VirtualClock
from mesh.errors import Reason, TollwayError
from services.router.adapters.backoff import CAP
from services.router.adapters.probes import TIMEOUT, Probes
from services.router.domain.outages import IN_A_ROW, Outages
from tests.unit.services.router.twins import FakeProviders, error

GONE = error(Reason.UPSTREAM_UNREACHABLE, message="connection refused", phase="connect")


class Watched:
    """Providers, and whoever looks after them."""

    def __init__(self) -> None:
        self.clock, self.outages = VirtualClock(), Outages()
        self.providers = FakeProviders(self.clock)
        self.probes = Probes(self.outages, self.providers, self.clock)

    def lose(self, provider: str = "a") -> None:
        for _ in range(IN_A_ROW):
            self.outages.unreachable(provider, "connection refused", self.clock.monotonic())

    @property
    def looked_after(self) -> int:
        return len(asyncio.all_tasks()) - 1


@pytest.fixture
async def watched() -> Watched:
    return Watched()


async def test_nobody_looks_while_everybody_is_there(watched: Watched) -> None:
    await watched.clock.advance(100)
    assert (watched.providers.looks, watched.looked_after) == ([], 0)


async def test_a_provider_comes_back_by_itself_soon_after_it_can_be_reached(watched: Watched) -> None:
    watched.providers.health["a"] = [GONE, GONE, None]
    watched.lose()
    assert watched.outages.of("a") is not None
    await watched.clock.advance(8)
    assert watched.outages.of("a") is None
    assert [(provider, timeout) for provider, _, timeout in watched.providers.looks] == [("a", TIMEOUT)] * 3
    assert watched.looked_after == 0


async def test_looks_are_rarer_the_longer_it_takes_but_never_rare(watched: Watched) -> None:
    watched.providers.health["a"] = [GONE]
    watched.lose()
    await watched.clock.advance(300)
    times = [at for _, at, _ in watched.providers.looks]
    pauses = [later - earlier for earlier, later in pairwise(times)]
    assert max(pauses) <= CAP
    assert min(pauses[5:]) >= 0.75 * CAP
    assert 20 <= len(times) <= 35
    await watched.probes.close()


async def test_when_it_will_be_looked_at_next_is_known_in_advance(watched: Watched) -> None:
    watched.providers.health["a"] = [GONE]
    watched.lose()
    await watched.clock.advance(0)
    outage = watched.outages.of("a")
    assert outage is not None
    assert 0.75 <= outage.wait(watched.clock.monotonic()) <= 1.0
    await watched.clock.advance(1.5)
    assert [at for _, at, _ in watched.providers.looks] == [pytest.approx(watched.clock.monotonic() - 0.6, abs=0.2)]
    await watched.probes.close()


@pytest.mark.parametrize(
    ("answer", "back"),
    [
        (error(Reason.UPSTREAM_CREDENTIALS, upstream_status="401"), True),
        (error(Reason.UPSTREAM_FORBIDDEN, upstream_status="403"), True),
        (error(Reason.UPSTREAM_FAILED, upstream_status="501"), True),
        (error(Reason.UPSTREAM_FAILED, upstream_status="503"), True),
        (error(Reason.DEADLINE_EXCEEDED), False),
        (error(Reason.SERVICE_UNAVAILABLE), False),
        (GONE, False),
    ],
    ids=lambda value: str(getattr(value, "reason", value)),
)
async def test_whoever_answers_is_there_whatever_it_says(watched: Watched, answer: TollwayError, back: bool) -> None:
    watched.providers.health["a"] = [answer]
    watched.lose()
    await watched.clock.advance(2)
    outage = watched.outages.of("a")
    assert (outage is None) is back
    if outage is not None:
        assert outage.why == answer.message
    await watched.probes.close()


async def test_an_attempt_that_gets_through_ends_the_looking(watched: Watched) -> None:
    watched.providers.health["a"] = [GONE]
    watched.lose()
    await watched.clock.advance(0.1)
    watched.outages.reached("a")
    await watched.clock.advance(20)
    assert (watched.providers.looks, watched.looked_after) == ([], 0)


async def test_every_provider_is_looked_after_apart(watched: Watched) -> None:
    watched.providers.health |= {"a": [GONE], "b": [None]}
    watched.lose("a")
    watched.lose("b")
    await watched.clock.advance(3)
    assert watched.outages.of("a") is not None
    assert watched.outages.of("b") is None
    await watched.probes.close()


async def test_a_provider_can_be_lost_again(watched: Watched) -> None:
    for _ in range(3):
        watched.lose()
        assert watched.outages.of("a") is not None
        await watched.clock.advance(2)
        assert watched.outages.of("a") is None


async def test_closed_it_looks_no_more(watched: Watched) -> None:
    watched.providers.health["a"] = [GONE]
    watched.lose()
    await watched.clock.advance(0.1)
    await watched.probes.close()
    await watched.clock.advance(20)
    assert (watched.providers.looks, watched.looked_after) == ([], 0)
