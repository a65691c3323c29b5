"""What `tollway up` says once it serves. Pure."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Served:
    """What a process came to serve."""

    version: str
    http: str
    """`http://host:port`"""
    grpc: str
    """`host:port`"""
    data_dir: str
    models: Sequence[str]
    """Names as configured; a name ending in `*` stands for all that begin so."""
    traces: str
    """Where spans go; empty: nowhere."""
    keys: Sequence[str] = ()
    """The names of those who may ask; none: everyone on this machine may."""
    workers: int = 1
    """Processes that serve."""


def render(served: Served) -> str:
    """The banner: URLs, models, a line to paste, where spend is seen."""
    question = {"model": _askable(served.models), "messages": [{"role": "user", "content": "Hello!"}]}
    lines = [
        f"Tollway {served.version} is up.",
        "",
        f"  HTTP    {served.http}/v1  (an OpenAI SDK's base_url)",
        f"  gRPC    {served.grpc}",
        f"  models  {', '.join(served.models)}  (all: tollway models)",
        *([f"  keys    {', '.join(served.keys)}  (all: tollway keys list)"] if served.keys else []),
        f"  data    {served.data_dir}",
        *([f"  workers {served.workers}"] if served.workers > 1 else []),
        f"  spend   tollway spend --data-dir {shlex.quote(served.data_dir)}",
        f"  traces  {served.traces or 'off; OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4317 sends them there'}",
        "",
        "Try it:",
        "",
        f"  curl {served.http}/v1/chat/completions -H 'content-type: application/json' \\",
        *(['    -H "authorization: Bearer $TOLLWAY_KEY" \\'] if served.keys else []),
        f"    -d {shlex.quote(json.dumps(question))}",
        "",
    ]
    return "\n".join(lines)


def _askable(models: Sequence[str]) -> str:
    return next((name for name in models if not name.endswith("*")), "sim")
