"""The requests being answered, so that a shutdown can wait for them, and at last end them."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from mesh.clock import Clock

_LAST_WORDS = 2.0
"""Seconds for a request that has been ended to tell its client."""


class InFlight:
    """`enter` and `leave` are called in the task that answers the request."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._tasks: set[asyncio.Task[object]] = set()
        self.ended = False
        """Whether requests are cancelled because of a shutdown, rather than because their client left."""

    def enter(self) -> asyncio.Task[object]:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        return task

    def leave(self, task: asyncio.Task[object]) -> None:
        self._tasks.discard(task)

    async def drain(self, seconds: float) -> None:
        """Waits that long for the requests to end, cancels those that have not, and waits for them a little longer."""
        timer = self._clock.call_later(seconds, self._end)
        try:
            with suppress(TimeoutError):  # of a client that does not read; its connection will be cut
                async with self._clock.timeout(seconds + _LAST_WORDS):
                    if self._tasks:
                        await asyncio.wait(tuple(self._tasks))
        finally:
            timer.cancel()

    def _end(self) -> None:
        self.ended = True
        for task in self._tasks:
            task.cancel()
