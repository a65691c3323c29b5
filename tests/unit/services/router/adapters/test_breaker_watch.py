"""Replicas that share a store: what one learns of a deployment, all know about a second later."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from mesh.clock import VirtualClock
from services.router.adapters.breaker_watch import BreakerWatch
from services.router.domain.breaker import BreakerPolicy
from services.router.domain.breaker_sharing import Sharing
from services.router.domain.fleet import UNHINDERED, Fleet
from tests.unit.services.router.shared_records import MemoryRecords

POLICY = BreakerPolicy()


class Replicas:
    """Three routers, a second after they were started."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.store = MemoryRecords(self.clock)
        self.fleets = [Fleet() for _ in range(3)]
        self.watches = [
            BreakerWatch(Sharing(fleet, f"r{number}"), self.store, self.clock)
            for number, fleet in enumerate(self.fleets)
        ]

    def now(self) -> float:
        return self.clock.monotonic()

    def fail(self, replica: int, times: int = 5, retry_after: float | None = None) -> None:
        for _ in range(times):
            self.fleets[replica].standing("a/m").fail(UNHINDERED, self.now(), POLICY, "UPSTREAM_FAILED", retry_after)

    def asked(self) -> list[bool]:
        """Which replicas would ask the deployment now; nobody does."""
        return [fleet.standing("a/m").closed_to(self.now()) is None for fleet in self.fleets]

    def probe(self, replica: int, *, well: bool) -> None:
        standing = self.fleets[replica].standing("a/m")
        passed = standing.enter(self.now())
        assert passed is not None
        if well:
            standing.succeed(passed, self.now(), POLICY)
        else:
            standing.fail(passed, self.now(), POLICY, "UPSTREAM_FAILED")


@asynccontextmanager
async def running() -> AsyncIterator[Replicas]:
    replicas = Replicas()
    for watch in replicas.watches:
        await watch.start()
    await replicas.clock.advance(0.5)
    try:
        yield replicas
    finally:
        for watch in replicas.watches:
            await watch.close()


@pytest.fixture
async def replicas() -> AsyncIterator[Replicas]:
    async with running() as started:
        yield started


async def test_what_fails_for_one_is_left_alone_by_all(replicas: Replicas) -> None:
    replicas.fail(1)
    assert replicas.asked() == [True, False, True]
    await replicas.clock.advance(2)
    assert replicas.asked() == [False] * 3
    shut = replicas.fleets[0].standing("a/m").closed_to(replicas.now())
    assert shut is not None
    assert shut.wait == 28
    assert "5 of its last 5 calls failed" in shut.reason


async def test_who_said_when_to_come_back_is_asked_by_all_of_them_then(replicas: Replicas) -> None:
    replicas.fail(1, times=1, retry_after=10.0)
    await replicas.clock.advance(2)
    assert replicas.asked() == [False] * 3
    await replicas.clock.advance(8)
    for _ in range(2):
        assert replicas.asked() == [True] * 3
        await replicas.clock.advance(2)
    assert not [key for key in replicas.store.records if key.startswith("breaker:")]


async def test_so_is_whoever_refuses_a_credential(replicas: Replicas) -> None:
    replicas.fleets[0].standing("a/m").refuse(UNHINDERED, replicas.now(), POLICY, "UPSTREAM_CREDENTIALS")
    await replicas.clock.advance(2)
    assert replicas.fleets[2].standing("a/other").closed_to(replicas.now()) is not None
    assert replicas.fleets[2].standing("b/m").closed_to(replicas.now()) is None


async def test_one_of_them_tries_it_again_and_all_are_told_how_that_went(replicas: Replicas) -> None:
    replicas.fail(1)
    await replicas.clock.advance(32)
    assert sorted(replicas.asked()) == [False, False, True]
    prober = replicas.asked().index(True)
    replicas.probe(prober, well=True)
    await replicas.clock.advance(2)
    assert replicas.asked() == [True] * 3
    assert not [key for key in replicas.store.records if key.startswith("breaker:")]


