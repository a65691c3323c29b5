"""Puts the ledger together: as a service, and for reading its file without one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import grpc

from mesh.clock import Clock, SystemClock
from mesh.errors import Reason, TollwayError
from mesh.mediator import Command, Mediator, Query, StreamQuery, messages_in, when
from mesh.metrics import Metrics
from mesh.prices import PriceBook
from mesh.tracing import Tracer
from services.ledger import handlers
from services.ledger.adapters.attempts import SqlAttempts
from services.ledger.adapters.bell import Bell, look_for_changes
from services.ledger.adapters.book import SqlAdjustments, SqlBook, SqlConflicts
from services.ledger.adapters.books import SqlBooks
from services.ledger.adapters.budgets import SqlBudgets
from services.ledger.adapters.catalogue import Catalogue
from services.ledger.adapters.details import SqlDetails
from services.ledger.adapters.leases import SqlLeases
from services.ledger.adapters.migrate import migrate, version
from services.ledger.adapters.outbox import SqlOutbox, relay
from services.ledger.adapters.prices import SqlPrices
from services.ledger.adapters.schema import HEAD
from services.ledger.adapters.spending import SqlSpending
from services.ledger.adapters.store import Store, open_store
from services.ledger.adapters.upkeep import keep_house
from services.ledger.adapters.usage import SqlUsage
from services.ledger.domain.events import BudgetThresholdReached
from services.ledger.domain.pricing import new_edition, news
from services.ledger.handlers.adjust_attempt import AdjustAttempt, adjust_attempt
from services.ledger.handlers.adopt_budgets import AdoptBudgets, adopt_budgets
from services.ledger.handlers.adopt_prices import AdoptPrices, adopt_prices
from services.ledger.handlers.audit_ledger import AuditLedger, audit_ledger
from services.ledger.handlers.behaviors import (
    Announcement,
    Condition,
    Logging,
    Pricing,
    Transaction,
    Validation,
    is_checked,
    is_command,
)
from services.ledger.handlers.charging import Charging
from services.ledger.handlers.create_budget import CreateBudget, create_budget
from services.ledger.handlers.delete_budget import DeleteBudget, delete_budget
from services.ledger.handlers.find_price import FindPrice, find_price
from services.ledger.handlers.get_budget import GetBudget, get_budget
from services.ledger.handlers.get_spend import GetSpend, get_spend
from services.ledger.handlers.learning import Learning
from services.ledger.handlers.lease_budget import LeaseBudget, lease_budget
from services.ledger.handlers.list_budgets import ListBudgets, list_budgets
from services.ledger.handlers.list_prices import ListPrices, list_prices
from services.ledger.handlers.list_usage import ListUsage, list_usage
from services.ledger.handlers.make_room import MakeRoom, make_room
from services.ledger.handlers.note_budget_threshold import note_when_budget_threshold_reached
from services.ledger.handlers.parting import Parting
from services.ledger.handlers.reconcile_invoice import ReconcileInvoice, reconcile_invoice
from services.ledger.handlers.record_attempts import RecordAttempts, record_attempts
from services.ledger.handlers.return_lease import ReturnLease, return_lease
from services.ledger.handlers.roll_details import RollDetails, roll_details
from services.ledger.handlers.set_price import SetPrice, set_price
from services.ledger.handlers.tidy_budgets import TidyBudgets, tidy_budgets
from services.ledger.handlers.tidy_details import TidyDetails, tidy_details
from services.ledger.handlers.unpriced import Unpriced
from services.ledger.handlers.update_budget import UpdateBudget, update_budget
from services.ledger.handlers.watch_budgets import WatchBudgets, watch_budgets
from services.ledger.handlers.watch_prices import WatchPrices, watch_prices
from services.ledger.handlers.watch_recalls import WatchRecalls, watch_recalls
from services.ledger.ports import Budgets, Spending
from services.ledger.servicer import LedgerServicer
from services.ledger.settings import LedgerSettings
from tollway.ledger.v1.ledger_pb2 import Markup, Price
from tollway.ledger.v1.ledger_pb2_grpc import add_LedgerServiceServicer_to_server

_LOOK_EVERY = 5.0
"""Seconds after which a price or budget that another process has set is known here at the latest."""

_PUBLISH_EVERY = 30.0
"""Seconds after which events are published that another process has left behind."""

_LOOK_FOR_RECALLS_EVERY = 0.5
"""Seconds; as long as somebody watches. A request waits for budget about four times as long."""

_LEARN_AFTER = 2.0
"""Seconds after the start in which nobody but callers is looked after."""

_TIDY_EVERY = 3600.0
"""Seconds between two looks for details that are old enough to go, and for months that are to come."""

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Bells:
    """What is rung when something has changed."""

    prices: Bell = field(default_factory=Bell)
    budgets: Bell = field(default_factory=Bell)
    recalls: Bell = field(default_factory=Bell)
    events: Bell = field(default_factory=Bell)

    def close(self) -> None:
        for bell in (self.prices, self.budgets, self.recalls, self.events):
            bell.close()


class LedgerRuntime:
    """The ledger as a started service; implements `mesh.service.Service` and `mesh.service.Conditional`."""

    name = "ledger"
    proto_services = ("tollway.ledger.v1.LedgerService",)
    hops: Mapping[str, grpc.aio.Channel] = {}

    def __init__(
        self,
        mediator: Mediator,
        store: Store,
        bells: Bells,
        condition: Condition,
        learning: Learning,
        tasks: Sequence[asyncio.Task[None]],
    ) -> None:
        self._servicer = LedgerServicer(mediator)
        self._store, self._bells, self._condition, self._tasks = store, bells, condition, tasks
        self._learning = learning

    @property
    def serving(self) -> bool:
        """Whether what came last could be booked."""
        return self._condition.serving

    def register(self, server: grpc.aio.Server) -> None:
        add_LedgerServiceServicer_to_server(self._servicer, server)

    async def close(self) -> None:
        self._bells.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)
        await self._learning.close()
        await self._store.close()


async def start(settings: LedgerSettings, *, clock: Clock, tracer: Tracer, metrics: Metrics) -> LedgerRuntime:
    """Opens the ledger's database, makes and migrates it where needed, and brings configured prices and budgets in.

    Raises TollwayError: SERVICE_UNAVAILABLE for a database that cannot be opened or is of a newer version,
    INVALID_REQUEST for a price or a budget that cannot be.
    """
    if isinstance(settings.database, Path):
        try:
            settings.database.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise TollwayError(Reason.SERVICE_UNAVAILABLE, f"the ledger's folder cannot be made: {error}") from error
    store = open_store(settings.database, settings.busy_timeout)
    try:
        await migrate(store)
        bells, condition = Bells(), Condition()
        prices, budgets = SqlPrices(store, settings.markups), SqlBudgets(store)
        leases = SqlLeases(store, bells.recalls)
        outbox = SqlOutbox(store, [BudgetThresholdReached], bells.events)
        charging = Charging(budgets, SqlSpending(store), leases, SqlAdjustments(store), outbox)
        learning = Learning(Catalogue(settings.callees), prices, store, bells.prices, clock)
        mediator = _compose(store, prices, charging, learning, bells, condition, clock, metrics)
        await mediator.send(AdoptPrices(settings.prices, settings.uncatalogued))
        await mediator.send(AdoptBudgets(settings.budgets))
        await mediator.send(MakeRoom())
        seen, known, recalled = await prices.book(), await budgets.book(), await leases.last_recall()
        metrics.gauge("tollway.ledger.conflicts", await SqlConflicts(store).count(), {})
    except BaseException:
        await store.close()  # its threads would keep the process alive
        raise
    tasks = (
        asyncio.create_task(look_for_changes("prices", prices.book, seen, bells.prices, clock, _LOOK_EVERY)),
        asyncio.create_task(look_for_changes("budgets", budgets.book, known, bells.budgets, clock, _LOOK_EVERY)),
        asyncio.create_task(
            look_for_changes("recalls", leases.last_recall, recalled, bells.recalls, clock, _LOOK_FOR_RECALLS_EVERY)
        ),
        asyncio.create_task(relay(outbox, mediator, bells.events, clock, _PUBLISH_EVERY)),
        asyncio.create_task(keep_house(mediator, clock, settings.retention, _TIDY_EVERY)),
        asyncio.create_task(_learn_what_is_known(learning, settings, seen, clock)),
    )
    return LedgerRuntime(mediator, store, bells, condition, learning, tasks)


async def _learn_what_is_known(learning: Learning, settings: LedgerSettings, book: PriceBook, clock: Clock) -> None:
    """Has the catalogue asked about all models that are configured, or were ever found in it: it may be a newer one."""
    await clock.sleep(_LEARN_AFTER)
    unpriced = [model for model in settings.deployments if book.find(*model, clock.time()) is None]
    await learning.learn([*unpriced, *book.catalogued])


def _compose(
    store: Store,
    prices: SqlPrices,
    charging: Charging,
    learning: Learning,
    bells: Bells,
    condition: Condition,
    clock: Clock,
    metrics: Metrics,
) -> Mediator:
    attempts, book, usage, details = SqlAttempts(store), SqlBook(store), SqlUsage(store), SqlDetails(store)
    adjustments, budgets, spending, leases = (
        charging.adjustments, charging.budgets, charging.spending, charging.leases,
    )  # fmt: skip
    record = partial(
        record_attempts,
        attempts=attempts,
        book=book,
        conflicts=SqlConflicts(store),
        details=details,
        prices=prices,
        charging=charging,
        clock=clock,
        metrics=metrics,
        unpriced=Unpriced(metrics),
    )
    adjust = partial(
        adjust_attempt, attempts=attempts, book=book, adjustments=adjustments, charging=charging, clock=clock
    )
    return Mediator(
        [
            (RecordAttempts, record),
            (AdjustAttempt, adjust),
            (RollDetails, partial(roll_details, details=details, book=book, adjustments=adjustments)),
            (TidyDetails, partial(tidy_details, details=details)),
            (MakeRoom, partial(make_room, details=details, clock=clock)),
            (ListUsage, partial(list_usage, usage=usage)),
            (GetSpend, partial(get_spend, usage=usage)),
            (AuditLedger, partial(audit_ledger, books=SqlBooks(store), prices=prices)),
            (ReconcileInvoice, partial(reconcile_invoice, usage=usage)),
            (SetPrice, partial(set_price, prices=prices, clock=clock)),
            (AdoptPrices, partial(adopt_prices, prices=prices, clock=clock)),
            (ListPrices, partial(list_prices, prices=prices)),
            (WatchPrices, partial(watch_prices, prices=prices, changes=bells.prices)),
            (FindPrice, partial(find_price, prices=prices, learning=learning, clock=clock)),
            (LeaseBudget, partial(lease_budget, budgets=budgets, spending=spending, leases=leases, clock=clock)),
            (ReturnLease, partial(return_lease, leases=leases)),
            (WatchRecalls, partial(watch_recalls, leases=leases, changes=bells.recalls)),
            (AdoptBudgets, partial(adopt_budgets, budgets=budgets, clock=clock)),
            (WatchBudgets, partial(watch_budgets, budgets=budgets, changes=bells.budgets)),
            (TidyBudgets, partial(tidy_budgets, spending=spending, clock=clock)),
            *_budgets(budgets, spending, clock),
        ],
        reactions=[(BudgetThresholdReached, partial(note_when_budget_threshold_reached, metrics=metrics))],
        behaviors=[
            Logging(),
            when(is_checked, Validation()),
            when(lambda message: isinstance(message, RecordAttempts), condition),
            when(lambda message: isinstance(message, RecordAttempts), Pricing(prices, learning)),
            when(lambda message: isinstance(message, SetPrice), Announcement(bells.prices)),
            when(
                lambda message: isinstance(message, (CreateBudget, UpdateBudget, DeleteBudget)),
                Announcement(bells.budgets),
            ),
            when(lambda message: isinstance(message, RecordAttempts), Parting(metrics)),
            when(is_command, Transaction(store)),
        ],
        expected=messages_in(handlers),
    )


def _budgets(budgets: Budgets, spending: Spending, clock: Clock) -> list[tuple[type, Callable[[Any], Any]]]:
    """What operators do with budgets."""
    return [
        (CreateBudget, partial(create_budget, budgets=budgets, clock=clock)),
        (UpdateBudget, partial(update_budget, budgets=budgets, clock=clock)),
        (DeleteBudget, partial(delete_budget, budgets=budgets, clock=clock)),
        (GetBudget, partial(get_budget, budgets=budgets, spending=spending, clock=clock)),
        (ListBudgets, partial(list_budgets, budgets=budgets, spending=spending, clock=clock)),
    ]


class LedgerReader:
    """A ledger's database without its service; an asynchronous context manager that closes it."""

    def __init__(self, store: Store, clock: Clock, markups: Sequence[Markup]) -> None:
        self._store = store
        usage, prices, attempts, book = SqlUsage(store), SqlPrices(store, markups), SqlAttempts(store), SqlBook(store)
        budgets, spending, adjustments = SqlBudgets(store), SqlSpending(store), SqlAdjustments(store)
        # Whoever serves the ledger publishes what is left in the outbox.
        outbox = SqlOutbox(store, [BudgetThresholdReached], Bell())
        charging = Charging(budgets, spending, SqlLeases(store, Bell()), adjustments, outbox)
        adjust = partial(
            adjust_attempt, attempts=attempts, book=book, adjustments=adjustments, charging=charging, clock=clock
        )
        self._mediator = Mediator(
            [
                (ListUsage, partial(list_usage, usage=usage)),
                (GetSpend, partial(get_spend, usage=usage)),
                (ListPrices, partial(list_prices, prices=prices)),
                (AuditLedger, partial(audit_ledger, books=SqlBooks(store), prices=prices)),
                (ReconcileInvoice, partial(reconcile_invoice, usage=usage)),
                (AdjustAttempt, adjust),
                (SetPrice, partial(set_price, prices=prices, clock=clock)),
                *_budgets(budgets, spending, clock),
            ],
            behaviors=[when(is_checked, Validation()), when(is_command, Transaction(store))],
        )

    def send(self, message: Query[R] | Command[R]) -> Awaitable[R]:
        """The answer to ListUsage, GetSpend, ListPrices, GetBudget, ListBudgets or, where it was opened for writing,
        AdjustAttempt, SetPrice, CreateBudget, UpdateBudget, DeleteBudget.

        A ledger that runs sees a price or budget that is set here within seconds.
        """
        return self._mediator.send(message)

    def stream(self, query: StreamQuery[R]) -> AsyncGenerator[R]:
        """The answers to AuditLedger or ReconcileInvoice."""
        return self._mediator.stream(query)

    async def close(self) -> None:
        await self._store.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


