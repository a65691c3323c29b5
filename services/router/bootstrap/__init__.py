"""Puts the router together, and takes it apart again."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from mesh.clock import Clock
from mesh.credentials import Admit
from mesh.ids import uuid7
from mesh.metrics import Metrics
from mesh.state.connect import MEMORY, State, connect
from mesh.tracing import Tracer
from services.router.adapters import background
from services.router.adapters.breaker_watch import BreakerWatch
from services.router.adapters.exact_cache import ExactCache
from services.router.adapters.probes import Probes
from services.router.adapters.providers_grpc import GrpcProviderCalls
from services.router.bootstrap import from_settings
from services.router.bootstrap.bookkeeping import Bookkeeping
from services.router.bootstrap.pipeline import behaviors, mediator
from services.router.domain import access
from services.router.domain.breaker_sharing import Sharing
from services.router.domain.fleet import Fleet
from services.router.domain.keyring import Keyring
from services.router.domain.schedule import Schedule
from services.router.domain.selection import Selection
from services.router.domain.settlement import set_time
from services.router.handlers.admission import Admission
from services.router.handlers.authentication import Authentication
from services.router.handlers.caching import Caching, by_rules, let_through
from services.router.handlers.desk import Desk
from services.router.handlers.drains import Drains
from services.router.handlers.idempotency import Idempotency
from services.router.servicer import RouterServicer
from services.router.settings import RouterSettings
from tollway.router.v1.router_pb2_grpc import add_RouterServiceServicer_to_server


class RouterRuntime:
    """A started router; implements `mesh.service.Service` and `mesh.service.Conditional`."""

    name = "router"
    proto_services = ("tollway.router.v1.RouterService",)

    def __init__(
        self,
        servicer: RouterServicer,
        hops: Mapping[str, grpc.aio.Channel],
        books: Bookkeeping,
        state: State,
        admit: Admit | None,
        closing: Sequence[Callable[[], Awaitable[None]]],
    ) -> None:
        self.hops = hops
        self.admit = admit
        """Asks callers of other services for a key that opens them; None where there are no keys."""
        self._servicer, self._books, self._state, self._closing = servicer, books, state, closing

    @property
    def dead_letters(self) -> int:
        """Attempts that the ledger refused, and somebody has to look at."""
        return self._books.journal.file.dead_letters()

    @property
    def serving(self) -> bool:
        """Whether calls may leave; see `journal.when_full`."""
        return not self._books.journal.denies

    @property
    def journal_is_failing(self) -> bool:
        """Whether what is called cannot be written down at the moment."""
        return self._books.journal.failing

    @property
    def budgets_are_lost(self) -> bool:
        """Whether there are hard budgets, and the ledger that leases them is out of reach."""
        budgeting = self._books.budgeting
        return budgeting.any and budgeting.reservations.lost

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
    books = Bookkeeping(settings, ledger=ledger, clock=clock, tracer=tracer, metrics=metrics)
    await books.start()
    drains, calls, fleet = Drains(clock), GrpcProviderCalls(providers), Fleet()
    probes = Probes(fleet.outages, calls, clock)
    schedule = Schedule(settings.retry_after_wait, random.random)
    rules = from_settings.rules(settings)
    desk = Desk(
        routes,
        schedule,
        calls,
        books.journal,
        books.prices,
        drains,
        fleet,
        clock,
        tracer,
        metrics,
        Selection(routes, rules, fleet, random.Random(), books.prices.find),
        budgeting=books.budgeting,
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
    admission = Admission(from_settings.limits(settings), state.store, clock) if settings.limits else None
    caching = Caching(
        ExactCache(state.store, clock, settings.cache.max_bytes),
        from_settings.ttls(settings),
        books.journal,
        clock,
        tracer,
        metrics,
        model_providers=from_settings.model_providers(settings),
        max_entry=settings.cache.max_entry,
        ruled=by_rules(rules, clock),
        admit=let_through if admission is None else admission.draw_request,
    )
    closing: list[Callable[[], Awaitable[None]]] = [idempotency.close, caching.close, drains.close, books.drain]
    if admission is not None:
        holding = background.start("Holding places", admission.renew())
        closing += (partial(background.end, holding), admission.close)
    if shared.url != MEMORY:
        watch = BreakerWatch(Sharing(fleet, uuid7(clock.time())), state.store, clock)
        await watch.start()
        closing.append(watch.close)
    closing += (state.store.close, probes.close, books.close)
    keyring = from_settings.keyring(settings)
    around = behaviors(
        authentication=None if keyring is None else Authentication(keyring, clock),
        idempotency=idempotency,
        admission=admission,
        caching=caching,
        max_messages=settings.max_messages,
    )
    servicer = RouterServicer(mediator(desk, loaded, around), clock)
    hops = MappingProxyType(
        {"tollway.providers.v1.ProviderService": providers, "tollway.ledger.v1.LedgerService": ledger}
    )
    return RouterRuntime(servicer, hops, books, state, _admit(keyring, clock), closing)


def _admit(keyring: Keyring | None, clock: Clock) -> Admit | None:
    if keyring is None:
        return None
    return lambda credentials, method: access.admit(keyring, credentials, method, clock.time())
