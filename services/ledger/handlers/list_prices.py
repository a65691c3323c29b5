"""Lists prices, by provider, model and effective time."""

from __future__ import annotations

from dataclasses import dataclass

from mesh.mediator import Query
from services.ledger.domain import paging
from services.ledger.ports import Prices
from tollway.ledger.v1.ledger_pb2 import ListPricesResponse, Price


@dataclass(frozen=True, slots=True)
class ListPrices(Query[ListPricesResponse]):
    """Asks for one page; see ListPricesRequest."""

    page_size: int = 0
    page_token: str = ""


async def list_prices(query: ListPrices, *, prices: Prices) -> ListPricesResponse:
    """The page, and the token of the next. Raises TollwayError INVALID_REQUEST for a token that is not ours."""
    size = paging.size(query.page_size)
    after = tuple(paging.decode_token(b"prices", query.page_token)) if query.page_token else ()
    # All are read for a page of them: they are few, and every router holds them all anyway.
    book = await prices.book()
    rest = sorted((price for price in book.prices if _place(price) > after), key=_place)
    token = paging.encode_token(b"prices", _place(rest[size - 1])) if len(rest) > size else ""
    return ListPricesResponse(prices=rest[:size], next_page_token=token, markups=book.markups)


def _place(price: Price) -> tuple[str, str, int, int]:
    effective = price.effective_time.ToMicroseconds()
    return price.provider_name, price.model_name, effective, price.catalogue_edition