async def open_reader(settings: LedgerSettings, *, writable: bool = False, clock: Clock | None = None) -> LedgerReader:
    """The ledger's database without its service, which may well be running.

    Raises TollwayError SERVICE_UNAVAILABLE where there is none, or one of another version.
    """
    if isinstance(settings.database, Path) and not settings.database.is_file():
        raise TollwayError(
            Reason.SERVICE_UNAVAILABLE, f"there is no ledger at {settings.database}: nothing has been booked there yet"
        )
    store = open_store(settings.database, settings.busy_timeout, read_only=not writable)
    try:
        if (found := await version(store)) != HEAD:
            raise TollwayError(
                Reason.SERVICE_UNAVAILABLE,
                f"{store.name} has schema {found or 'none'}, and this version of Tollway reads {HEAD}: "
                "start the ledger on it once, which migrates it",
            )
    except BaseException:
        await store.close()
        raise
    return LedgerReader(store, clock or SystemClock(), settings.markups)


def known_prices(settings: LedgerSettings) -> Callable[[str, str, float], Price | None]:
    """What `PriceBook.find` finds where there is no ledger: prices of the configuration, else the catalogue's.

    Reads the catalogue into this process, which had better be one that ends.
    """
    configured, catalogue = news(settings.prices, PriceBook(), 0.0), Catalogue(settings.callees)
    books: dict[tuple[str, str], PriceBook] = {}

    def find(provider: str, model: str, at: float) -> Price | None:
        book = books.setdefault((provider, model), PriceBook(configured, settings.markups))
        price = book.find(provider, model, at)
        if price is None and not book.catalogued and (found := catalogue.look_up_here([(provider, model)]).prices):
            known = [each for prices in found for each in new_edition(prices, book, at)]
            books[provider, model] = PriceBook([*configured, *known], settings.markups)
            return books[provider, model].find(provider, model, at)
        return price

    return find
