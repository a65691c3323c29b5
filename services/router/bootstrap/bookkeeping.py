"""The books of a router: its journal and who ships it, the prices it watches, and the budgets it draws from."""

from __future__ import annotations

import asyncio

import grpc

from mesh.clock import Clock
from mesh.ids import uuid7
from mesh.metrics import Metrics
from mesh.tracing import Tracer
from services.router.adapters.adoption import Adoption
from services.router.adapters.journal_sqlite import SqliteJournal
from services.router.adapters.leasing import Leasing
from services.router.adapters.ledger_grpc import GrpcLedger
from services.router.adapters.price_watch import PriceWatch
from services.router.adapters.recording import Recorder
from services.router.adapters.shipper import Shipper
from services.router.domain.purse import Purse
from services.router.handlers.budgets import Budgeting
from services.router.handlers.reservations import Reservations
from services.router.settings import RouterSettings

_PATIENCE = 1.0
"""Seconds that a start waits for prices and budgets."""
_BUDGETS = "budgets.pb"
"""The file in the data directory that budgets are kept in."""
_SHIP_WITHIN = 5.0


class Bookkeeping:
    """Opened books, kept with a ledger that may be away."""

    def __init__(
        self,
        settings: RouterSettings,
        *,
        ledger: grpc.aio.Channel,
        clock: Clock,
        tracer: Tracer,
        metrics: Metrics,
    ) -> None:
        """Raises OSError where there cannot be a journal."""
        book = GrpcLedger(ledger)
        self.journal = SqliteJournal.create(
            settings.journal_directory, clock, settings.journal_fsync, full_allowed=settings.journal_full_allowed
        )
        self.prices = PriceWatch(book, clock)
        self.budgeting = Budgeting(
            Reservations(Purse(lambda: uuid7(clock.time())), clock),
            self.prices,
            clock,
            wait=settings.ledger.budget_wait,
            allow=settings.ledger.when_lost == "allow",
        )
        recorder = Recorder(book, clock, tracer)
        self._shipper = shipper = Shipper(self.journal, recorder, clock, metrics, settings.ship_every)
        self._adoption = Adoption(self.journal.file, recorder, book.give_back, clock)
        self._leasing = Leasing(
            book,
            self.budgeting,
            self.journal.file.id,
            settings.journal_directory.parent / _BUDGETS,
            clock,
            metrics,
            recorded_until=lambda: shipper.recorded_until,
            unbooked=recorder.unbooked,
        )

    async def start(self) -> None:
        """Waits for prices and budgets, but not for long."""
        await asyncio.gather(self.prices.start(_PATIENCE), self._leasing.start(_PATIENCE))

    async def drain(self) -> None:
        """Asks for nothing any more, and gives back what is idle of leases."""
        await self._leasing.drain()

    async def close(self) -> None:
        """Ships what is settled, closes the leases, and removes the journal if all of it is shipped.

        Where leases cannot be closed now, the journal stays for whoever adopts it, and can then.
        """
        await self.prices.close()
        await self._adoption.close()
        await self._shipper.close(_SHIP_WITHIN)
        self.journal.kept = not await self._leasing.close(recorded=not self.journal.pending)
        await self.journal.close()
