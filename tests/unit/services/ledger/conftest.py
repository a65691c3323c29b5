"""A ledger on a real file, reached through unmodified stubs."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mesh.channels import InProcessChannel, InProcessServer
from mesh.clock import VirtualClock
from mesh.interceptors.draining import Draining
from mesh.interceptors.errors import Errors
from mesh.metrics import Labels, NoMetrics
from mesh.tracing import NoTracer
from services.ledger.bootstrap import LedgerRuntime, start
from services.ledger.settings import LedgerSettings
from tollway.ledger.v1.ledger_pb2 import Attempt, RecordAttemptsRequest, RecordedAttempt
from tollway.ledger.v1.ledger_pb2_grpc import LedgerServiceStub

if TYPE_CHECKING:  # the stubs' types know it, the module does not
    from tollway.ledger.v1.ledger_pb2_grpc import LedgerServiceAsyncStub


class CountingMetrics(NoMetrics):
    """Remembers what was counted, by name and outcome."""

    def __init__(self) -> None:
        self.counts: dict[tuple[str, str], int] = {}

    def count(self, name: str, value: int, labels: Labels) -> None:
        key = name, str(labels["outcome"])
        self.counts[key] = self.counts.get(key, 0) + value


@dataclass
class Ledger:
    """A ledger that runs."""

    runtime: LedgerRuntime
    stub: LedgerServiceAsyncStub
    server: InProcessServer
    draining: Draining
    clock: VirtualClock
    metrics: CountingMetrics
    database: Path

    async def record(self, *attempts: Attempt) -> list[RecordedAttempt]:
        return list((await self.stub.RecordAttempts(RecordAttemptsRequest(attempts=attempts))).results)

    def sql(self, query: str, *parameters: Any) -> list[Any]:
        """What the file says to somebody else."""
        connection = sqlite3.connect(self.database)
        try:
            return connection.execute(query, parameters).fetchall()
        finally:
            connection.close()


StartLedger = Callable[..., Awaitable[Ledger]]


@pytest.fixture
def settings(tmp_path: Path) -> LedgerSettings:
    return LedgerSettings(tmp_path / "data" / "ledger.db")


@pytest.fixture
async def start_ledger(settings: LedgerSettings) -> AsyncIterator[StartLedger]:
    """Starts ledgers on one file, each with settings of its own."""
    started: list[Ledger] = []

    async def start_(its: LedgerSettings = settings, clock: VirtualClock | None = None) -> Ledger:
        clock, metrics, draining = clock or VirtualClock(), CountingMetrics(), Draining()
        runtime = await start(its, clock=clock, tracer=NoTracer(), metrics=metrics)
        server = InProcessServer([Errors(), draining])
        runtime.register(server)
        stub: LedgerServiceAsyncStub = LedgerServiceStub(InProcessChannel(server))
        started.append(Ledger(runtime, stub, server, draining, clock, metrics, its.database))
        return started[-1]

    yield start_
    for ledger in started:
        await ledger.server.stop(None)
        await ledger.runtime.close()


@pytest.fixture
async def ledger(start_ledger: StartLedger) -> Ledger:
    return await start_ledger()
