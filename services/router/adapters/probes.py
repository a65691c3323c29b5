"""Looking after providers that are offline, until they are back.

Nothing runs while everybody can be reached: a provider's outage starts a task, and its end ends it.
"""

from __future__ import annotations

import asyncio
import logging

from mesh.clock import Clock
from mesh.errors import TollwayError
from services.router.adapters import background
from services.router.adapters.backoff import wait_after
from services.router.domain.failures import heard_upstream
from services.router.domain.outages import Outage, Outages
from services.router.ports import ProviderCalls

log = logging.getLogger(__name__)

TIMEOUT = 5.0
"""Seconds that a look may take."""
_EARLIER = 2
"""Failed looks that the attempts which found nobody stand for, so that the first wait is of about a second."""


class Probes:
    """One task for each outage; `outages` says when one begins, and is told when it ends."""

    def __init__(self, outages: Outages, providers: ProviderCalls, clock: Clock) -> None:
        self._outages, self._providers, self._clock = outages, providers, clock
        self._tasks: set[asyncio.Task[None]] = set()
        outages.on_begin = self._look_after

    async def close(self) -> None:
        """Looks no more."""
        await asyncio.gather(*map(background.end, tuple(self._tasks)))

    def _look_after(self, outage: Outage) -> None:
        log.warning("%s is offline: %s", outage.provider, outage.why)
        task = background.start(f"Looking after {outage.provider}", self._until_it_is_back(outage))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _until_it_is_back(self, outage: Outage) -> None:
        looks = _EARLIER
        while self._outages.of(outage.provider) is outage:
            looks += 1
            wait = wait_after(looks)
            outage.next_look = self._clock.monotonic() + wait
            await self._clock.sleep(wait)
            if self._outages.of(outage.provider) is outage and await self._is_reachable(outage):
                self._outages.reached(outage.provider)
        log.info("%s is back after %.0f s", outage.provider, self._clock.monotonic() - outage.since)

    async def _is_reachable(self, outage: Outage) -> bool:
        try:
            await self._providers.check_health(outage.provider, TIMEOUT)
        except TollwayError as failure:
            outage.why = failure.message
            # An answer of any kind: to be offline is to have no connection. Many lists of models are broken where
            # everything else works, and what fails with every question is the breakers' to see.
            return heard_upstream(failure)
        return True
