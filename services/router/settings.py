"""What the router is told by the configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mesh.config import inherit
from mesh.config.schema import (
    Breaker,
    Cache,
    Config,
    Hedge,
    Idempotency,
    Key,
    Ledger,
    Limit,
    Model,
    Provider,
    Rule,
    State,
    Timeouts,
)
from mesh.state.store import Rate


@dataclass(frozen=True, slots=True)
class DeploymentSettings:
    """A provider's model behind a name, with everything it inherits filled in."""

    provider: str
    model: str
    weight: int
    can: frozenset[str] | None
    context: int | None
    retries: int
    timeouts: Timeouts
    breaker: Breaker


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """A name, or a pattern of names, that clients use. Its answers are cached for `cache` seconds; None: not at all."""

    name: str
    deployments: tuple[DeploymentSettings, ...]
    fallbacks: tuple[str, ...]
    description: str
    strategy: str
    latency_bound: float | None
    sticky: str
    continuations: int
    assured: bool
    hedge: Hedge | None
    cache: float | None


@dataclass(frozen=True, slots=True)
class ProviderSettings:
    """Someone who can be called; `drain` is how many seconds an abandoned answer is read on for."""

    dialect: str
    drain: float
    has_credential: bool
    """Whether it is called with a key, or a header that may be one."""


@dataclass(frozen=True, slots=True)
class KeySettings:
    """Someone who may ask: the SHA-256 of the key, and who has it until when (Unix time; None: for ever).

    Answers to it are cached for `cache` seconds; None: only where its model or the request says so.
    """

    name: str
    digest: bytes
    tenant: str
    project: str
    tags: tuple[str, ...]
    models: tuple[str, ...]
    role: str
    cache: float | None
    expires: float | None


@dataclass(frozen=True, slots=True)
class LimitSettings:
    """What a scope may at most."""

    scope: str
    requests: Rate | None
    tokens: Rate | None
    concurrency: int | None


@dataclass(frozen=True, slots=True)
class StateSettings:
    """Where what routers share is kept, and what holds (`local`: this router's share) when it is lost."""

    url: str
    local: bool
    timeout: float


@dataclass(frozen=True, slots=True)
class RouterSettings:
    """Everything the router is configured with. Times are in seconds."""

    models: tuple[ModelSettings, ...]
    providers: Mapping[str, ProviderSettings]
    rules: tuple[Rule, ...]
    keys: tuple[KeySettings, ...]
    limits: tuple[LimitSettings, ...]
    state: StateSettings
    retry_after_wait: float
    journal_directory: Path
    journal_fsync: float
    journal_full_allowed: bool
    ship_every: float
    idempotency: Idempotency
    cache: Cache
    ledger: Ledger
    max_messages: int

    @classmethod
    def from_config(cls, config: Config, data_dir: Path) -> RouterSettings:
        return cls(
            models=tuple(_model(config, name, model) for name, model in config.models.items()),
            providers={name: _provider(provider) for name, provider in config.providers.items()},
            rules=config.rules,
            keys=tuple(_key(key) for key in config.keys),
            limits=tuple(_limit(limit) for limit in config.limits),
            state=_state(config.state, data_dir),
            retry_after_wait=config.defaults.retry_after_wait,
            journal_directory=data_dir / "journal",
            journal_fsync=config.journal.fsync,
            journal_full_allowed=config.journal.when_full == "allow",
            ship_every=config.journal.ship_every,
            idempotency=config.idempotency,
            cache=config.cache,
            ledger=config.ledger,
            max_messages=config.http.max_messages,
        )


def _model(config: Config, name: str, model: Model) -> ModelSettings:
    deployments = tuple(
        DeploymentSettings(
            provider=deployment.provider,
            model=deployment.model,
            weight=deployment.weight,
            can=None if deployment.can is None else frozenset(deployment.can),
            context=deployment.context,
            retries=inherit.retries(config.defaults, model, deployment),
            timeouts=inherit.timeouts(config.defaults, model, deployment),
            breaker=inherit.breaker(config.defaults, model, deployment),
        )
        for deployment in model.deployments
    )
    return ModelSettings(
        name=name,
        deployments=deployments,
        fallbacks=model.fallbacks,
        description=model.description,
        strategy=model.strategy,
        latency_bound=model.latency_bound,
        sticky=model.sticky or ("none" if model.strategy == "ordered" else "session"),
        continuations=inherit.continuations(config.defaults, model),
        assured=model.assured,
        hedge=inherit.hedge(config.defaults, model),
        cache=None if model.cache is None else model.cache.ttl,
    )


def _key(key: Key) -> KeySettings:
    return KeySettings(
        name=key.name,
        digest=key.digest,
        tenant=key.tenant,
        project=key.project,
        tags=key.tags,
        models=key.models,
        role=key.role,
        cache=None if key.cache is None else key.cache.ttl,
        expires=key.expires,
    )


def _provider(provider: Provider) -> ProviderSettings:
    drain = 0.0 if provider.on_disconnect == "cancel" else provider.on_disconnect.drain
    has_credential = bool(provider.api_key.get_secret_value() or provider.headers)
    return ProviderSettings(provider.dialect, drain, has_credential)


def _limit(limit: Limit) -> LimitSettings:
    return LimitSettings(limit.scope, limit.requests, limit.tokens, limit.concurrency)


def _state(state: State, data_dir: Path) -> StateSettings:
    return StateSettings(state.url.replace("{data_dir}", str(data_dir)), state.when_lost == "local", state.timeout)
