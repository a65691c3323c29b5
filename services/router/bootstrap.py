"""Puts the router together, and takes it apart again."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from types import MappingProxyType

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from mesh.clock import Clock
from mesh.config import schema
from mesh.config.schema import Breaker, Timeouts
from mesh.credentials import Admit
from mesh.ids import uuid7
from mesh.mediator import Behavior, Mediator, messages_in, when
from mesh.metrics import Metrics
from mesh.state.connect import MEMORY, State, connect
from mesh.tracing import Tracer
from services.router import handlers
from services.router.adapters import background
from services.router.adapters.adoption import Adoption
from services.router.adapters.breaker_watch import BreakerWatch
from services.router.adapters.exact_cache import ExactCache
from services.router.adapters.journal_sqlite import SqliteJournal
from services.router.adapters.ledger_grpc import GrpcLedger
from services.router.adapters.price_watch import PriceWatch
from services.router.adapters.probes import Probes
from services.router.adapters.providers_grpc import GrpcProviderCalls
from services.router.adapters.recording import Recorder
from services.router.adapters.shipper import Shipper
from services.router.domain import access, genai
from services.router.domain.breaker import BreakerPolicy
from services.router.domain.breaker_sharing import Sharing
from services.router.domain.caching import Ttls
from services.router.domain.fleet import Fleet
from services.router.domain.hedging import Hedge
from services.router.domain.hours import EVERY_DAY, Hours
from services.router.domain.keyring import Key, Keyring
from services.router.domain.limits import Limit, Limits
from services.router.domain.principal import LOCAL, Principal, Role
from services.router.domain.routes import Deployment, Route, Routes
from services.router.domain.rules import Action, Condition, Rule
from services.router.domain.schedule import Schedule
from services.router.domain.selection import Selection
from services.router.domain.settlement import set_time
from services.router.handlers.admission import Admission
from services.router.handlers.authentication import Authentication, Permission
from services.router.handlers.behaviors import Validation, has_question, is_question
from services.router.handlers.caching import Caching, by_rules
from services.router.handlers.create_chat_completion import CreateChatCompletion, create_chat_completion
from services.router.handlers.desk import Desk
from services.router.handlers.drains import Drains
from services.router.handlers.explain_route import ExplainRoute, explain_route
from services.router.handlers.idempotency import Idempotency, has_key
from services.router.handlers.list_deployments import ListDeployments, list_deployments
from services.router.handlers.list_models import ListModels, list_models
from services.router.handlers.stream_chat_completion import StreamChatCompletion, stream_chat_completion
from services.router.ports import AnswerCache
from services.router.servicer import RouterServicer
from services.router.settings import DeploymentSettings, ModelSettings, RouterSettings
from tollway.providers.v1.providers_pb2 import CallTimeouts
from tollway.router.v1.router_pb2 import ExplainRouteRequest, ExplainRouteResponse, Model
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
        journal: SqliteJournal,
        state: State,
        admit: Admit | None,
        closing: Sequence[Callable[[], Awaitable[None]]],
    ) -> None:
        self.hops = hops
        self.admit = admit
        """Asks callers of other services for a key that opens them; None where there are no keys."""
        self._servicer, self._journal, self._state, self._closing = servicer, journal, state, closing

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
    drains, calls, fleet = Drains(clock), GrpcProviderCalls(providers), Fleet()
    probes = Probes(fleet.outages, calls, clock)
    schedule = Schedule(settings.retry_after_wait, random.random)
    rules = _rules(settings)
    selection = Selection(routes, rules, fleet, random.Random(), prices.find)
    desk = Desk(routes, schedule, calls, journal, prices, drains, fleet, clock, tracer, metrics, selection)
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
    caching = _caching(settings, ExactCache(state.store, clock, settings.cache.max_bytes), rules, desk)
    closing: list[Callable[[], Awaitable[None]]] = [idempotency.close, caching.close, drains.close]
    gates: list[Behavior] = [when(has_key, idempotency)]
    if settings.limits:
        admission = Admission(_limits(settings), state.store, clock)
        holding = background.start("Holding places", admission.renew())
        closing += (partial(background.end, holding), admission.close)
        gates.append(when(is_question, admission))
    gates.append(when(caching.concerns, caching))
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
        journal.close,
    )
    keyring = _keyring(settings)
    servicer = RouterServicer(_mediator(desk, loaded, keyring, gates), clock)
    hops = MappingProxyType(
        {"tollway.providers.v1.ProviderService": providers, "tollway.ledger.v1.LedgerService": ledger}
    )
    return RouterRuntime(servicer, hops, journal, state, _admit(keyring, clock), closing)


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


async def explained(
    settings: RouterSettings, request: ExplainRouteRequest, *, key: str, project: str, tenant: str, clock: Clock
) -> ExplainRouteResponse:
    """Where a router with these settings would send the question, were it just started; nothing is.

    Empty names of who asks stand for those of an unknown local caller. It knows no prices, and of no deployment how it
    stands. Raises ValueError, TollwayError.
    """
    who = replace(LOCAL, key=key or LOCAL.key, project=project or LOCAL.project, tenant=tenant or LOCAL.tenant)
    question = ExplainRoute(
        request.chat, "", request.tags, None, None, request.preferences, principal=who, streamed=request.streamed
    )
    selection = Selection(_routes(settings), _rules(settings), Fleet(), random.Random(), lambda *_: None)
    handler = partial(explain_route, selection=selection, clock=clock)
    return await Mediator([(ExplainRoute, handler)], behaviors=[when(has_question, Validation())]).send(question)


def _keyring(settings: RouterSettings) -> Keyring | None:
    """Who may ask; None: everybody, who can be nobody beyond this machine then."""
    if not settings.keys:
        return None
    return Keyring(
        Key(
            key.digest,
            Principal(key.tenant, key.project, key.name, key.tags, key.models, Role(key.role), key.cache),
            key.expires,
        )
        for key in settings.keys
    )


def _admit(keyring: Keyring | None, clock: Clock) -> Admit | None:
    if keyring is None:
        return None
    return lambda credentials, method: access.admit(keyring, credentials, method, clock.time())


def _caching(settings: RouterSettings, cache: AnswerCache, rules: Sequence[Rule], desk: Desk) -> Caching:
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
        ruled=by_rules(rules, desk.clock),
    )


def _mediator(desk: Desk, loaded: Timestamp, keyring: Keyring | None, gates: Sequence[Behavior]) -> Mediator:
    identified = [] if keyring is None else [Authentication(keyring, desk.clock)]
    return Mediator(
        [
            (CreateChatCompletion, partial(create_chat_completion, desk=desk)),
            (StreamChatCompletion, partial(stream_chat_completion, desk=desk)),
            (ExplainRoute, partial(explain_route, selection=desk.selection, clock=desk.clock)),
            (ListDeployments, partial(list_deployments, routes=desk.routes, fleet=desk.fleet, clock=desk.clock)),
            (ListModels, partial(list_models, routes=desk.routes, providers=desk.providers, loaded=loaded)),
        ],
        behaviors=[*identified, when(has_question, Validation()), Permission(), *gates],
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
            model.strategy,
            model.latency_bound,
            model.sticky,
            model.continuations,
            model.assured,
            _hedge(model),
        )
        for model in settings.models
    )


def _deployment(settings: RouterSettings, deployment: DeploymentSettings) -> Deployment:
    provider = settings.providers[deployment.provider]
    return Deployment(
        provider=deployment.provider,
        model=deployment.model,
        model_provider=genai.provider_name(deployment.provider, provider.dialect),
        weight=deployment.weight,
        can=deployment.can,
        context=deployment.context,
        retries=deployment.retries,
        timeouts=_call_timeouts(deployment.timeouts),
        total=deployment.timeouts.total,
        drain=provider.drain,
        has_credential=provider.has_credential,
        breaker=_breaker(deployment.breaker),
    )


def _rules(settings: RouterSettings) -> tuple[Rule, ...]:
    return tuple(Rule(rule.name, _condition(rule.when), _action(rule.then)) for rule in settings.rules)


def _condition(when: schema.RuleCondition) -> Condition:
    return Condition(
        model=when.model or (),
        key=when.key or (),
        project=when.project or (),
        tenant=when.tenant or (),
        tags=when.tags or (),
        over=None if when.tokens is None else when.tokens.over,
        under=None if when.tokens is None else when.tokens.under,
        needs=when.needs or (),
        hours=None if when.time is None else _hours(when.time),
    )


def _action(then: schema.RuleAction) -> Action:
    parameters = {} if then.set is None else then.set.model_dump(exclude_unset=True)
    return Action(then.choose or (), then.exclude or (), then.rewrite or "", parameters, then.deny or "")


def _hours(time: schema.RuleTime) -> Hours:
    # Imported late: only who has rules about hours needs the zones.
    from zoneinfo import ZoneInfo

    return Hours(time.days or EVERY_DAY, time.from_, time.to, ZoneInfo(time.zone))


def _breaker(breaker: Breaker) -> BreakerPolicy:
    return BreakerPolicy(
        failures=breaker.failures,
        rate=breaker.rate,
        calls=breaker.calls,
        window=breaker.window,
        open_for=breaker.open_for,
        probes=breaker.probes,
    )


def _hedge(model: ModelSettings) -> Hedge | None:
    if model.hedge is None:
        return None
    return Hedge(None if model.hedge.after == "p95" else model.hedge.after, model.hedge.budget)


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
