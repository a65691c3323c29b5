from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from mesh.clock import VirtualClock
from mesh.errors import Reason, TollwayError
from mesh.state.batches import Batches
from mesh.state.store import unreachable


class Far:
    """Somewhere that answers when it is told to."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.trips: list[list[int]] = []
        self.answer = asyncio.Event()
        self.error: Exception | None = None
        self.batches: Batches[int] = Batches(self._trip, self.clock, 0.25)

    async def _trip(self, operations: Sequence[int]) -> Sequence[Any]:
        self.trips.append(list(operations))
        await self.answer.wait()
        if self.error is not None:
            raise self.error
        return [unreachable("odd") if operation % 2 else operation * 10 for operation in operations]

    def ask(self, *operations: int) -> list[asyncio.Task[Any]]:
        return [asyncio.get_running_loop().create_task(self.batches.ask(operation)) for operation in operations]


async def test_what_is_asked_while_a_trip_is_under_way_goes_with_the_next() -> None:
    far = Far()
    first = far.ask(2)
    await far.clock.advance(0)
    rest = far.ask(4, 6, 8)
    await far.clock.advance(0)
    assert far.trips == [[2]]
    far.answer.set()
    assert await asyncio.gather(*first, *rest) == [20, 40, 60, 80]
    assert far.trips == [[2], [4, 6, 8]]


async def test_one_operation_may_fail_and_the_others_not() -> None:
    far = Far()
    far.answer.set()
    two, three = far.ask(2, 3)
    assert await two == 20
    with pytest.raises(TollwayError, match="odd"):
        await three


async def test_a_trip_that_takes_too_long_is_lost_and_with_it_what_waits() -> None:
    far = Far()
    gone = far.ask(2)
    await far.clock.advance(0.1)
    waiting = far.ask(4)
    await far.clock.advance(0.16)
    for each in (*gone, *waiting):
        with pytest.raises(TollwayError, match=r"no answer within 0\.25 s") as raised:
            await each
        assert raised.value.reason is Reason.SERVICE_UNAVAILABLE
    assert far.trips == [[2]]


async def test_after_a_loss_it_is_asked_anew() -> None:
    far = Far()
    far.error = unreachable("gone")
    far.answer.set()
    with pytest.raises(TollwayError, match="gone"):
        await far.batches.ask(2)
    far.error = None
    assert await far.batches.ask(4) == 40


async def test_a_trip_that_breaks_leaves_nobody_waiting() -> None:
    far = Far()
    far.error = ZeroDivisionError()
    far.answer.set()
    (asked,) = far.ask(2)
    with pytest.raises(TollwayError) as raised:
        await asked
    assert raised.value.reason is Reason.INTERNAL
    assert far.batches._travelling is not None
    assert isinstance(far.batches._travelling.exception(), ZeroDivisionError)


async def test_who_leaves_disturbs_nobody() -> None:
    far = Far()
    leaving, staying = far.ask(2, 4)
    await far.clock.advance(0)
    leaving.cancel()
    far.answer.set()
    assert await staying == 40
    await far.batches.close()


async def test_what_nobody_waits_for_any_more_does_not_go() -> None:
    far = Far()
    first = far.ask(2)
    await far.clock.advance(0)
    leaving, staying = far.ask(4, 6)
    await far.clock.advance(0)
    leaving.cancel()
    await far.clock.advance(0)
    far.answer.set()
    assert await asyncio.gather(*first, staying) == [20, 60]
    assert far.trips == [[2], [6]]


async def test_time_in_which_this_process_stood_still_hardly_counts() -> None:
    far = Far()
    (asked,) = far.ask(2)
    await far.clock.advance(0)
    far.clock._now += 10.0  # nothing ran, not even timers
    far.answer.set()
    assert await asked == 20
