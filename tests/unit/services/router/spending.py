"""A bench under budgets: leases are asked of a ledger in memory, and rows that ended are booked there."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path

from services.router.adapters.leasing import Leasing
from services.router.domain.purse import Purse
from services.router.domain.routes import Deployment
from services.router.handlers.budgets import Budgeting
from services.router.handlers.reservations import Reservations
from tests.unit.services.router.bench import Bench
from tests.unit.services.router.budget_keeper import FakeKeeper
from tollway.ledger.v1.budget_pb2 import Budget

HEARD = Deployment("a", "m", model_provider="openai", can=frozenset({"tools", "prefill"}))
"""One that is known not to think where nobody hears it."""


class Spending:
    """A bench's budgets. `wait` is how long a call waits for what others have reserved."""

    def __init__(
        self,
        bench: Bench,
        kept: Path,
        *budgets: Budget,
        wait: float = 2.0,
        allow: bool = False,
        most: int | None = None,
    ) -> None:
        self.bench, self.keeper = bench, FakeKeeper(*budgets, most=most)
        numbers = count()
        self.purse = Purse(lambda: f"lease-{next(numbers)}")
        self.reservations = Reservations(self.purse, bench.clock)
        self.budgeting = Budgeting(self.reservations, bench.prices, bench.clock, wait=wait, allow=allow)
        bench.budgeting = self.budgeting
        self.recorded_until = 0.0
        self.unbooked: set[str] = set()
        self._booked = 0
        self.leasing = Leasing(
            self.keeper,
            self.budgeting,
            "journal-1",
            kept / "budgets.pb",
            bench.clock,
            bench.metrics,
            recorded_until=lambda: self.recorded_until,
            unbooked=self.unbooked,
        )

    def ship(self) -> None:
        """Books what has ended."""
        rows = list(self.bench.journal.ends.values())
        for row in rows[self._booked :]:
            self.keeper.book(row)
        self._booked = len(rows)
        self.recorded_until = self.bench.clock.monotonic()

    @property
    def spent(self) -> Sequence[int]:
        """Of each budget, once what has ended is booked."""
        self.ship()
        return list(self.keeper.spent.values())


@asynccontextmanager
async def spending(
    bench: Bench, kept: Path, *budgets: Budget, wait: float = 2.0, allow: bool = False, most: int | None = None
) -> AsyncIterator[Spending]:
    made = Spending(bench, kept, *budgets, wait=wait, allow=allow, most=most)
    await made.leasing.start(1.0)
    try:
        yield made
    finally:
        await made.leasing.drain()
