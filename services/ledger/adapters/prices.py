"""Prices as rows of `model_pricing`."""

from __future__ import annotations

from collections.abc import Sequence

from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy import func, insert, select

from mesh.prices import PriceBook
from services.ledger.adapters.rows import moment, price_of, row_of_price
from services.ledger.adapters.schema import model_pricing
from services.ledger.adapters.store import Store
from tollway.ledger.v1.ledger_pb2 import Markup, Price

_count = select(func.count()).select_from(model_pricing)


class SqlPrices:
    """Implements `ports.Prices`."""

    def __init__(self, store: Store, markups: Sequence[Markup] = ()) -> None:
        self._store, self._markups = store, markups
        self._book = PriceBook((), markups)

    async def book(self) -> PriceBook:
        """All of them; the same book as long as none is added."""
        async with self._store.connection() as connection:
            # Prices are added and never changed or taken away: as many as before are the same as before.
            if (await connection.execute(_count)).scalar_one() == len(self._book.prices):
                return self._book
            rows = (await connection.execute(select(model_pricing))).all()
        book = PriceBook((price_of(row) for row in rows), self._markups)
        if not self._store.in_transaction:  # which may yet be undone
            self._book = book
        return book

    async def set_at(self, provider: str, model: str, effective: Timestamp) -> Price | None:
        query = select(model_pricing).where(
            model_pricing.c.provider_name == provider,
            model_pricing.c.model_name == model,
            model_pricing.c.effective_time == moment(effective),
            model_pricing.c.catalogue_edition == 0,
        )
        async with self._store.connection() as connection:
            row = (await connection.execute(query)).one_or_none()
        return price_of(row) if row else None

    async def add(self, price: Price) -> None:
        async with self._store.connection() as connection:
            await connection.execute(insert(model_pricing), row_of_price(price))
