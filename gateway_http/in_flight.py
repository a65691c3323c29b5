"""The requests being answered, so that a shutdown can wait for them, and at last end them."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from gateway_http.connection import Connection
from mesh.clock import Clock

_LAST_WORDS = 2.0
"""Seconds for a request that has been ended to tell its client."""


class InFlight:
    """Knows each request from its beginning until its answer has left, and what task and connection it has."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._connections: dict[asyncio.Task[object], Connection] = {}
        self.draining = False
        """Whether a connection is to be closed behind its answer."""
        self.ended = False
        """Whether requests are cancelled because of a shutdown, rather than because their client left."""

    def enter(self, connection: Connection) -> asyncio.Task[object]:
        """Called in the task that answers a request. Until that task is done, the request is in flight."""
        task = asyncio.current_task()
        assert task is not None
        self._connections[task] = connection
        connection.begin(task)
        task.add_done_callback(self._leave)
        return task

    async def drain(self, seconds: float) -> None:
        """Waits that long for the requests to end, cancels those that have not, and waits for them a little longer."""
        self.draining = True
        timer = self._clock.call_later(seconds, self._end)
        try:
            with suppress(TimeoutError):  # of a client that does not read; its connection will be cut
                async with self._clock.timeout(seconds + _LAST_WORDS):
                    if self._connections:
                        await asyncio.wait(tuple(self._connections))
        finally:
            timer.cancel()

    def _leave(self, task: asyncio.Task[object]) -> None:
        self._connections.pop(task).end(task)

    def _end(self) -> None:
        self.ended = True
        for task in self._connections:
            task.cancel()
