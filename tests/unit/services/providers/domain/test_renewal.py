"""Secrets that hold for a time."""

from __future__ import annotations

import asyncio
import logging

import pytest

from mesh.clock import VirtualClock
from mesh.errors import Reason, TollwayError
from services.providers.domain.renewal import Renewal, Secret, unavailable


class Issuer:
    """Gives out secrets, each under a number, and holds for 100 seconds; waits where it is told to."""

    def __init__(self) -> None:
        self.given = 0
        self.failing = False
        self.open = asyncio.Event()
        self.open.set()

    async def __call__(self) -> Secret:
        await self.open.wait()
        if self.failing:
            raise unavailable("nobody answers")
        self.given += 1
        return Secret(f"secret-{self.given}", 100.0)


def renewal() -> tuple[Issuer, Renewal, VirtualClock]:
    issuer, clock = Issuer(), VirtualClock()
    return issuer, Renewal(issuer, clock, what="the token"), clock


async def test_one_fetch_serves_every_call_that_waits() -> None:
    issuer, kept, _ = renewal()
    issuer.open.clear()
    calls = [asyncio.create_task(kept.get()) for _ in range(50)]
    await asyncio.sleep(0)
    issuer.open.set()
    assert set(await asyncio.gather(*calls)) == {"secret-1"}
    assert issuer.given == 1


async def test_a_call_that_is_cancelled_leaves_the_fetch_to_the_others() -> None:
    issuer, kept, _ = renewal()
    issuer.open.clear()
    first, second = asyncio.create_task(kept.get()), asyncio.create_task(kept.get())
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    issuer.open.set()
    assert await second == "secret-1"


async def test_the_next_one_is_fetched_before_the_last_one_expires_and_nobody_waits_for_it() -> None:
    issuer, kept, clock = renewal()
    await kept.get()
    await clock.advance(89)
    assert (await kept.get(), issuer.given) == ("secret-1", 1)
    await clock.advance(2)
    issuer.open.clear()
    assert await kept.get() == "secret-1"
    issuer.open.set()
    await clock.advance(0)
    assert (await kept.get(), issuer.given) == ("secret-2", 2)


async def test_one_that_has_expired_is_shown_to_nobody() -> None:
    issuer, kept, clock = renewal()
    await kept.get()
    await clock.advance(100)
    assert (await kept.get(), issuer.given) == ("secret-2", 2)


async def test_a_failure_is_no_calls_while_the_last_one_holds(caplog: pytest.LogCaptureFixture) -> None:
    issuer, kept, clock = renewal()
    await kept.get()
    await clock.advance(91)
    issuer.failing = True
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert await kept.get() == "secret-1"
            await clock.advance(1)
    assert [record.getMessage() for record in caplog.records] == ["the token could not be renewed: nobody answers"]
    await clock.advance(10)
    with pytest.raises(TollwayError) as caught:
        await kept.get()
    assert caught.value.reason is Reason.UPSTREAM_CREDENTIALS
    issuer.failing = False
    assert await kept.get() == "secret-2"


async def test_one_that_was_refused_is_fetched_anew_but_not_over_and_over() -> None:
    issuer, kept, clock = renewal()
    await kept.get()
    kept.refused()
    assert (await kept.get(), issuer.given) == ("secret-1", 1)
    await clock.advance(6)
    kept.refused()
    kept.refused()
    assert (await kept.get(), issuer.given) == ("secret-2", 2)
    kept.refused()  # by calls that still had the first one
    assert (await kept.get(), issuer.given) == ("secret-2", 2)


def test_it_does_not_show_what_it_keeps() -> None:
    issuer, kept, _ = renewal()
    asyncio.run(kept.get())
    assert "secret-1" not in repr(kept) + str(vars(kept)["_what"])
    assert issuer.given == 1