async def test_where_that_goes_badly_all_leave_it_alone_anew(replicas: Replicas) -> None:
    replicas.fail(1)
    await replicas.clock.advance(32)
    prober = replicas.asked().index(True)
    replicas.probe(prober, well=False)
    await replicas.clock.advance(28)
    assert replicas.asked() == [False] * 3
    await replicas.clock.advance(4)
    assert sorted(replicas.asked()) == [False, False, True]


async def test_one_that_claimed_a_probe_and_makes_none_is_followed_by_another(replicas: Replicas) -> None:
    replicas.fail(1)
    await replicas.clock.advance(32)
    first = replicas.asked().index(True)
    await replicas.watches[first].close()
    await replicas.clock.advance(31)
    others = [asked for replica, asked in enumerate(replicas.asked()) if replica != first]
    assert sorted(others) == [False, True]


async def test_a_longer_hold_reaches_everybody_and_a_shorter_one_shortens_nothing(replicas: Replicas) -> None:
    replicas.fail(0)
    await replicas.clock.advance(2)
    replicas.fail(1, times=1, retry_after=100.0)
    await replicas.clock.advance(2)
    replicas.fail(2, times=1, retry_after=3.0)
    await replicas.clock.advance(2)
    waits = [fleet.standing("a/m").breaker.wait(replicas.now()) for fleet in replicas.fleets]
    assert waits == [pytest.approx(96, abs=1)] * 3


async def test_one_that_opens_it_anew_does_not_shorten_what_another_said_meanwhile(replicas: Replicas) -> None:
    replicas.fail(0)
    await replicas.clock.advance(2)
    replicas.fail(0, times=1, retry_after=50.0)
    replicas.fail(1, times=1, retry_after=100.0)
    replicas.fail(2, times=1, retry_after=70.0)
    await replicas.clock.advance(2)
    waits = [fleet.standing("a/m").breaker.wait(replicas.now()) for fleet in replicas.fleets]
    assert waits == [pytest.approx(98, abs=1)] * 3


async def test_two_that_find_out_in_the_same_moment_agree(replicas: Replicas) -> None:
    replicas.fail(0)
    replicas.fail(1)
    replicas.fail(2)
    await replicas.clock.advance(32)
    assert sorted(replicas.asked()) == [False, False, True]


async def test_without_the_store_each_has_breakers_of_its_own(
    replicas: Replicas, caplog: pytest.LogCaptureFixture
) -> None:
    replicas.store.lost = True
    await replicas.clock.advance(3)
    replicas.fail(1)
    assert replicas.asked() == [True, False, True]
    await replicas.clock.advance(30)
    assert replicas.asked() == [True, True, True]
    assert len([record for record in caplog.records if record.levelname == "WARNING"]) == 3


async def test_a_store_that_is_lost_while_a_breaker_is_open_leaves_nobody_waiting_for_a_claim(
    replicas: Replicas,
) -> None:
    replicas.fail(1)
    await replicas.clock.advance(2)
    replicas.store.lost = True
    await replicas.clock.advance(29)
    assert replicas.asked() == [True] * 3


async def test_a_store_that_is_back_is_told_what_happened_meanwhile(replicas: Replicas) -> None:
    replicas.store.lost = True
    replicas.fail(1)
    await replicas.clock.advance(3)
    replicas.store.lost = False
    await replicas.clock.advance(2)
    assert replicas.asked() == [False] * 3


async def test_a_store_that_forgot_everything_leaves_deployments_to_be_asked(replicas: Replicas) -> None:
    replicas.fail(1)
    await replicas.clock.advance(2)
    replicas.store.records.clear()
    await replicas.clock.advance(2)
    assert replicas.asked() == [True] * 3


async def test_a_record_of_another_version_is_passed_over(replicas: Replicas) -> None:
    replicas.store.records["breaker:a/m"] = (b'{"new": 1}', replicas.clock.time() + 60)
    replicas.store.records["breaker:b/m"] = (b"\xff", replicas.clock.time() + 60)
    await replicas.clock.advance(2)
    assert replicas.asked() == [True] * 3


async def test_where_nothing_changes_nothing_is_written(replicas: Replicas) -> None:
    replicas.fail(1)
    await replicas.clock.advance(20)
    assert replicas.store.writes == ["breaker:a/m"]
