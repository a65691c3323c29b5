"""Finds what a model costs."""

from __future__ import annotations

from dataclasses import dataclass

from mesh.clock import Clock
from mesh.errors import invalid
from mesh.mediator import Query
from services.ledger.domain.validation import LONGEST_TEXT
from services.ledger.handlers.learning import Learning
from services.ledger.ports import Prices
from tollway.ledger.v1.ledger_pb2 import FindPriceResponse


@dataclass(frozen=True, slots=True)
class FindPrice(Query[FindPriceResponse]):
    """Asks for the price of a provider's model."""

    provider_name: str
    model_name: str

    def check(self) -> None:
        for field, name in (("provider_name", self.provider_name), ("model_name", self.model_name)):
            if not name or "\0" in name or len(name) > LONGEST_TEXT:
                raise invalid(field, f"must be between 1 and {LONGEST_TEXT} characters")


async def find_price(query: FindPrice, *, prices: Prices, learning: Learning, clock: Clock) -> FindPriceResponse:
    """As it holds now; the catalogue is asked where nobody else says anything."""
    price = (await prices.book()).find(query.provider_name, query.model_name, clock.time())
    if price is None:
        await learning.learn([(query.provider_name, query.model_name)])
        price = (await prices.book()).find(query.provider_name, query.model_name, clock.time())
    return FindPriceResponse(price=price)
