"""Brings in the prices of the configuration, when the ledger starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mesh.clock import Clock
from mesh.errors import invalid
from mesh.mediator import Command
from services.ledger.domain.pricing import news, withdrawn_editions
from services.ledger.domain.validation import why_no_price
from services.ledger.ports import Prices
from tollway.ledger.v1.ledger_pb2 import Price


@dataclass(frozen=True, slots=True)
class AdoptPrices(Command[Sequence[Price]]):
    """The configuration's prices, in its order, and whose catalogue prices it refuses (None: everybody's)."""

    prices: Sequence[Price]
    uncatalogued: frozenset[str] | None = frozenset()

    def check(self) -> None:
        for index, price in enumerate(self.prices):
            if why := why_no_price(price):
                field, _, description = why.partition(": ")
                raise invalid(f"prices[{index}].{field}", description)


async def adopt_prices(command: AdoptPrices, *, prices: Prices, clock: Clock) -> Sequence[Price]:
    """What is new about them, which holds from now on. The others are there already."""
    book, now, uncatalogued = await prices.book(), clock.time(), command.uncatalogued
    added = news(command.prices, book, now)
    added += withdrawn_editions(book, lambda provider: uncatalogued is None or provider in uncatalogued, now)
    for price in added:
        await prices.add(price)
    return added
