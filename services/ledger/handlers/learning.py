"""Learns from the catalogue what models cost that nobody here has priced, once each.

Reading the catalogue takes a process of its own and a third of a second of it. So there is one at a time, for
everything that was asked meanwhile, and a pause after it: clients can make up as many names of models as they like.
What it said is remembered, that it knows nothing too, and where it cannot be read nobody waits for it for a while.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence
from contextvars import Context

from mesh.clock import Clock
from mesh.errors import TollwayError
from services.ledger.domain.pricing import new_edition
from services.ledger.domain.validation import why_no_price
from services.ledger.ports import Catalogue, Changes, Prices, Transactions
from tollway.ledger.v1.ledger_pb2 import Price

_AT_ONCE = 1000
_PAUSE = 1.0
"""Seconds between two readings."""
_AFTER_FAILURE = 60.0
"""Seconds for which a catalogue that could not be read is not asked again."""
_MOST_REMEMBERED = 10_000

_log = logging.getLogger(__name__)

Model = tuple[str, str]
"""A provider's name, and the model's there."""


class Learning:
    """What is known of a catalogue, and what is about to be."""

    def __init__(
        self, catalogue: Catalogue, prices: Prices, transactions: Transactions, changes: Changes, clock: Clock
    ) -> None:
        self._catalogue, self._prices, self._transactions = catalogue, prices, transactions
        self._changes, self._clock = changes, clock
        self._told: set[Model] = set()
        self._strangers: set[str] = set()
        self._waiting: dict[Model, asyncio.Future[None]] = {}
        self._not_before = float("-inf")
        self._failing = False
        self._task: asyncio.Task[None] | None = None

    async def learn(self, models: Iterable[Model]) -> None:
        """Returns when the catalogue's prices of these models are among the others, as far as it has any.

        Takes as long as the catalogue takes to be read, where one of them was not asked of it before. Never raises.
        """
        waits = [wait for model in models if (wait := self._wait_for(model)) is not None]
        if waits:
            await asyncio.wait(waits)

    async def close(self) -> None:
        """Lets go of whoever waits."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._let_go(list(self._waiting))

    def _wait_for(self, model: Model) -> asyncio.Future[None] | None:
        provider = model[0]
        if model in self._told or provider in self._strangers or provider not in self._catalogue.providers:
            return None
        if (wait := self._waiting.get(model)) is not None:
            return wait
        idle = self._task is None or self._task.done()
        if idle and self._failing and self._clock.monotonic() < self._not_before:
            return None
        wait = self._waiting[model] = asyncio.get_running_loop().create_future()
        if idle:
            # In a context of its own: it is in nobody's transaction, and in nobody's trace.
            self._task = asyncio.get_running_loop().create_task(self._read_on(), context=Context())
        return wait

    async def _read_on(self) -> None:
        while self._waiting:
            if (pause := self._not_before - self._clock.monotonic()) > 0:
                await self._clock.sleep(pause)
            asked = list(self._waiting)[:_AT_ONCE]
            try:
                await self._read(asked)
                self._failing = False
            except TollwayError as error:
                _log.warning("Models stay without the catalogue's prices for now: %s", error.message)
                self._failing = True
                asked = list(self._waiting)
            finally:
                self._not_before = self._clock.monotonic() + (_AFTER_FAILURE if self._failing else _PAUSE)
                self._let_go(asked)

    async def _read(self, asked: Sequence[Model]) -> None:
        found = await self._catalogue.look_up(asked)
        async with self._transactions.transaction():
            book = await self._prices.book()
            added = [
                price
                for model in found.prices
                if _is_sound(model)
                for price in new_edition(model, book, self._clock.time())
            ]
            for price in added:
                await self._prices.add(price)
        if len(self._told) >= _MOST_REMEMBERED:
            self._told.clear()
        self._told.update(asked)
        self._strangers.update(found.strangers)
        if added:
            self._changes.announce()

    def _let_go(self, models: Iterable[Model]) -> None:
        for model in models:
            wait = self._waiting.pop(model, None)
            if wait is not None and not wait.done():
                wait.set_result(None)


def _is_sound(prices: Sequence[Price]) -> bool:
    for price in prices:
        if why := why_no_price(price):
            _log.warning("What the catalogue says of %s cannot be: %s", price.catalogue_entry, why)
            return False
    return True
