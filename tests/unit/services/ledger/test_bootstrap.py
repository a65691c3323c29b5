from __future__ import annotations

import asyncio
import signal
import sqlite3
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from mesh.clock import VirtualClock
from mesh.errors import TollwayError
from mesh.metrics import NoMetrics
from mesh.tracing import NoTracer
from services.ledger.bootstrap import LedgerRuntime, open_reader, start
from services.ledger.handlers.audit_ledger import AuditLedger
from services.ledger.handlers.get_spend import GetSpend
from services.ledger.handlers.list_prices import ListPrices
from services.ledger.handlers.list_usage import ListUsage
from services.ledger.settings import DatabaseUrl, LedgerSettings
from tests.unit.services.ledger.conftest import Ledger, ask, on_sqlite
from tests.unit.services.ledger.samples import attempt
from tollway.ledger.v1.ledger_pb2 import Price, SpendDimension, UsageFilter


async def start_on(settings: LedgerSettings) -> LedgerRuntime:
    return await start(settings, clock=VirtualClock(), tracer=NoTracer(), metrics=NoMetrics())


def assert_ending(threads: set[threading.Thread]) -> None:
    """That these threads have ended, or do so soon."""
    for thread in threads:
        thread.join(5)
        assert not thread.is_alive()


async def test_the_file_can_be_read_while_the_service_runs(ledger: Ledger, settings: LedgerSettings) -> None:
    first, second = attempt(), attempt()
    await ledger.record(first)
    async with await open_reader(settings) as reader:
        assert list((await reader.send(ListUsage(UsageFilter()))).attempts) == [first]
        await ledger.record(second)
        assert (await reader.send(GetSpend(UsageFilter()))).total.attempts == 2
        assert len((await reader.send(ListPrices())).prices) == 4


@on_sqlite
async def test_the_file_can_be_read_after_the_service_has_gone(ledger: Ledger, settings: LedgerSettings) -> None:
    await ledger.record(attempt())
    await ledger.runtime.close()
    assert isinstance(settings.database, Path)
    before = sorted(path.name for path in settings.database.parent.iterdir())
    async with await open_reader(settings) as reader:
        assert (await reader.send(GetSpend(UsageFilter()))).total.attempts == 1
    assert before == ["ledger.db"], "a ledger that is closed leaves one file"


async def test_a_question_to_the_file_is_checked_as_one_to_the_service(
    ledger: Ledger, settings: LedgerSettings
) -> None:
    async with await open_reader(settings) as reader:
        with pytest.raises(TollwayError, match="group_by"):
            await reader.send(GetSpend(UsageFilter(), [SpendDimension.ValueType(99)]))


async def test_where_no_ledger_is_reading_says_so_and_makes_none(tmp_path: Path) -> None:
    with pytest.raises(TollwayError, match="there is no ledger at"):
        await open_reader(LedgerSettings(tmp_path / "none" / "ledger.db"))
    assert not (tmp_path / "none").exists()


async def test_a_file_that_is_not_migrated_is_not_read(tmp_path: Path) -> None:
    sqlite3.connect(tmp_path / "ledger.db").execute("CREATE TABLE other (x)")
    with pytest.raises(TollwayError, match="has schema none"):
        await open_reader(LedgerSettings(tmp_path / "ledger.db"))


async def test_an_empty_database_is_not_read(new_postgres: Callable[[str], DatabaseUrl]) -> None:
    with pytest.raises(TollwayError, match="has schema none"):
        await open_reader(LedgerSettings(new_postgres("template0")))


async def test_a_newer_file_is_not_read(ledger: Ledger, settings: LedgerSettings) -> None:
    async with ledger.runtime._store.transaction():
        await ledger.runtime._store.execute_many("UPDATE alembic_version SET version_num = '9999'", [()])
    with pytest.raises(TollwayError, match="newer"):
        await open_reader(settings)


async def test_a_start_that_fails_leaves_no_thread_behind(settings: LedgerSettings) -> None:
    before = set(threading.enumerate())
    with pytest.raises(TollwayError):
        await start_on(replace(settings, prices=(Price(),)))
    assert_ending(set(threading.enumerate()) - before)


async def test_a_data_directory_that_cannot_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(TollwayError, match="folder cannot be made"):
        await start_on(LedgerSettings(tmp_path / "file" / "ledger.db"))


@on_sqlite
async def test_closing_leaves_no_task_and_no_thread_behind(settings: LedgerSettings) -> None:
    tasks, threads = asyncio.all_tasks(), set(threading.enumerate())
    ledger = await start_on(settings)
    made = set(threading.enumerate()) - threads
    assert made
    await ledger.close()
    assert asyncio.all_tasks() == tasks
    assert_ending(made)


BOOK_UNTIL_KILLED = """
import asyncio, pathlib, sys
from mesh.clock import SystemClock
from mesh.metrics import NoMetrics
from mesh.tracing import NoTracer
from services.ledger.bootstrap import start
from services.ledger.handlers.record_attempts import RecordAttempts
from services.ledger.settings import DatabaseUrl, LedgerSettings
from tests.unit.services.ledger.samples import priced

async def main():
    where = sys.argv[1]
    settings = LedgerSettings(DatabaseUrl(where) if "://" in where else pathlib.Path(where))
    ledger = await start(settings, clock=SystemClock(), tracer=NoTracer(), metrics=NoMetrics())
    while True:
        batch = [priced() for _ in range(50)]
        await ledger._servicer._mediator.send(RecordAttempts(batch))
        for one in batch:
            print(one.attempt_id, flush=one is batch[-1])

asyncio.run(main())
"""


async def test_what_was_acknowledged_is_there_after_a_kill(settings: LedgerSettings) -> None:
    where = settings.database.url if isinstance(settings.database, DatabaseUrl) else str(settings.database)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", BOOK_UNTIL_KILLED, where, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    acknowledged = [(await process.stdout.readline()).decode().strip() for _ in range(175)]  # in the middle of a batch
    process.send_signal(signal.SIGKILL)
    rest = (await process.stdout.read()).decode()
    acknowledged += [line for line in rest.splitlines(keepends=False) if len(line) == 36]
    await process.wait()
    async with await open_reader(settings) as reader:
        assert (await reader.send(GetSpend(UsageFilter()))).total.attempts >= len(acknowledged)
        assert not [response.findings async for response in reader.stream(AuditLedger()) if response.findings]
    ledger = await start_on(settings)
    await ledger.close()
    booked = {row[0] for row in ask(settings.database, "SELECT attempt_id FROM request_logs")}
    if isinstance(settings.database, Path):
        assert ask(settings.database, "PRAGMA integrity_check") == [("ok",)]
    assert set(acknowledged) <= booked
    assert len(booked) % 50 == 0, "all of a batch, or nothing"
