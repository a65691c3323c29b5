"""What settings come to, in the values that the router decides with."""

from __future__ import annotations

from google.protobuf.duration_pb2 import Duration

from mesh.config import schema
from mesh.config.schema import Breaker, Timeouts
from services.router.domain import genai
from services.router.domain.breaker import BreakerPolicy
from services.router.domain.caching import Ttls
from services.router.domain.hedging import Hedge
from services.router.domain.hours import EVERY_DAY, Hours
from services.router.domain.keyring import Key, Keyring
from services.router.domain.limits import Limit, Limits
from services.router.domain.principal import Principal, Role
from services.router.domain.routes import Deployment, Route, Routes
from services.router.domain.rules import Action, Condition, Rule
from services.router.settings import DeploymentSettings, KeySettings, ModelSettings, RouterSettings
from tollway.providers.v1.providers_pb2 import CallTimeouts


def keyring(settings: RouterSettings) -> Keyring | None:
    """Who may ask; None: everybody, who can be nobody beyond this machine then."""
    if not settings.keys:
        return None
    return Keyring(Key(key.digest, principal(key), key.expires) for key in settings.keys)


def principal(key: KeySettings) -> Principal:
    """Who has a key."""
    return Principal(key.tenant, key.project, key.name, key.tags, key.models, Role(key.role), key.cache)


def limits(settings: RouterSettings) -> Limits:
    """What may at most be asked for."""
    return Limits(Limit(each.scope, each.requests, each.tokens, each.concurrency) for each in settings.limits)


def ttls(settings: RouterSettings) -> Ttls:
    """How long answers are cached."""
    return Ttls({model.name: model.cache for model in settings.models}, settings.cache.ttl)


def model_providers(settings: RouterSettings) -> dict[str, str]:
    """Whose models a provider's are, as spans and rows say it, by the provider's name."""
    return {name: genai.provider_name(name, provider.dialect) for name, provider in settings.providers.items()}


def routes(settings: RouterSettings) -> Routes:
    """Who answers for which name. Raises ValueError for routes that lead nowhere."""
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


def rules(settings: RouterSettings) -> tuple[Rule, ...]:
    """What is done with questions under which conditions, in their order."""
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
