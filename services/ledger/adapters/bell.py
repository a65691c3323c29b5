"""The word that goes round when something that is watched has changed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable

from mesh.clock import Clock
from mesh.errors import TollwayError

_log = logging.getLogger(__name__)


class Bell:
    """Implements `ports.Changes`: rung by who changes something here, and by a slow look at what others changed."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()
        self._changes = 0
        self._closed = False
        self._followers = 0
        self._followed = asyncio.Event()

    async def follow(self) -> AsyncGenerator[None]:
        heard = -1
        self._followers += 1
        self._followed.set()
        try:
            while not self._closed:
                if heard == self._changes:
                    await self._rung.wait()
                else:
                    heard = self._changes
                    yield
        finally:
            self._followers -= 1
            if not self._followers:
                self._followed.clear()

    async def followed(self) -> None:
        """Waits until somebody follows."""
        await self._followed.wait()

    def announce(self) -> None:
        self._changes += 1
        self._wake()

    def close(self) -> None:
        """Ends all that follow."""
        self._closed = True
        self._wake()

    def _wake(self) -> None:
        # Everyone who waits now is woken, whoever comes later waits for the next time.
        self._rung.set()
        self._rung = asyncio.Event()


async def look_for_changes(
    what: str, look: Callable[[], Awaitable[object]], seen: object, bell: Bell, clock: Clock, every: float
) -> None:
    """Rings the bell when another process has changed what was seen before, as long as somebody follows.

    Looks every so many seconds, until it is cancelled. `look` returns what equals what was seen where nothing changed.
    """
    while True:
        await bell.followed()
        await clock.sleep(every)
        try:
            there = await look()
        except TollwayError as error:
            _log.warning("could not look for new %s, trying again in %g s: %s", what, every, error.message)
        else:
            if there != seen:
                bell.announce()
            seen = there
