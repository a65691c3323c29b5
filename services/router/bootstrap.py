"""Puts the router together, and takes it apart again."""

from __future__ import annotations

import random
from collections.abc import Mapping
from functools import partial
from types import MappingProxyType

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from mesh.clock import Clock
from mesh.config.schema import Timeouts
from mesh.mediator import Behavior, Mediator, messages_in, when
from mesh.metrics import Metrics
from mesh.state.connect import State, connect
from mesh.tracing import Tracer
from services.router import handlers
from services.router.adapters import background
from services.router.adapters.adoption import Adoption
from services.router.adapters.journal_sqlite import SqliteJournal
from services.router.adapters.ledger_grpc import GrpcLedger
from services.router.adapters.price_watch import PriceWatch
from services.router.adapters.providers_grpc import GrpcProviderCalls
from services.router.adapters.recording import Recorder
from services.router.adapters.shipper import Shipper
from services.router.domain import genai
from services.router.domain.fleet import Fleet
from services.router.domain.limits import Limit, Limits
from services.router.domain.routes import Deployment, Route, Routes
from services.router.domain.schedule import Schedule
from services.router.domain.settlement import set_time
from services.router.handlers.admission import Admission
from services.router.handlers.behaviors import Validation, is_question
from services.router.handlers.create_chat_completion import CreateChatCompletion, create_chat_completion
from services.router.handlers.desk import Desk
from services.router.handlers.drains import Drains
from services.router.handlers.list_models import ListModels, list_models
from services.router.handlers.stream_chat_completion import StreamChatCompletion, stream_chat_completion
from services.router.servicer import RouterServicer
from services.router.settings import DeploymentSettings, RouterSettings
from tollway.providers.v1.providers_pb2 import CallTimeouts
from tollway.router.v1.router_pb2 import Model
from tollway.router.v1.router_pb2_grpc import add_RouterServiceServicer_to_server

_PATIENCE_FOR_PRICES = 1.0
_SHIP_WITHIN = 5.0


class AdmissionRun:
    """Admission, with the work that goes on beside it."""

    def __init__(self, behavior: Admission) -> None:
        self.behavior = behavior
        self._renewing = background.start("holding places", behavior.renew())

    async def close(self) -> None:
        await background.end(self._renewing)
        await self.behavior.close()


class RouterRuntime:
    """A started router; implements `mesh.service.Service`."""

    name = "router"
    proto_services = ("tollway.router.v1.RouterService",)

    def __init__(
        self,
        servicer: RouterServicer,
        hops: Mapping[str, grpc.aio.Channel],
        drains: Drains,
        prices: PriceWatch,
        journal: SqliteJournal,
        shipper: Shipper,
        adoption: Adoption,
        state: State,
        admission: AdmissionRun | None,
    ) -> None:
        self.hops = hops
        self._state, self._admission = state, admission
        self._servicer, self._drains, self._prices = servicer, drains, prices
        self._journal, self._shipper, self._adoption = journal, shipper, adoption

    @property
    def dead_letters(self) -> int:
        """Attempts that the ledger refused, and somebody has to look at."""
        return self._journal.file.dead_letters()

    @property
    def state_is_lost(self) -> bool:
        """Whether the state that it shares with other routers is out of reach."""
        return self._state.lost()

    def register(self, server: grpc.aio.Server) -> None:
        add_RouterServiceServicer_to_server(self._servicer, server)

    async def close(self) -> None:
        """Settles what is still read on, ships what is settled, and removes the journal if all of it is."""
        await self._drains.close()
        if self._admission is not None:
            await self._admission.close()
        await self._state.store.close()
        await self._prices.close()
        await self._adoption.close()
        await self._shipper.close(_SHIP_WITHIN)
        await self._journal.close()


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
    routes = _routes(settings)
    loaded = Timestamp()
    set_time(loaded, clock.time())
    shared = settings.state
    state = await connect(shared.url, local=shared.local, timeout=shared.timeout, clock=clock, metrics=metrics)
    ledger_client = GrpcLedger(ledger)
    journal = SqliteJournal.create(settings.journal_directory, clock, settings.journal_fsync)
    recorder = Recorder(ledger_client, clock, tracer)
    shipper = Shipper(journal, recorder, clock, metrics, settings.ship_every)
    adoption = Adoption(journal.file, recorder, clock)
    prices = PriceWatch(ledger_client, clock)
    await prices.start(_PATIENCE_FOR_PRICES)
    drains, calls = Drains(clock), GrpcProviderCalls(providers)
    schedule = Schedule(settings.retry_after_wait, random.random)
    desk = Desk(routes, schedule, calls, journal, prices, drains, Fleet(), clock, tracer, metrics)
    admission = AdmissionRun(Admission(_limits(settings), state.store, clock)) if settings.limits else None
    servicer = RouterServicer(_mediator(desk, loaded, admission), clock)
    hops = MappingProxyType(
        {"tollway.providers.v1.ProviderService": providers, "tollway.ledger.v1.LedgerService": ledger}
    )
    return RouterRuntime(servicer, hops, drains, prices, journal, shipper, adoption, state, admission)


async def offered(settings: RouterSettings, *, providers: grpc.aio.Channel, clock: Clock) -> list[Model]:
    """The models that a router with these settings would list; nothing is started. Raises ValueError, TollwayError."""
    routes, calls, loaded = _routes(settings), GrpcProviderCalls(providers), Timestamp()
    set_time(loaded, clock.time())
    models: list[Model] = []
    token = ""
    while True:
        page = await list_models(ListModels(0, token), routes=routes, providers=calls, loaded=loaded)
        models.extend(page.models)
        token = page.next_page_token
        if not token:
            return models


def _mediator(desk: Desk, loaded: Timestamp, admission: AdmissionRun | None) -> Mediator:
    limited: list[Behavior] = [] if admission is None else [when(is_question, admission.behavior)]
    return Mediator(
        [
            (CreateChatCompletion, partial(create_chat_completion, desk=desk)),
            (StreamChatCompletion, partial(stream_chat_completion, desk=desk)),
            (ListModels, partial(list_models, routes=desk.routes, providers=desk.providers, loaded=loaded)),
        ],
        behaviors=[when(is_question, Validation()), *limited],
        expected=messages_in(handlers),
    )


def _limits(settings: RouterSettings) -> Limits:
    return Limits(Limit(each.scope, each.requests, each.tokens, each.concurrency) for each in settings.limits)


def _routes(settings: RouterSettings) -> Routes:
    return Routes(
        Route(
            model.name,
            tuple(_deployment(settings, deployment) for deployment in model.deployments),
            model.fallbacks,
            model.description,
        )
        for model in settings.models
    )


def _deployment(settings: RouterSettings, deployment: DeploymentSettings) -> Deployment:
    provider = settings.providers[deployment.provider]
    return Deployment(
        provider=deployment.provider,
        model=deployment.model,
        model_provider=genai.provider_name(deployment.provider, provider.dialect),
        context=deployment.context,
        retries=deployment.retries,
        timeouts=_call_timeouts(deployment.timeouts),
        total=deployment.timeouts.total,
        drain=provider.drain,
    )


def _call_timeouts(timeouts: Timeouts) -> CallTimeouts:
    return CallTimeouts(
        connect=_duration(timeouts.connect),
        headers=_duration(timeouts.headers),
        first_token=_duration(timeouts.first_token),
        gap=_duration(timeouts.gap),
    )


def _duration(seconds: float) -> Duration:
    duration = Duration()
    duration.FromNanoseconds(round(seconds * 1e9))
    return duration
