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
from mesh.mediator import Mediator, messages_in, when
from mesh.metrics import Metrics
from mesh.state.memory import MemoryStore
from mesh.tracing import Tracer
from services.router import handlers
from services.router.adapters.adoption import Adoption
from services.router.adapters.exact_cache import ExactCache
from services.router.adapters.journal_sqlite import SqliteJournal
from services.router.adapters.ledger_grpc import GrpcLedger
from services.router.adapters.price_watch import PriceWatch
from services.router.adapters.providers_grpc import GrpcProviderCalls
from services.router.adapters.recording import Recorder
from services.router.adapters.shipper import Shipper
from services.router.domain import genai
from services.router.domain.caching import Ttls
from services.router.domain.fleet import Fleet
from services.router.domain.routes import Deployment, Route, Routes
from services.router.domain.schedule import Schedule
from services.router.domain.settlement import set_time
from services.router.handlers.behaviors import Validation, is_question
from services.router.handlers.caching import Caching
from services.router.handlers.create_chat_completion import CreateChatCompletion, create_chat_completion
from services.router.handlers.desk import Desk
from services.router.handlers.drains import Drains
from services.router.handlers.idempotency import Idempotency, has_key
from services.router.handlers.list_models import ListModels, list_models
from services.router.handlers.stream_chat_completion import StreamChatCompletion, stream_chat_completion
from services.router.ports import AnswerCache
from services.router.servicer import RouterServicer
from services.router.settings import DeploymentSettings, RouterSettings
from tollway.providers.v1.providers_pb2 import CallTimeouts
from tollway.router.v1.router_pb2 import Model
from tollway.router.v1.router_pb2_grpc import add_RouterServiceServicer_to_server

_PATIENCE_FOR_PRICES = 1.0
_SHIP_WITHIN = 5.0


class RouterRuntime:
    """A started router; implements `mesh.service.Service`."""

    name = "router"
    proto_services = ("tollway.router.v1.RouterService",)

    def __init__(
        self,
        servicer: RouterServicer,
        hops: Mapping[str, grpc.aio.Channel],
        idempotency: Idempotency,
        caching: Caching,
        drains: Drains,
        prices: PriceWatch,
        journal: SqliteJournal,
        shipper: Shipper,
        adoption: Adoption,
    ) -> None:
        self.hops = hops
        self._servicer, self._idempotency, self._caching = servicer, idempotency, caching
        self._drains, self._prices = drains, prices
        self._journal, self._shipper, self._adoption = journal, shipper, adoption

    @property
    def dead_letters(self) -> int:
        """Attempts that the ledger refused, and somebody has to look at."""
        return self._journal.file.dead_letters()

    def register(self, server: grpc.aio.Server) -> None:
        add_RouterServiceServicer_to_server(self._servicer, server)

    async def close(self) -> None:
        """Ends and settles what still runs, ships what is settled, and removes the journal if all of it is."""
        await self._idempotency.close()
        await self._caching.close()
        await self._drains.close()
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
    """A router that runs. Raises ValueError for routes that lead nowhere, OSError where there cannot be a journal."""
    routes = _routes(settings)
    loaded = Timestamp()
    set_time(loaded, clock.time())
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
    store = MemoryStore(clock)
    keeping = settings.idempotency
    idempotency = Idempotency(
        store, clock, tracer, metrics, keep=keeping.keep, max_answer=keeping.max_answer, max_bytes=keeping.max_bytes
    )
    caching = _caching(settings, ExactCache(store, clock, settings.cache.max_bytes), desk)
    servicer = RouterServicer(_mediator(desk, loaded, idempotency, caching), clock)
    hops = MappingProxyType(
        {"tollway.providers.v1.ProviderService": providers, "tollway.ledger.v1.LedgerService": ledger}
    )
    return RouterRuntime(servicer, hops, idempotency, caching, drains, prices, journal, shipper, adoption)


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


def _caching(settings: RouterSettings, cache: AnswerCache, desk: Desk) -> Caching:
    return Caching(
        cache,
        Ttls({model.name: model.cache for model in settings.models}, settings.cache.ttl),
        desk.journal,
        desk.clock,
        desk.tracer,
        desk.metrics,
        model_providers={
            name: genai.provider_name(name, provider.dialect) for name, provider in settings.providers.items()
        },
        max_entry=settings.cache.max_entry,
    )


def _mediator(desk: Desk, loaded: Timestamp, idempotency: Idempotency, caching: Caching) -> Mediator:
    return Mediator(
        [
            (CreateChatCompletion, partial(create_chat_completion, desk=desk)),
            (StreamChatCompletion, partial(stream_chat_completion, desk=desk)),
            (ListModels, partial(list_models, routes=desk.routes, providers=desk.providers, loaded=loaded)),
        ],
        behaviors=[when(is_question, Validation()), when(has_key, idempotency), when(caching.concerns, caching)],
        expected=messages_in(handlers),
    )


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
