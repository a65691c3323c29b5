"""Reads what other replicas say about breakers, and tells them what happens here, beside all questions."""

from __future__ import annotations

import asyncio
import logging

from mesh.clock import Clock
from mesh.errors import TollwayError
from mesh.state.store import StateStore
from services.router.adapters import background
from services.router.domain.breaker_sharing import PREFIX, Claim, Publish, Sharing, Step, Withdraw

log = logging.getLogger(__name__)

_EVERY = 1.0


class BreakerWatch:
    """Shares breakers about once a second, for as long as the store answers."""

    def __init__(self, sharing: Sharing, store: StateStore, clock: Clock) -> None:
        self._sharing, self._store, self._clock = sharing, store, clock
        self._lost = False
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Looks once, and from then on in the background."""
        await self._look()
        self._task = background.start("Sharing breakers", self._share())

    async def close(self) -> None:
        if self._task is not None:
            await background.end(self._task)

    async def _share(self) -> None:
        while True:
            await self._clock.sleep(_EVERY)
            await self._look()

    async def _look(self) -> None:
        try:
            await self._round()
        except TollwayError as error:
            self._sharing.lose()
            if not self._lost:
                log.warning("Breakers are not shared with other routers until the state store is back: %s", error)
            self._lost = True
            return
        if self._lost:
            log.info("Breakers are shared with other routers again.")
        self._lost = False

    async def _round(self) -> None:
        records = await self._store.scan(PREFIX)
        for step in self._sharing.reconcile(records, self._clock.monotonic(), self._clock.time()):
            await self._take(step)

    async def _take(self, step: Step) -> None:
        match step:
            case Publish(key, value, ttl):
                await self._store.put(key, value, ttl)
            case Withdraw(key):
                await self._store.delete(key)
            case Claim(key, ttl):
                if await self._store.add(key, b"", ttl):
                    self._sharing.claimed(step, self._clock.monotonic())
