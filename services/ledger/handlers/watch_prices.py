"""Keeps whoever prices calls current."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass

from mesh.mediator import StreamQuery
from services.ledger.ports import Changes, Prices
from tollway.ledger.v1.ledger_pb2 import WatchPricesResponse


@dataclass(frozen=True, slots=True)
class WatchPrices(StreamQuery[WatchPricesResponse]):
    """Asks for every price, now and whenever one changes, until the ledger drains."""


async def watch_prices(query: WatchPrices, *, prices: Prices, changes: Changes) -> AsyncIterator[WatchPricesResponse]:
    """Who reads slowly is spared the steps in between."""
    sent = None
    async with aclosing(changes.follow()) as followed:
        async for _ in followed:
            book = await prices.book()
            if book is not sent:
                yield WatchPricesResponse(prices=book.prices, markups=book.markups)
                sent = book
