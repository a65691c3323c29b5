"""Runs every cell of the fault matrix once, in one topology, and gathers what each came to from wherever it shows.

That is: what the client got, the calls that the provider saw, the ledger's rows, the spans as a collector has them, and
how the faulty deployments stand afterwards.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import httpx2

from tests.chaos.books import entries_in_journals
from tests.chaos.faults import CELLS, HOLD, LIMITS, RETRIES, Cell, Delivery, Provider
from tests.e2e.collector import Collector, Seen, collecting
from tests.e2e.processes import TOPOLOGIES, Mesh, Process, clean_environment, free_port
from tollway.router.v1.router_pb2 import DeploymentStatus, ListDeploymentsRequest
from tollway.router.v1.router_pb2_grpc import RouterServiceStub

AT_ONCE = 32
"""Cells under way."""
HANGS = 40.0
"""Seconds after which nobody waits any longer."""
PARENT = "b7ad6b7169203331"
QUESTION = {"messages": [{"role": "user", "content": "What does a gardener do in the rain?"}]}


@dataclass
class Outcome:
    """What a client got. `events` are those of a stream, without its end mark; `body` is a whole answer's."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: dict[str, Any] = field(default_factory=dict)
    events: list[dict[str, Any]] = field(default_factory=list)
    done: bool = False
    """Whether the end mark was the last thing."""
    seconds: float = 0.0
    hung: bool = False

    @property
    def text(self) -> str:
        if self.body:
            return "".join(choice["message"]["content"] for choice in self.body.get("choices", ()))
        return "".join(choice["delta"].get("content") or "" for choice in self._choices())

    @property
    def finishes(self) -> list[str]:
        choices = self.body.get("choices", ()) if self.body else self._choices()
        return [choice["finish_reason"] for choice in choices if choice.get("finish_reason")]

    @property
    def errors(self) -> list[dict[str, Any]]:
        return [each["error"] for each in (self.body, *self.events) if "error" in each]

    @property
    def receipt(self) -> dict[str, Any]:
        """The `tollway` object of a stream's last event."""
        return dict(self.events[-1].get("tollway", {})) if self.events else {}

    def _choices(self) -> list[dict[str, Any]]:
        return [choice for event in self.events for choice in event.get("choices", ())]


@dataclass(frozen=True)
class Row:
    """Of the ledger."""

    attempt_id: str
    deployment: str
    state: str
    status: str
    error_reason: str
    kind: str
    provenance: str


@dataclass
class Matrix:
    """What all cells of a topology came to. `calls` are the ids of the calls that the provider saw."""

    topology: str
    answer: str
    """What a healthy deployment says."""
    outcomes: dict[str, Outcome]
    calls: list[str]
    rows: dict[str, list[Row]]
    standings: dict[str, DeploymentStatus]
    collector: Collector

    def spans(self, cell: Cell, count: int) -> list[Seen]:
        return self.collector.trace(trace_id(cell), count)


def trace_id(cell: Cell) -> str:
    return f"{cell.number + 1:032x}"


@contextmanager
def ran(topology: str, folder: Path) -> Iterator[Matrix]:
    """Runs all cells in that topology."""
    sim = Process("sim", ["sim", "--port", str(port := free_port())], folder, clean_environment())
    sim.start()
    with collecting() as collector, socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # and nobody listens, nor can anybody else
        config = folder / "tollway.yaml"
        config.write_text(json.dumps(configuration(port, closed.getsockname()[1])))
        telemetry = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}
        mesh = TOPOLOGIES[topology](folder, config, **telemetry, OTEL_BSP_SCHEDULE_DELAY="200")
        try:
            mesh.wait_until_ready()
            answer = httpx2.post(f"http://127.0.0.1:{port}/v1/chat/completions", json={"model": "sim", **QUESTION})
            outcomes = asyncio.run(_ask_all(mesh))
            yield Matrix(
                topology,
                answer.json()["choices"][0]["message"]["content"],
                outcomes,
                [call for call in httpx2.get(f"http://127.0.0.1:{port}/_sim/calls").json()["calls"] if call],
                _booked(mesh),
                _standings(mesh),
                collector,
            )
        finally:
            statuses = mesh.stop()
            sim.stop()
        assert statuses == dict.fromkeys(statuses, 0), mesh.logs()


