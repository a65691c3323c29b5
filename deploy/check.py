#!/usr/bin/env python3
"""Checks docker-compose.yml with a real engine: up, one request, its trace in Jaeger, its row in the ledger, down.

python3 deploy/check.py [--keep]

Needs a container engine and its compose plugin; nothing of this project need be installed. --keep leaves the mesh up.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
GATEWAY, JAEGER = "http://127.0.0.1:8080", "http://127.0.0.1:16686"
SERVICES = {"tollway-gateway", "tollway-router", "tollway-providers"}
PATIENCE = 30.0

Span = dict[str, Any]


def compose(*arguments: str) -> str:
    command = ["docker", "compose", "--project-name", "tollway-check", *arguments]  # volumes of its own
    return subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout


def ask() -> tuple[str, str]:
    """A streamed answer's trace id, and its whole body."""
    question = {"model": "sim", "stream": True, "messages": [{"role": "user", "content": "Hello!"}]}
    request = urllib.request.Request(f"{GATEWAY}/v1/chat/completions", json.dumps(question).encode())
    request.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(request, timeout=10) as response:
        return response.headers["x-tollway-trace-id"], response.read().decode()


def trace(trace_id: str) -> tuple[list[Span], dict[str, str]]:
    """The trace's spans, and the service of each of its processes, once all services have sent theirs."""
    until = time.monotonic() + PATIENCE
    while True:
        spans, names = _found(trace_id)
        if set(names.values()) >= SERVICES:
            return spans, names
        if time.monotonic() > until:
            sys.exit(f"Jaeger has spans of {sorted(names.values())} in trace {trace_id}, not of {sorted(SERVICES)}")
        time.sleep(0.5)


def _found(trace_id: str) -> tuple[list[Span], dict[str, str]]:
    try:
        with urllib.request.urlopen(f"{JAEGER}/api/traces/{trace_id}", timeout=5) as response:
            (found,) = json.load(response)["data"]
    except urllib.error.HTTPError:  # not there yet
        return [], {}
    return found["spans"], {key: process["serviceName"] for key, process in found["processes"].items()}


def draw(spans: list[Span], names: dict[str, str]) -> str:
    """The spans as a tree, a line each. Exits where they are not one tree: a span whose parent is missing."""
    children: dict[str, list[Span]] = {}
    for span in sorted(spans, key=lambda span: span["startTime"]):
        parents = [reference["spanID"] for reference in span["references"] if reference["refType"] == "CHILD_OF"]
        children.setdefault(parents[0] if parents else "", []).append(span)
    lines = []

    def visit(parent: str, depth: int) -> None:
        for span in children.get(parent, []):
            kind = next((tag["value"] for tag in span["tags"] if tag["key"] == "span.kind"), "internal")
            lines.append(f"{'  ' * depth}{span['operationName']}  {kind}, {names[span['processID']]}")
            visit(span["spanID"], depth + 1)

    visit("", 0)
    if len(lines) != len(spans) or len(children[""]) != 1:
        sys.exit(f"the {len(spans)} spans are not one tree:\n" + "\n".join(lines))
    return "\n".join(lines)


def booked(trace_id: str) -> Span:
    """The request's row in the ledger."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        rows = compose("exec", "-T", "ledger", "tollway", "spend", "--rows", "20", "--json").splitlines()
        for row in map(json.loads, rows):
            if trace_id in row.values():
                return dict(row)
        time.sleep(0.5)
    sys.exit(f"no row in the ledger for trace {trace_id}")


def main() -> None:
    compose("up", "--build", "--detach", "--wait")
    try:
        trace_id, body = ask()
        if not body.rstrip().endswith("data: [DONE]"):
            sys.exit(f"the answer has no end mark:\n{body}")
        print(draw(*trace(trace_id)))
        print(f"booked: {booked(trace_id)}")
        print(f"seen in Jaeger: {JAEGER}/trace/{trace_id}")
    finally:
        if "--keep" not in sys.argv:
            compose("down", "--volumes")


if __name__ == "__main__":
    main()
