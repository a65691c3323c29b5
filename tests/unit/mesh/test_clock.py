from __future__ import annotations

import asyncio
import time

import pytest

from mesh.clock import Clock, SystemClock, VirtualClock


async def test_virtual_time_stands_still_until_it_is_moved() -> None:
    clock = VirtualClock(100.0)
    await asyncio.sleep(0.01)
    assert clock.time() == clock.monotonic() == 100.0
    await clock.advance(2.5)
    assert clock.time() == clock.monotonic() == 102.5


async def test_sleepers_wake_in_order_at_their_time() -> None:
    clock = VirtualClock(0.0)
    woken: list[tuple[str, float]] = []

    async def sleep(name: str, seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append((name, clock.time()))

    async with asyncio.TaskGroup() as group:
        for name, seconds in (("late", 3.0), ("early", 1.0), ("early too", 1.0)):
            group.create_task(sleep(name, seconds))
        await clock.advance(0.5)
        assert woken == []
        await clock.advance(5.0)
    assert woken == [("early", 1.0), ("early too", 1.0), ("late", 3.0)]


async def test_what_is_scheduled_while_time_moves_falls_due_in_the_same_move() -> None:
    clock = VirtualClock(0.0)
    woken: list[float] = []

    async def tick() -> None:
        for _ in range(3):
            await clock.sleep(1.0)
            woken.append(clock.time())

    task = asyncio.create_task(tick())
    await clock.advance(3.0)
    await task
    assert woken == [1.0, 2.0, 3.0]


async def test_a_cancelled_sleep_is_forgotten() -> None:
    clock = VirtualClock()
    task = asyncio.create_task(clock.sleep(1.0))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await clock.advance(2.0)


async def test_a_callback_runs_once_or_not_at_all_when_cancelled() -> None:
    clock = VirtualClock()
    ran: list[str] = []
    clock.call_later(1.0, lambda: ran.append("kept"))
    clock.call_later(1.0, lambda: ran.append("cancelled")).cancel()
    clock.call_later(-1.0, lambda: ran.append("overdue"))
    await clock.advance(0.0)
    assert ran == ["overdue"]
    await clock.advance(10.0)
    assert ran == ["overdue", "kept"]


async def test_a_virtual_limit_fires_in_virtual_time() -> None:
    clock = VirtualClock()

    async def wait() -> None:
        async with clock.timeout(5.0):
            await asyncio.sleep(30)

    task = asyncio.create_task(wait())
    await clock.advance(4.9)
    assert not task.done()
    await clock.advance(0.2)
    with pytest.raises(TimeoutError):
        await task


async def test_a_virtual_limit_that_was_kept_does_not_fire_later() -> None:
    clock = VirtualClock()
    async with clock.timeout(5.0):
        pass
    await clock.advance(10.0)
    async with clock.timeout(None):
        await clock.advance(10.0)


async def test_a_cancellation_inside_a_virtual_limit_stays_a_cancellation() -> None:
    clock = VirtualClock()

    async def wait() -> None:
        async with clock.timeout(5.0):
            await asyncio.sleep(30)

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_the_system_clock_is_the_machines() -> None:
    clock: Clock = SystemClock()
    assert abs(clock.time() - time.time()) < 1
    before = clock.monotonic()
    await clock.sleep(0.001)
    assert clock.monotonic() > before
    ran = asyncio.Event()
    clock.call_later(0.001, ran.set)
    async with clock.timeout(1):
        await ran.wait()
    with pytest.raises(TimeoutError):
        async with clock.timeout(0.001):
            await asyncio.sleep(30)
