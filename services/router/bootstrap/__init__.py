"""Puts the router together, and takes it apart again."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from types import MappingProxyType

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from mesh.clock import Clock
from mesh.credentials import Admit
from mesh.ids import uuid7
from mesh.mediator import Mediator, when
from mesh.metrics import Metrics
from mesh.state.connect import MEMORY, State, connect
from mesh.tracing import Tracer
from services.router.adapters import background
from services.router.adapters.adoption import Adoption
from services.router.adapters.breaker_watch import BreakerWatch
from services.router.adapters.exact_cache import ExactCache
from services.router.adapters.journal_sqlite import SqliteJournal
from services.router.adapters.leasing import Leasing
from services.router.adapters.ledger_grpc import GrpcLedger
from services.router.adapters.price_watch import PriceWatch
from services.router.adapters.probes import Probes
from services.router.adapters.providers_grpc import GrpcProviderCalls
from services.router.adapters.recording import Recorder
from services.router.adapters.shipper import Shipper
from services.router.bootstrap import from_settings
from services.router.bootstrap.pipeline import behaviors, mediator
from services.router.domain import access
from services.router.domain.breaker_sharing import Sharing
from services.router.domain.circumstances import FindPrice
from services.router.domain.fleet import Fleet
from services.router.domain.keyring import Keyring
from services.router.domain.principal import LOCAL
from services.router.domain.purse import Purse
from services.router.domain.schedule import Schedule
from services.router.domain.selection import Selection
from services.router.domain.settlement import set_time
from services.router.handlers.admission import Admission
from services.router.handlers.authentication import Authentication, Permission
from services.router.handlers.behaviors import Validation, has_question
from services.router.handlers.budgets import Budgeting
from services.router.handlers.caching import Caching, by_rules
from services.router.handlers.desk import Desk
from services.router.handlers.drains import Drains
from services.router.handlers.explain_route import ExplainRoute, explain_route
from services.router.handlers.idempotency import Idempotency
from services.router.handlers.list_models import ListModels, list_models
from services.router.handlers.reservations import Reservations
from services.router.servicer import RouterServicer
from services.router.settings import RouterSettings
from tollway.router.v1.router_pb2 import ExplainRouteRequest, ExplainRouteResponse, Model
from tollway.router.v1.router_pb2_grpc import add_RouterServiceServicer_to_server

_PATIENCE_FOR_PRICES = 1.0
_PATIENCE_FOR_BUDGETS = 1.0
_BUDGETS = "budgets.pb"
"""The file in the data directory that budgets are kept in."""
_SHIP_WITHIN = 5.0


class RouterRuntime:
    """A started router; implements `mesh.service.Service` and `mesh.service.Conditional`."""

    name = "router"
    proto_services = ("tollway.router.v1.RouterService",)

    def __init__(
        self,
        servicer: RouterServicer,
        hops: Mapping[str, grpc.aio.Channel],
        journal: SqliteJournal,
        state: State,
        budgeting: Budgeting,
        admit: Admit | None,
        closing: Sequence[Callable[[], Awaitable[None]]],
    ) -> None:
        self.hops = hops
        self.admit = admit
        """Asks callers of other services for a key that opens them; None where there are no keys."""
        self._servicer, self._journal, self._state, self._closing = servicer, journal, state, closing
        self._budgeting = budgeting

    @property
    def dead_letters(self) -> int:
        """Attempts that the ledger refused, and somebody has to look at."""
        return self._journal.file.dead_letters()

    @property
    def serving(self) -> bool:
        """Whether calls may leave; see `journal.when_full`."""
        return not self._journal.denies

    @property
    def journal_is_failing(self) -> bool:
        """Whether what is called cannot be written down at the moment."""
        return self._journal.failing

    @property
    def budgets_are_lost(self) -> bool:
        """Whether there are hard budgets, and the ledger that leases them is out of reach."""
        return self._budgeting.any and self._budgeting.reservations.lost

    @property
    def state_is_lost(self) -> bool:
        """Whether the state that it shares with other routers is out of reach."""
        return self._state.lost()

    def register(self, server: grpc.aio.Server) -> None:
        add_RouterServiceServicer_to_server(self._servicer, server)

    async def close(self) -> None:
        """Settles what is still read on, ships what is settled, and removes the journal if all of it is."""
        for close in self._closing:
            await close()


async def start(
    settings: RouterSettings,
    *,
    providers: grpc.aio.Channel,
    ledger: grpc.aio.Channel,
    clock: Clock,
    tracer: Tracer,
    metrics: Metrics,
) -> RouterRuntime:
    """A router that runs.

    Raises ValueError for routes that lead nowhere, OSError where there cannot be a journal, or a file of shared state.
    """
    routes = from_settings.routes(settings)
    loaded = Timestamp()
    set_time(loaded, clock.time())
    shared = settings.state
    state = await connect(shared.url, local=shared.local, timeout=shared.timeout, clock=clock, metrics=metrics)
    ledger_client = GrpcLedger(ledger)
    journal = SqliteJournal.create(
        settings.journal_directory, clock, settings.journal_fsync, full_allowed=settings.journal_full_allowed
    )
    recorder = Recorder(ledger_client, clock, tracer)
    shipper = Shipper(journal, recorder, clock, metrics, settings.ship_every)
    adoption = Adoption(journal.file, recorder, ledger_client.give_back, clock)
    prices = PriceWatch(ledger_client, clock)
    await prices.start(_PATIENCE_FOR_PRICES)
    reservations = Reservations(Purse(lambda: uuid7(clock.time())), clock)
    budgeting = Budgeting(
        reservations, prices, clock, wait=settings.ledger.budget_wait, allow=settings.ledger.when_lost == "allow"
    )
    leasing = Leasing(
        ledger_client,
        budgeting,
        journal.file.id,
        settings.journal_directory.parent / _BUDGETS,
        clock,
        metrics,
        recorded_until=lambda: shipper.recorded_until,
        unbooked=recorder.unbooked,
    )
    await leasing.start(_PATIENCE_FOR_BUDGETS)
    drains, calls, fleet = Drains(clock), GrpcProviderCalls(providers), Fleet()
    probes = Probes(fleet.outages, calls, clock)
    schedule = Schedule(settings.retry_after_wait, random.random)
    rules = from_settings.rules(settings)
    selection = Selection(routes, rules, fleet, random.Random(), prices.find)
    desk = Desk(
        routes, schedule, calls, journal, prices, drains, fleet, clock, tracer, metrics, selection, budgeting=budgeting
    )
    keeping = settings.idempotency
    idempotency = Idempotency(
        state.store,
        clock,
        tracer,
        metrics,
        keep=keeping.keep,
        max_answer=keeping.max_answer,
        max_bytes=keeping.max_bytes,
    )
    caching = Caching(
        ExactCache(state.store, clock, settings.cache.max_bytes),
        from_settings.ttls(settings),
        journal,
        clock,
        tracer,
        metrics,
        model_providers=from_settings.model_providers(settings),
        max_entry=settings.cache.max_entry,
        ruled=by_rules(rules, clock),
    )
    closing: list[Callable[[], Awaitable[None]]] = [idempotency.close, caching.close, drains.close, leasing.drain]
    admission = None
    if settings.limits:
        admission = Admission(from_settings.limits(settings), state.store, clock)
        holding = background.start("Holding places", admission.renew())
        closing += (partial(background.end, holding), admission.close)
    if shared.url != MEMORY:
        watch = BreakerWatch(Sharing(fleet, uuid7(clock.time())), state.store, clock)
        await watch.start()
        closing.append(watch.close)
    closing += (
        state.store.close,
        prices.close,
        probes.close,
        adoption.close,
        partial(shipper.close, _SHIP_WITHIN),
        partial(_end_leases, leasing, journal),
        journal.close,
    )
    keyring = from_settings.keyring(settings)
    around = behaviors(
        authentication=None if keyring is None else Authentication(keyring, clock),
        idempotency=idempotency,
        admission=admission,
        caching=caching,
    )
    servicer = RouterServicer(mediator(desk, loaded, around), clock)
    hops = MappingProxyType(
        {"tollway.providers.v1.ProviderService": providers, "tollway.ledger.v1.LedgerService": ledger}
    )
    return RouterRuntime(servicer, hops, journal, state, budgeting, _admit(keyring, clock), closing)


async def _end_leases(leasing: Leasing, journal: SqliteJournal) -> None:
    """Where they cannot be closed now, the journal stays for whoever adopts it, and can then."""
    journal.kept = not await leasing.close(recorded=not journal.pending)


async def offered(settings: RouterSettings, *, providers: grpc.aio.Channel, clock: Clock) -> list[Model]:
    """The models that a router with these settings would list; nothing is started. Raises ValueError, TollwayError."""
    routes, calls, loaded = from_settings.routes(settings), GrpcProviderCalls(providers), Timestamp()
    set_time(loaded, clock.time())
    models: list[Model] = []
    token = ""
    while True:
        page = await list_models(ListModels(0, token), routes=routes, providers=calls, loaded=loaded)
        models.extend(page.models)
        token = page.next_page_token
        if not token:
            return models


async def explained(
    settings: RouterSettings,
    request: ExplainRouteRequest,
    *,
    key: str,
    project: str,
    tenant: str,
    clock: Clock,
    find_price: FindPrice,
) -> ExplainRouteResponse:
    """Where a router with these settings would send the question, were it just started; nothing is.

    Empty names of who asks stand for those of the key, if it is a configured one, else of an unknown local caller. It
    knows the prices that are found for it, and of no deployment how it stands. Raises ValueError, TollwayError.
    """
    holder = next((from_settings.principal(each) for each in settings.keys if each.name == key), None)
    who = holder or replace(LOCAL, key=key or LOCAL.key)
    who = replace(who, project=project or who.project, tenant=tenant or who.tenant)
    tags = who.tagged(request.tags)
    question = ExplainRoute(
        request.chat, "", tags, None, None, request.preferences, principal=who, streamed=request.streamed
    )
    routes, rules = from_settings.routes(settings), from_settings.rules(settings)
    selection = Selection(routes, rules, Fleet(), random.Random(), find_price)
    handler = partial(explain_route, selection=selection, clock=clock)
    around = [when(has_question, Validation()), Permission()]
    return await Mediator([(ExplainRoute, handler)], behaviors=around).send(question)


def _admit(keyring: Keyring | None, clock: Clock) -> Admit | None:
    if keyring is None:
        return None
    return lambda credentials, method: access.admit(keyring, credentials, method, clock.time())
