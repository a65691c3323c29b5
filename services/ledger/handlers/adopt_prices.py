"""Brings in the prices of the configuration, when the ledger starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mesh.clock import Clock
from mesh.errors import invalid
from mesh.mediator import Command
from services.ledger.domain.pricing import news
from services.ledger.domain.validation import why_no_price
from services.ledger.ports import Prices
from tollway.ledger.v1.ledger_pb2 import Price


@dataclass(frozen=True, slots=True)
class AdoptPrices(Command[Sequence[Price]]):
    """The configuration's prices, in its order."""

    prices: Sequence[Price]

    def check(self) -> None:
        for index, price in enumerate(self.prices):
            if why := why_no_price(price):
                field, _, description = why.partition(": ")
                raise invalid(f"prices[{index}].{field}", description)


async def adopt_prices(command: AdoptPrices, *, prices: Prices, clock: Clock) -> Sequence[Price]:
    """Those that differ from what was in force, which hold from now on. The others are there already."""
    added = news(command.prices, await prices.book(), clock.time())
    for price in added:
        await prices.add(price)
    return added
