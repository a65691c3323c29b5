"""Ledgers on real databases, reached through unmodified stubs. A test that takes one runs on each kind of database."""

from __future__ import annotations

import asyncio
import itertools
import os
import re
import shutil
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from mesh.channels import InProcessChannel, InProcessServer
from mesh.clock import VirtualClock
from mesh.interceptors.draining import Draining
from mesh.interceptors.errors import Errors
from mesh.metrics import Labels, NoMetrics
from mesh.tracing import NoTracer
from services.ledger.adapters.migrate import migrate
from services.ledger.adapters.store import open_store
from services.ledger.bootstrap import LedgerRuntime, start
from services.ledger.settings import DatabaseUrl, LedgerSettings
from tests import postgres
from tollway.ledger.v1.ledger_pb2 import (
    Attempt,
    AuditFinding,
    AuditLedgerRequest,
    AuditLedgerResponse,
    RecordAttemptsRequest,
    RecordedAttempt,
)
from tollway.ledger.v1.ledger_pb2_grpc import LedgerServiceStub

if TYPE_CHECKING:  # the stubs' types know it, the module does not
    from tollway.ledger.v1.ledger_pb2_grpc import LedgerServiceAsyncStub

SQLITE, POSTGRESQL = "sqlite", "postgresql"
on_sqlite = pytest.mark.parametrize("settings", [SQLITE], indirect=True)
"""For what is about a file."""
on_postgresql = pytest.mark.parametrize("settings", [POSTGRESQL], indirect=True)
"""For what only a server has."""

_numbers = itertools.count()
_TEMPLATE = f"tollway_template_{os.getpid()}"


class CountingMetrics(NoMetrics):
    """Remembers what was counted, by name and outcome, threshold or provider, and what gauges stand at."""

    def __init__(self) -> None:
        self.counts: dict[tuple[str, str], int] = {}
        self.gauges: dict[str, float] = {}

    def count(self, name: str, value: int, labels: Labels) -> None:
        kind = next(each for each in ("outcome", "threshold", "tollway.provider") if each in labels)
        key = name, str(labels[kind])
        self.counts[key] = self.counts.get(key, 0) + value

    def gauge(self, name: str, value: float, labels: Labels) -> None:
        self.gauges[name] = value


def ask(database: Path | DatabaseUrl, words: str, parameters: Sequence[Any] = ()) -> list[Any]:
    """What the database says to somebody else. Places are written as `?`; ids come as text."""
    if isinstance(database, DatabaseUrl):
        places = itertools.count(1)
        rows = postgres.query(database.url, re.sub(r"\?", lambda _: f"${next(places)}", words), *parameters)
        return [tuple(str(value) if isinstance(value, UUID) else value for value in row) for row in rows]
    with closing(sqlite3.connect(database)) as connection, connection:
        return connection.execute(words, parameters).fetchall()


@dataclass
class Ledger:
    """A ledger that runs."""

    runtime: LedgerRuntime
    stub: LedgerServiceAsyncStub
    server: InProcessServer
    draining: Draining
    clock: VirtualClock
    metrics: CountingMetrics
    database: Path | DatabaseUrl

    async def record(self, *attempts: Attempt, journal_id: str = "") -> list[RecordedAttempt]:
        request = RecordAttemptsRequest(attempts=attempts, journal_id=journal_id)
        return list((await self.stub.RecordAttempts(request)).results)

    def sql(self, words: str, *parameters: Any) -> list[Any]:
        return ask(self.database, words, parameters)

    async def reshape(self, words: str) -> None:
        """Changes tables, which has to wait for whoever reads them: the ledger goes on meanwhile."""
        await asyncio.to_thread(self.sql, words)

    async def audit(self) -> tuple[list[AuditFinding], AuditLedgerResponse]:
        """What does not agree, and the last word."""
        findings: list[AuditFinding] = []
        last = AuditLedgerResponse()
        async for last in self.stub.AuditLedger(AuditLedgerRequest()):
            findings += last.findings
        assert last.done
        return findings, last


StartLedger = Callable[..., Awaitable[Ledger]]


@pytest.fixture(scope="session")
def postgres_template(postgres_url: str) -> Iterator[str]:
    """The name of a database that is migrated, for others to be copied from."""
    postgres.query(postgres_url, f"CREATE DATABASE {_TEMPLATE}")

    async def make() -> None:
        store = open_store(DatabaseUrl(postgres.database(postgres_url, _TEMPLATE)), 5.0)
        await migrate(store)
        await store.close()

    postgres.elsewhere(make)
    yield _TEMPLATE
    postgres.query(postgres_url, f"DROP DATABASE {_TEMPLATE} WITH (FORCE)")


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database in a file that is migrated, for others to be copied from."""
    file = tmp_path_factory.mktemp("template") / "ledger.db"

    async def make() -> None:
        store = open_store(file, 5.0)
        await migrate(store)
        await store.close()

    postgres.elsewhere(make)
    return file


@pytest.fixture
def new_postgres(request: pytest.FixtureRequest) -> Iterator[Callable[[str], DatabaseUrl]]:
    """Makes databases, as copies of one of a name, which are gone after the test."""
    made: list[str] = []
    url: str = request.getfixturevalue("postgres_url")

    def make(template: str) -> DatabaseUrl:
        made.append(f"tollway_{os.getpid()}_{next(_numbers)}")
        postgres.query(url, f"CREATE DATABASE {made[-1]} TEMPLATE {template}")
        return DatabaseUrl(postgres.database(url, made[-1]))

    yield make
    for name in made:
        postgres.query(url, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(params=[SQLITE, POSTGRESQL])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> LedgerSettings:
    """Of a ledger on a database of its own, which is migrated already: that saves a second a test."""
    if request.param == SQLITE:
        file: Path = request.getfixturevalue("sqlite_template")
        (tmp_path / "data").mkdir()
        return LedgerSettings(shutil.copyfile(file, tmp_path / "data" / "ledger.db"))
    template: str = request.getfixturevalue("postgres_template")
    return LedgerSettings(request.getfixturevalue("new_postgres")(template))


@pytest.fixture
async def start_ledger(settings: LedgerSettings) -> AsyncIterator[StartLedger]:
    """Starts ledgers on one database, each with settings of its own."""
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


@pytest.fixture(params=[SQLITE, POSTGRESQL])
def new_book(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Path | DatabaseUrl]:
    """Makes an empty database each time it is called, of one kind and then of the other."""
    if request.param == POSTGRESQL:
        template, new_postgres = request.getfixturevalue("postgres_template"), request.getfixturevalue("new_postgres")
        return lambda: new_postgres(template)
    file: Path = request.getfixturevalue("sqlite_template")

    def copied() -> Path:
        (folder := tmp_path / str(next(_numbers))).mkdir()
        return shutil.copyfile(file, folder / "ledger.db")

    return copied
