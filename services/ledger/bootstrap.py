"""Puts the ledger together: as a service, and for reading its file without one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from functools import partial
from types import TracebackType
from typing import Self, TypeVar

import grpc

from mesh.clock import Clock
from mesh.errors import Reason, TollwayError
from mesh.mediator import Mediator, Query, messages_in, when
from mesh.metrics import Metrics
from mesh.tracing import Tracer
from services.ledger import handlers
from services.ledger.adapters.attempts import SqlAttempts
from services.ledger.adapters.migrate import migrate, version
from services.ledger.adapters.prices import PriceBell, SqlPrices, look_for_changes
from services.ledger.adapters.schema import HEAD
from services.ledger.adapters.store import Store
from services.ledger.adapters.usage import SqlUsage
from services.ledger.handlers.adopt_prices import AdoptPrices, adopt_prices
from services.ledger.handlers.behaviors import Announcement, Logging, Transaction, Validation, is_checked, is_command
from services.ledger.handlers.get_spend import GetSpend, get_spend
from services.ledger.handlers.list_prices import ListPrices, list_prices
from services.ledger.handlers.list_usage import ListUsage, list_usage
from services.ledger.handlers.record_attempts import RecordAttempts, record_attempts
from services.ledger.handlers.set_price import SetPrice, set_price
from services.ledger.handlers.watch_prices import WatchPrices, watch_prices
from services.ledger.servicer import LedgerServicer
from services.ledger.settings import LedgerSettings
from tollway.ledger.v1.ledger_pb2_grpc import add_LedgerServiceServicer_to_server

_LOOK_EVERY = 5.0
"""Seconds after which a price that another process has set is known here at the latest."""

R = TypeVar("R")


class LedgerRuntime:
    """The ledger as a started service; implements `mesh.service.Service`."""

    name = "ledger"
    proto_services = ("tollway.ledger.v1.LedgerService",)
    hops: Mapping[str, grpc.aio.Channel] = {}

    def __init__(self, mediator: Mediator, store: Store, bell: PriceBell, look: asyncio.Task[None]) -> None:
        self._servicer = LedgerServicer(mediator)
        self._store, self._bell, self._look = store, bell, look

    def register(self, server: grpc.aio.Server) -> None:
        add_LedgerServiceServicer_to_server(self._servicer, server)

    async def close(self) -> None:
        self._bell.close()
        self._look.cancel()
        await asyncio.wait([self._look])
        await self._store.close()


async def start(settings: LedgerSettings, *, clock: Clock, tracer: Tracer, metrics: Metrics) -> LedgerRuntime:
    """Opens the ledger's database, made and migrated where needed, with the configuration's prices brought in.

    Raises TollwayError: SERVICE_UNAVAILABLE for a database that cannot be opened or is of a newer version,
    INVALID_REQUEST for a price that cannot be.
    """
    try:
        settings.database.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TollwayError(Reason.SERVICE_UNAVAILABLE, f"the ledger's folder cannot be made: {error}") from error
    store = Store(settings.database, settings.busy_timeout)
    try:
        await migrate(store)
        prices, bell = SqlPrices(store), PriceBell()
        mediator = _compose(store, prices, bell, clock, metrics)
        await mediator.send(AdoptPrices(settings.prices))
        seen = await prices.book()
    except BaseException:
        await store.close()  # its threads would keep the process alive
        raise
    look = asyncio.create_task(look_for_changes(prices, seen, bell, clock, _LOOK_EVERY))
    return LedgerRuntime(mediator, store, bell, look)


def _compose(store: Store, prices: SqlPrices, bell: PriceBell, clock: Clock, metrics: Metrics) -> Mediator:
    usage = SqlUsage(store)
    return Mediator(
        [
            (
                RecordAttempts,
                partial(record_attempts, attempts=SqlAttempts(store), prices=prices, metrics=metrics),
            ),
            (ListUsage, partial(list_usage, usage=usage)),
            (GetSpend, partial(get_spend, usage=usage)),
            (SetPrice, partial(set_price, prices=prices, clock=clock)),
            (AdoptPrices, partial(adopt_prices, prices=prices, clock=clock)),
            (ListPrices, partial(list_prices, prices=prices)),
            (WatchPrices, partial(watch_prices, prices=prices, changes=bell)),
        ],
        behaviors=[
            Logging(),
            when(is_checked, Validation()),
            when(lambda message: isinstance(message, SetPrice), Announcement(bell)),
            when(is_command, Transaction(store)),
        ],
        expected=messages_in(handlers),
    )


class LedgerReader:
    """A ledger's file opened for reading; an asynchronous context manager that closes it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        usage, prices = SqlUsage(store), SqlPrices(store)
        self._mediator = Mediator(
            [
                (ListUsage, partial(list_usage, usage=usage)),
                (GetSpend, partial(get_spend, usage=usage)),
                (ListPrices, partial(list_prices, prices=prices)),
            ],
            behaviors=[when(is_checked, Validation())],
        )

    def send(self, query: Query[R]) -> Awaitable[R]:
        """The answer to ListUsage, GetSpend or ListPrices."""
        return self._mediator.send(query)

    async def close(self) -> None:
        await self._store.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


async def open_reader(settings: LedgerSettings) -> LedgerReader:
    """The ledger's file without its service, which may well be running.

    Raises TollwayError SERVICE_UNAVAILABLE where there is none, or one of another version.
    """
    if not settings.database.is_file():
        raise TollwayError(
            Reason.SERVICE_UNAVAILABLE, f"there is no ledger at {settings.database}: nothing has been booked there yet"
        )
    store = Store(settings.database, settings.busy_timeout, read_only=True)
    try:
        if (found := await version(store)) != HEAD:
            raise TollwayError(
                Reason.SERVICE_UNAVAILABLE,
                f"{settings.database} has schema {found or 'none'}, and this version of Tollway reads {HEAD}: "
                "start the ledger on it once, which migrates it",
            )
    except BaseException:
        await store.close()
        raise
    return LedgerReader(store)
