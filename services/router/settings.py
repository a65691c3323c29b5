"""What the router is told by the configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mesh.config import inherit
from mesh.config.schema import Cache, Config, Idempotency, Model, Provider, Timeouts


@dataclass(frozen=True, slots=True)
class DeploymentSettings:
    """A provider's model behind a name, with everything it inherits filled in."""

    provider: str
    model: str
    context: int | None
    retries: int
    timeouts: Timeouts


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """A name, or a pattern of names, that clients use. Its answers are cached for `cache` seconds; None: not at all."""

    name: str
    deployments: tuple[DeploymentSettings, ...]
    fallbacks: tuple[str, ...]
    description: str
    cache: float | None


@dataclass(frozen=True, slots=True)
class ProviderSettings:
    """Someone who can be called; `drain` is how many seconds an abandoned answer is read on for."""

    dialect: str
    drain: float


@dataclass(frozen=True, slots=True)
class RouterSettings:
    """Everything the router is configured with. Times are in seconds."""

    models: tuple[ModelSettings, ...]
    providers: Mapping[str, ProviderSettings]
    retry_after_wait: float
    journal_directory: Path
    journal_fsync: float
    ship_every: float
    idempotency: Idempotency
    cache: Cache

    @classmethod
    def from_config(cls, config: Config, data_dir: Path) -> RouterSettings:
        return cls(
            models=tuple(_model(config, name, model) for name, model in config.models.items()),
            providers={name: _provider(provider) for name, provider in config.providers.items()},
            retry_after_wait=config.defaults.retry_after_wait,
            journal_directory=data_dir / "journal",
            journal_fsync=config.journal.fsync,
            ship_every=config.journal.ship_every,
            idempotency=config.idempotency,
            cache=config.cache,
        )


def _model(config: Config, name: str, model: Model) -> ModelSettings:
    deployments = tuple(
        DeploymentSettings(
            provider=deployment.provider,
            model=deployment.model,
            context=deployment.context,
            retries=inherit.retries(config.defaults, model, deployment),
            timeouts=inherit.timeouts(config.defaults, model, deployment),
        )
        for deployment in model.deployments
    )
    cache = None if model.cache is None else model.cache.ttl
    return ModelSettings(name, deployments, model.fallbacks, model.description, cache)


def _provider(provider: Provider) -> ProviderSettings:
    drain = 0.0 if provider.on_disconnect == "cancel" else provider.on_disconnect.drain
    return ProviderSettings(provider.dialect, drain)
