"""The ledger's prices, kept current in the background."""

from __future__ import annotations

import asyncio
import logging
from contextlib import aclosing

from mesh.clock import Clock
from mesh.errors import TollwayError
from mesh.prices import PriceBook
from services.router.adapters import background
from services.router.adapters.backoff import wait_after
from services.router.ports import LedgerClient
from tollway.ledger.v1.ledger_pb2 import Price

log = logging.getLogger(__name__)


class PriceWatch:
    """Implements `PriceSource`: the last prices that were seen, none before the first."""

    def __init__(self, ledger: LedgerClient, clock: Clock) -> None:
        self._ledger, self._clock = ledger, clock
        self._book = PriceBook()
        self._seen = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def find(self, provider: str, model: str, at: float) -> Price | None:
        return self._book.find(provider, model, at)

    async def start(self, patience: float) -> None:
        """Begins to watch; waits for the first prices, but not longer than `patience` seconds."""
        self._task = background.start("Watching prices", self._watch())
        try:
            async with self._clock.timeout(patience):
                await self._seen.wait()
        except TimeoutError:
            log.info("The ledger has not sent its prices yet; until it does, it prices what is recorded itself.")

    async def close(self) -> None:
        if self._task is not None:
            await background.end(self._task)

    async def _watch(self) -> None:
        failures = 0
        while True:
            try:
                async with aclosing(self._ledger.watch_prices()) as lists:
                    async for prices in lists:
                        self._book = PriceBook(prices)
                        self._seen.set()
                        failures = 0
            except TollwayError as error:
                if not failures:
                    log.warning("Watching prices ended, and will be tried again: %s", error)
            failures += 1
            await self._clock.sleep(wait_after(failures))
