"""What is known of providers before anybody configures one: dialects by name, and presets.

Nothing here knows who they are: the command line tells, because the mesh does not know the services.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import SecretStr

from mesh.config.schema import Provider

SIGNED = frozenset({"aws", "google", "entra"})
"""Kinds of credentials that are no key."""


@dataclass(frozen=True, slots=True)
class Preset:
    """What holds for a provider that does not say its own."""

    dialect: str
    base_url: str = ""
    """Empty: each has an address of its own, or credentials say where it is."""
    key_variable: str = ""
    """The variable its key is usually in. Empty: there is no usual one."""
    credentials: str = ""
    """The kind of its credentials. Empty: the dialect's kind of API key."""
    catalogue: str = ""
    """Who in the catalogue has its prices, `none`, or empty: as its address or its name says."""
    place: int = 1000
    """Where it stands among those that are there without a configuration: the lowest first, then by name."""

    @property
    def stands_alone(self) -> bool:
        """Whether a key is all that it needs."""
        return bool(self.base_url and self.key_variable) and self.credentials not in SIGNED


@dataclass(frozen=True, slots=True)
class Known:
    """Whom a configuration may name without describing them: dialects, and presets by name."""

    dialects: tuple[str, ...] = ("openai", "sim")
    presets: Mapping[str, Preset] = field(default_factory=dict)


NOTHING = Known()
"""Two dialects, and no presets."""


def preset_of(name: str, stated: Mapping[str, Any], known: Known) -> str:
    """The name of the preset that holds for a provider; empty where none does.

    `stated` are the values it was given. The preset is the one it names; else the one that is called as it is, if it
    speaks the same dialect; else the one called as the dialect that it states. Of OpenAI's dialect there are too many
    servers to take one that only speaks it for OpenAI.
    """
    if chosen := stated.get("preset"):
        return chosen if chosen in known.presets else ""
    dialect = stated.get("dialect")
    namesake = known.presets.get(name)
    if namesake is not None and dialect in (None, "", namesake.dialect):
        return name
    if dialect and dialect != "openai" and dialect in known.presets:
        return str(dialect) if known.presets[dialect].dialect == dialect else ""
    return ""


def filled(name: str, provider: Provider, known: Known, environ: Mapping[str, str]) -> Provider:
    """The provider with its preset's values where it says none of its own.

    The usual variable's key goes to the preset's own address alone: a provider that says where else it is says its key,
    too.
    """
    stated = {key: getattr(provider, key) for key in provider.model_fields_set}
    chosen = preset_of(name, stated, known)
    if not chosen:
        return provider
    preset = known.presets[chosen]
    kind = provider.credentials.kind or preset.credentials
    found: dict[str, Any] = {"preset": chosen, "dialect": preset.dialect}
    if preset.credentials and not provider.credentials.kind:
        found["credentials"] = provider.credentials.model_copy(update={"kind": kind})
    if preset.base_url and not provider.base_url:
        found["base_url"] = preset.base_url
    if preset.catalogue and not provider.catalogue:
        found["catalogue"] = preset.catalogue
    own_address = bool(provider.base_url and preset.base_url and provider.base_url != preset.base_url)
    if kind not in SIGNED and not own_address and not _has_key(provider):
        found["api_key"] = SecretStr(environ.get(preset.key_variable, "").strip())
    return provider.model_copy(update=found)


def _has_key(provider: Provider) -> bool:
    return bool(provider.model_fields_set & {"api_key", "api_key_file", "api_key_command"})


def served_unasked(known: Known, environ: Mapping[str, str]) -> dict[str, Provider]:
    """A provider for each preset that needs no more than the key which is in its usual variable."""
    here = {name: preset for name, preset in known.presets.items() if preset.dialect in known.dialects}
    usable = {name: preset for name, preset in here.items() if preset.stands_alone}
    in_order = sorted(usable, key=lambda name: (usable[name].place, name))
    return {
        name: filled(name, Provider(), known, environ)
        for name in in_order
        if environ.get(usable[name].key_variable, "").strip()
    }


def keys_of(kind: str) -> frozenset[str]:
    """The keys of `credentials` that mean something to credentials of that kind."""
    return _KEYS.get(kind, frozenset()) | {"kind"}


_KEYS: Mapping[str, frozenset[str]] = {
    "header": frozenset({"name"}),
    "query": frozenset({"name"}),
    "aws": frozenset({"region", "profile", "access_key_id", "secret_access_key", "session_token"}),
    "google": frozenset({"credentials_file", "project", "location"}),
    "entra": frozenset({"tenant", "client_id", "client_secret", "scope"}),
}
