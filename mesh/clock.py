"""Time as a dependency: the real clock, and one that tests move by hand."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time as system
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol


class Handle(Protocol):
    """A callback that has been scheduled."""

    def cancel(self) -> None: ...


class Clock(Protocol):
    """Where a component gets its time from. All spans are in seconds."""

    def time(self) -> float:
        """Seconds since the Unix epoch."""

    def monotonic(self) -> float:
        """Seconds since some fixed moment; never goes back."""

    async def sleep(self, seconds: float) -> None: ...

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Handle: ...

    def timeout(self, seconds: float | None) -> AbstractAsyncContextManager[asyncio.Timeout]:
        """Cancels the block after that long and raises TimeoutError in its place. None: never."""


class SystemClock:
    """The machine's clock, and the event loop's timers."""

    # Asked a dozen times a request: the system's functions themselves, without one of ours around them.
    time = staticmethod(system.time)
    monotonic = staticmethod(system.monotonic)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Handle:
        return asyncio.get_running_loop().call_later(seconds, callback)

    def timeout(self, seconds: float | None) -> AbstractAsyncContextManager[asyncio.Timeout]:
        return asyncio.timeout(seconds)


class VirtualClock:
    """A clock that stands still until `advance` moves it, running what falls due in order.

    After each thing that falls due, and at the end, the event loop gets `settle` turns, so that tasks which were
    woken have run before the next thing does.
    """

    settle = 20

    def __init__(self, start: float = 1_700_000_000.0) -> None:
        self._now = start
        self._order = itertools.count()
        self._due: list[tuple[float, int, _VirtualHandle]] = []

    def time(self) -> float:
        return self._now

    def monotonic(self) -> float:
        return self._now

    async def sleep(self, seconds: float) -> None:
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        handle = self.call_later(seconds, lambda: None if woken.done() else woken.set_result(None))
        try:
            await woken
        finally:
            handle.cancel()

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Handle:
        handle = _VirtualHandle(callback)
        heapq.heappush(self._due, (self._now + max(seconds, 0.0), next(self._order), handle))
        return handle

    @asynccontextmanager
    async def timeout(self, seconds: float | None) -> AsyncIterator[asyncio.Timeout]:
        async with asyncio.timeout(None) as limit:
            if seconds is None:
                yield limit
                return
            loop = asyncio.get_running_loop()
            handle = self.call_later(seconds, lambda: limit.reschedule(loop.time()))
            try:
                yield limit
            finally:
                handle.cancel()

    async def advance(self, seconds: float) -> None:
        """Moves time forward by that much."""
        end = self._now + seconds
        await self._run_ready()
        while self._due and self._due[0][0] <= end:
            self._now, _, handle = heapq.heappop(self._due)
            handle.run()
            await self._run_ready()
        self._now = end
        await self._run_ready()

    async def _run_ready(self) -> None:
        for _ in range(self.settle):
            await asyncio.sleep(0)


class _VirtualHandle:
    def __init__(self, callback: Callable[[], None]) -> None:
        self._callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        self._callback = None

    def run(self) -> None:
        if self._callback is not None:
            self._callback()
