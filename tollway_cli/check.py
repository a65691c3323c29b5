"""`tollway check`: everything that is wrong with the configuration, or what it amounts to."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from mesh.config.presets import SIGNED
from mesh.config.schema import Config, State
from mesh.state.connect import MEMORY
from tollway_cli.configuration import find, known_providers, load_or_refuse


def summary(config: Config, source: str) -> str:
    """What the configuration amounts to, in a few lines."""
    lines = [f"{source} is fine.", "", "  providers  " + ", ".join(config.providers)]
    lines += [f"  no key     {name}: {variable} is not set" for name, variable in _without_key(config)]
    for name, model in config.models.items():
        behind = [f"{d.provider}/{d.model or '*'}" for d in model.deployments]
        lines.append(f"  model      {name} → {', '.join([*behind, *model.fallbacks])}")
    if config.keys:
        lines.append("  keys       " + ", ".join(f"{key.name} ({key.role})" for key in config.keys))
    if config.rules:
        lines.append("  rules      " + ", ".join(rule.name for rule in config.rules))
    if config.limits:
        lines.append("  limits     " + ", ".join(limit.scope for limit in config.limits))
    if config.state.url != MEMORY:
        lines.append("  state      " + _state(config.state))
    lines += [f"  http       {config.http.listen}", f"  grpc       {config.grpc.listen}"]
    return "\n".join(lines) + "\n"


def _without_key(config: Config) -> Iterator[tuple[str, str]]:
    """Providers that would be called without the key which their preset has in a variable, and its name."""
    presets = known_providers().presets
    for name, provider in config.providers.items():
        preset = presets[provider.preset] if provider.preset else None
        given = provider.api_key.get_secret_value() or provider.api_key_file or provider.api_key_command
        if preset and preset.key_variable and not given and provider.credentials.kind not in SIGNED:
            yield name, preset.key_variable


def _state(state: State) -> str:
    """Where what routers share is kept; not the whole URL, which may hold a password."""
    kind = "SQLite" if state.url.startswith("sqlite:") else "Redis"
    return f"in {kind}; when it is lost: {state.when_lost}"


def run_check(config: Path | None) -> None:
    found = find(config)
    sys.stdout.write(summary(load_or_refuse(config), str(found) if found else "The configuration (no tollway.yaml)"))
