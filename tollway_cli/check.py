"""`tollway check`: everything that is wrong with the configuration, or what it amounts to."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from mesh.config.addresses import overlap
from mesh.config.presets import SIGNED
from mesh.config.schema import Config, State
from mesh.listening import CannotListen, refuse_exposed
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


def obstacles(config: Config) -> Iterator[str]:
    """What no process could start with, however it is started."""
    tls, http, grpc = config.grpc.tls, config.http.listen, config.grpc.listen
    for name, path in (("cert", tls.cert), ("key", tls.key), ("client_ca", tls.client_ca)) if tls else ():
        if path and (reason := _why_unreadable(path)):
            yield f"grpc.tls.{name}: {path} cannot be read: {reason}"
    if overlap(http, grpc):
        yield f"grpc.listen: {grpc} is where http.listen is, too: HTTP and gRPC need an address each"


def exposures(config: Config) -> Iterator[str]:
    """What `tollway up` would refuse with: addresses that are not for everybody who reaches them."""
    from gateway_http.listening import check_address  # imported late: its HTTP library is needed for nothing else here

    keyed, grpc = bool(config.keys), config.grpc
    for refusing in (
        partial(check_address, config.http.listen, keyed=keyed, allow_insecure=False),
        partial(refuse_exposed, grpc.listen, grpc.tls, False, keyed=keyed),
    ):
        try:
            refusing()
        except CannotListen as refusal:
            yield str(refusal)


def _why_unreadable(path: str) -> str:
    """Why a file cannot be read; empty where it can."""
    try:
        with Path(path).open("rb") as file:
            file.read(1)
    except OSError as error:
        return error.strerror or str(error)
    return ""


def run_check(config: Path | None) -> None:
    """Exit status 1 for what nothing can be started with. What `serve --allow-insecure` may take is warned of."""
    found, loaded = find(config), load_or_refuse(config)
    if problems := list(obstacles(loaded)):
        sys.stderr.writelines(f"{problem}\n" for problem in problems)
        raise SystemExit(1)
    warnings = [
        f"\n`tollway up` will refuse, unlike `tollway serve` with --allow-insecure: {exposure}\n"
        for exposure in exposures(loaded)
    ]
    told = summary(loaded, str(found) if found else "The configuration (no tollway.yaml)")
    sys.stdout.writelines((told, *warnings))
