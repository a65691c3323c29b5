"""`tollway check`: everything that is wrong with the configuration, or what it amounts to."""

from __future__ import annotations

import sys
from pathlib import Path

from mesh.config.schema import Config
from tollway_cli.configuration import find, load_or_refuse


def summary(config: Config, source: str) -> str:
    """What the configuration amounts to, in a few lines."""
    lines = [f"{source} is fine.", "", "  providers  " + ", ".join(config.providers)]
    for name, model in config.models.items():
        behind = [f"{d.provider}/{d.model or '*'}" for d in model.deployments]
        lines.append(f"  model      {name} → {', '.join([*behind, *model.fallbacks])}")
    if config.keys:
        lines.append("  keys       " + ", ".join(f"{key.name} ({key.role})" for key in config.keys))
    lines += [f"  http       {config.http.listen}", f"  grpc       {config.grpc.listen}"]
    return "\n".join(lines) + "\n"


def run_check(config: Path | None) -> None:
    found = find(config)
    sys.stdout.write(summary(load_or_refuse(config), str(found) if found else "The configuration (no tollway.yaml)"))