def configuration(sim: int, closed: int) -> dict[str, Any]:
    """A model for each cell, with deployments that no other cell has; `sim` and `closed` are ports."""
    upstream, nobody = ({"base_url": f"http://127.0.0.1:{port}/v1"} for port in (sim, closed))
    providers: dict[str, Any] = {Provider.UPSTREAM.value: upstream}
    for cell in CELLS:
        if cell.fault.provider is Provider.PAID:
            providers[cell.provider] = {**upstream, "api_key": f"key-of-{cell.name}"}
        elif cell.fault.provider is Provider.NOBODY:
            providers[cell.provider] = nobody
    return {
        "providers": providers,
        "models": {cell.name: {"deployments": list(_deployments(cell))} for cell in CELLS},
        "defaults": {"retries": RETRIES, "breaker": {"open_for": f"{HOLD}s", "window": f"{HOLD}s"}},
        "journal": {"ship_every": "50ms"},
    }


def _deployments(cell: Cell) -> Iterator[dict[str, Any]]:
    can = {"can": ["prefill"]} if cell.delivery is Delivery.PREFILL else {}
    limit = cell.shown.limit
    limits = {"timeouts": {limit: f"{LIMITS[limit] * 1000:.0f}ms"}} if limit else {}
    yield {"provider": cell.provider, "model": cell.model, **can, **limits}
    if cell.several:
        yield {"provider": Provider.UPSTREAM.value, "model": cell.healthy_model, **can}


async def _ask_all(mesh: Mesh) -> dict[str, Outcome]:
    turns = asyncio.Semaphore(AT_ONCE)
    slowest_first = sorted(CELLS, key=lambda cell: -bool(cell.shown.limit))
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        answers = [_ask(session, mesh, cell, turns) for cell in slowest_first]
        return dict(zip((cell.name for cell in slowest_first), await asyncio.gather(*answers), strict=True))


async def _ask(session: aiohttp.ClientSession, mesh: Mesh, cell: Cell, turns: asyncio.Semaphore) -> Outcome:
    outcome = Outcome()
    body = {"model": cell.name, "stream": cell.streamed, **QUESTION}
    headers = {"x-request-id": cell.name, "traceparent": f"00-{trace_id(cell)}-{PARENT}-01"}
    if cell.delivery is Delivery.ASSURED:
        headers["x-tollway-assured"] = "1"
    async with turns:
        began = time.monotonic()
        try:
            async with asyncio.timeout(HANGS):
                url = f"{mesh.base_url}/chat/completions"
                async with session.post(url, json=body, headers=headers) as answer:
                    outcome.status, outcome.headers = answer.status, dict(answer.headers)
                    _read(await answer.text(), outcome)
        except TimeoutError:
            outcome.hung = True
        outcome.seconds = time.monotonic() - began
    return outcome


def _read(text: str, outcome: Outcome) -> None:
    if not outcome.headers["Content-Type"].startswith("text/event-stream"):
        outcome.body = json.loads(text)
        return
    events = [event.removeprefix("data: ") for event in text.split("\n\n") if event]
    outcome.done = bool(events) and events[-1] == "[DONE]"
    outcome.events = [json.loads(event) for event in (events[:-1] if outcome.done else events)]


def _booked(mesh: Mesh, limit: float = 20.0) -> dict[str, list[Row]]:
    """The rows of each request, in order, once none is open and no journal holds anything back."""
    end = time.monotonic() + limit
    while entries_in_journals(mesh):
        assert time.monotonic() < end, f"{entries_in_journals(mesh)} not shipped\n{mesh.logs()}"
        time.sleep(0.05)
    booked: dict[str, list[Row]] = {}
    columns = ", ".join(Row.__dataclass_fields__)
    with closing(sqlite3.connect(f"file:{mesh.data_dir / 'ledger.db'}?mode=ro", uri=True, timeout=10)) as database:
        found = database.execute(f"SELECT request_id, {columns} FROM request_logs ORDER BY attempt_number")
        for request, *row in found:
            booked.setdefault(request, []).append(Row(*row))
    return booked


def _standings(mesh: Mesh) -> dict[str, DeploymentStatus]:
    with grpc.insecure_channel(mesh.grpc) as channel:
        found = RouterServiceStub(channel).ListDeployments(ListDeploymentsRequest(), timeout=10)
    return {status.deployment: status for status in found.deployments}
