"""The ledger's prices, kept current in the background, and asked for where a model is met for the first time."""

from __future__ import annotations

import asyncio
import logging
from contextlib import aclosing
from contextvars import Context

from mesh.clock import Clock
from mesh.errors import TollwayError
from mesh.prices import PriceBook
from services.router.adapters import background
from services.router.adapters.backoff import wait_after
from services.router.ports import LedgerClient
from tollway.ledger.v1.ledger_pb2 import Price

log = logging.getLogger(__name__)

_TIMEOUT = 10.0
_ASKED_AGAIN = 5.0
"""Seconds after which a ledger that could not say is asked again."""
_MOST_ASKED = 4096
"""Models that are remembered to have been asked for. Clients can make up as many as they like."""
_AT_ONCE = 256
"""Models that are asked for at one time."""


class PriceWatch:
    """Implements `PriceSource`: the last prices that were seen, none before the first."""

    def __init__(self, ledger: LedgerClient, clock: Clock) -> None:
        self._ledger, self._clock = ledger, clock
        self._book = PriceBook()
        self._seen = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._found: dict[tuple[str, str], Price] = {}
        """What was answered since the last prices were seen, which are about to hold it, too."""
        self._asking: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._not_before: dict[tuple[str, str], float] = {}
        """When a model that was asked for may be asked for again, on the clock's monotonic time."""

    def find(self, provider: str, model: str, at: float) -> Price | None:
        price = self._book.find(provider, model, at)
        if price is None and self._seen.is_set():
            price = self._found.get((provider, model))
            if price is None:
                self._ask(provider, model)
        return price

    async def learn(self, provider: str, model: str) -> None:
        asking = self._ask(provider, model)
        if asking is not None:
            await asyncio.wait([asking])

    def _ask(self, provider: str, model: str) -> asyncio.Task[None] | None:
        key = provider, model
        asking = self._asking.get(key)
        if asking is not None or len(self._asking) >= _AT_ONCE:
            return asking
        if self._clock.monotonic() >= self._not_before.get(key, float("-inf")):
            if len(self._not_before) >= _MOST_ASKED:
                self._not_before.clear()
            self._not_before[key] = float("inf")
            # In a context of its own: it outlives the question that it began with, and is not in its trace.
            asking = asyncio.get_running_loop().create_task(self._answer(key), context=Context())
            self._asking[key] = asking
            asking.add_done_callback(lambda _: self._asking.pop(key, None))
        return asking

    async def _answer(self, key: tuple[str, str]) -> None:
        try:
            price = await self._ledger.find_price(*key, timeout=_TIMEOUT)
        except TollwayError as error:
            log.info("The ledger could not say what %s/%s costs: %s", *key, error)
            self._not_before[key] = self._clock.monotonic() + _ASKED_AGAIN
            return
        if price is not None:
            self._found[key] = price
            self._not_before.pop(key, None)

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
        for asking in list(self._asking.values()):
            await background.end(asking)

    async def _watch(self) -> None:
        failures = 0
        while True:
            try:
                async with aclosing(self._ledger.watch_prices()) as books:
                    async for book in books:
                        self._book = book
                        self._found.clear()
                        self._seen.set()
                        failures = 0
            except TollwayError as error:
                if not failures:
                    log.warning("Watching prices ended, and will be tried again: %s", error)
            failures += 1
            await self._clock.sleep(wait_after(failures))
