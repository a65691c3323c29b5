"""What the configuration tells the providers service."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mesh.config.schema import Config, Provider, SimOptions


@dataclass(frozen=True, slots=True)
class ProviderSettings:
    """Someone who can be called. What may be secret stays out of its text form."""

    name: str
    dialect: str
    base_url: str = field(repr=False)
    api_key: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    sim: SimOptions


@dataclass(frozen=True, slots=True)
class ProvidersSettings:
    """Everyone who can be called, in the order of the configuration."""

    providers: tuple[ProviderSettings, ...]

    @classmethod
    def from_config(cls, config: Config, data_dir: Path) -> ProvidersSettings:
        """`data_dir` is every service's to take; this one keeps nothing."""
        return cls(tuple(_provider(name, provider) for name, provider in config.providers.items()))


def _provider(name: str, provider: Provider) -> ProviderSettings:
    return ProviderSettings(
        name=name,
        dialect=provider.dialect,
        base_url=provider.base_url,
        api_key=provider.api_key.get_secret_value(),
        headers=provider.headers,
        sim=provider.sim,
    )
