"""What the configuration tells the providers service."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import SecretStr

from mesh.config.schema import Config, Credentials, Provider, SimOptions


@dataclass(frozen=True, slots=True)
class KeySettings:
    """Where a provider's key comes from: it is given, or in a file, or printed by a program; at most one of them."""

    given: str = field(default="", repr=False)
    file: str = ""
    command: tuple[str, ...] = field(default=(), repr=False)
    ttl: float = 0.0


@dataclass(frozen=True, slots=True)
class CredentialsSettings:
    """How a call shows who pays. `kind` is empty where the dialect says; `values` are the keyword arguments of what
    signs for accounts (`aws`, `google`, `entra`)."""

    kind: str = ""
    name: str = ""
    values: Mapping[str, str] = field(default_factory=dict, repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)
    """Those of the values that must not show."""


@dataclass(frozen=True, slots=True)
class ProviderSettings:
    """Someone who can be called. What may be secret stays out of its text form."""

    name: str
    preset: str
    dialect: str
    base_url: str = field(repr=False)
    key: KeySettings
    credentials: CredentialsSettings
    api_version: str
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
        preset=provider.preset,
        dialect=provider.dialect,
        base_url=provider.base_url,
        key=KeySettings(
            provider.api_key.get_secret_value(), provider.api_key_file, provider.api_key_command, provider.api_key_ttl
        ),
        credentials=_credentials(provider.credentials),
        api_version=provider.api_version,
        headers=provider.headers,
        sim=provider.sim,
    )


def _credentials(credentials: Credentials) -> CredentialsSettings:
    """What was said of them, in plain text."""
    said = {key: getattr(credentials, key) for key in credentials.model_fields_set - {"kind", "name"}}
    plain = {key: value.get_secret_value() if isinstance(value, SecretStr) else value for key, value in said.items()}
    secrets = tuple(plain[key] for key, value in said.items() if isinstance(value, SecretStr))
    return CredentialsSettings(credentials.kind, credentials.name, plain, secrets)
