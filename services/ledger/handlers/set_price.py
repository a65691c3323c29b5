"""Sets what a model costs from a time on."""

from __future__ import annotations

from dataclasses import dataclass

from mesh.clock import Clock
from mesh.errors import Reason, TollwayError, invalid
from mesh.mediator import Command
from services.ledger.domain.pricing import own_price, same_terms
from services.ledger.domain.validation import why_no_price
from services.ledger.ports import Prices
from tollway.ledger.v1.ledger_pb2 import PRICE_SOURCE_SET, Price


@dataclass(frozen=True, slots=True)
class SetPrice(Command[Price]):
    """The price without its version; without `effective_time` it holds from now on."""

    price: Price

    def check(self) -> None:
        if why := why_no_price(self.price):
            field, _, description = why.partition(": ")
            raise invalid(f"price.{field}", description)


async def set_price(command: SetPrice, *, prices: Prices, clock: Clock) -> Price:
    """The price as it was set; the same one again is answered with the one that is there.

    Raises TollwayError PRICE_CONFLICT where a different price was set for the same provider, model and time.
    """
    price = own_price(command.price, PRICE_SOURCE_SET, clock.time())
    there = await prices.set_at(price.provider_name, price.model_name, price.effective_time)
    if there is None:
        await prices.add(price)
        return price
    if same_terms(there, price):
        return there
    raise TollwayError(
        Reason.PRICE_CONFLICT,
        f"{there.version} is set already, at a different price; choose another time for it to take effect",
        {"version": there.version},
    )
