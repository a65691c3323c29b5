from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine, inspect

from mesh.clock import VirtualClock
from mesh.errors import Reason, TollwayError
from mesh.metrics import NoMetrics
from mesh.tracing import NoTracer
from services.ledger.adapters.migrate import _MIGRATIONS
from services.ledger.adapters.schema import request_logs
from services.ledger.bootstrap import start
from services.ledger.settings import LedgerSettings
from tests.unit.services.ledger.conftest import Ledger, StartLedger
from tests.unit.services.ledger.samples import attempt
from tollway.ledger.v1.ledger_pb2 import ATTEMPT_KIND_CACHE_HIT, ATTEMPT_KIND_HEDGE, ListUsageRequest


async def test_starting_again_keeps_what_is_there(start_ledger: StartLedger) -> None:
    await (await start_ledger()).record(attempt())
    again = await start_ledger()
    assert again.sql("SELECT count(*) FROM request_logs") == [(1,)]
    assert again.sql("SELECT count(*) FROM model_pricing") == [(4,)]


async def test_ledgers_that_start_at_once_on_a_new_file_migrate_it_once(settings: LedgerSettings) -> None:
    for number in range(3):
        here = LedgerSettings(settings.database.with_name(f"{number}.db"))
        runtimes = await asyncio.gather(
            *(start(here, clock=VirtualClock(), tracer=NoTracer(), metrics=NoMetrics()) for _ in range(4))
        )
        for runtime in runtimes:
            await runtime.close()


async def test_a_database_of_a_newer_version_is_left_alone_with_a_word_why(
    ledger: Ledger, start_ledger: StartLedger
) -> None:
    async with ledger.runtime._store.transaction():
        await ledger.runtime._store.execute_many("UPDATE alembic_version SET version_num = '9999'", [()])
    with pytest.raises(TollwayError, match=r"has schema 9999, .* newer") as raised:
        await start_ledger()
    assert raised.value.reason is Reason.SERVICE_UNAVAILABLE


async def test_a_migration_that_fails_leaves_nothing_behind(
    settings: LedgerSettings, start_ledger: StartLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise RuntimeError("out of luck")

    with monkeypatch.context() as patch:
        patch.setattr("alembic.operations.Operations.bulk_insert", fail)
        with pytest.raises(RuntimeError, match="out of luck"):
            await start_ledger()
    assert (await start_ledger()).sql("SELECT count(*) FROM model_pricing") == [(4,)]


async def test_a_start_without_migrations_does_without_alembic(ledger: Ledger) -> None:
    program = f"""
import asyncio, pathlib, sys
from mesh.clock import SystemClock
from mesh.metrics import NoMetrics
from mesh.tracing import NoTracer
from services.ledger.bootstrap import LedgerSettings, start

async def main():
    settings = LedgerSettings(pathlib.Path({str(ledger.database)!r}))
    ledger = await start(settings, clock=SystemClock(), tracer=NoTracer(), metrics=NoMetrics())
    await ledger.close()

asyncio.run(main())
print("alembic" in sys.modules)
"""
    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stdout == "False\n"


def alembic(database: Path, step: Callable[[Config, str], None], revision: str) -> None:
    """Takes a database to a schema of some version, up or down."""
    database.parent.mkdir(exist_ok=True)
    engine = create_engine(f"sqlite:///{database}")
    with engine.begin() as connection:
        config = Config(attributes={"connection": connection})
        config.set_main_option("script_location", str(_MIGRATIONS))
        step(config, revision)
    engine.dispose()


def rows(database: Path, query: str) -> list[Any]:
    connection = sqlite3.connect(database)
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


def write_as_version_1(database: Path, *attempt_ids: str) -> None:
    """Rows as the first release wrote them."""
    empty: dict[str, Any] = {column.name: "" for column in request_logs.columns if column.name != "kind"}
    empty |= {column.name: None for column in request_logs.columns if column.nullable}
    said = {"state": "settled", "status": "ok", "provenance": "provider_reported", "tags": "[]", "streamed": 1}
    connection = sqlite3.connect(database)
    with connection:
        for attempt_id in attempt_ids:
            row = empty | said | {
                "attempt_id": attempt_id, "timestamp": "2026-11-20 10:00:00.000000", "attempt_number": 1,
                "input_tokens": 10, "cost_nanos": 5, "price_version": "v1",
            }  # fmt: skip
            row |= {name: 0 for name in row if name.endswith("_tokens") and row[name] is None}
            marks = ", ".join("?" * len(row))
            connection.execute(f"INSERT INTO request_logs ({', '.join(row)}) VALUES ({marks})", list(row.values()))
    connection.close()


async def test_a_database_of_the_first_release_keeps_its_rows_which_are_all_of_calls(
    settings: LedgerSettings, start_ledger: StartLedger
) -> None:
    old = attempt().attempt_id
    alembic(settings.database, command.upgrade, "0001")
    write_as_version_1(settings.database, old)
    ledger = await start_ledger()
    hit = attempt(kind=ATTEMPT_KIND_HEDGE)
    await ledger.record(hit)
    listed = {each.attempt_id: each for each in (await ledger.stub.ListUsage(ListUsageRequest())).attempts}
    assert listed.keys() == {old, hit.attempt_id}
    assert (listed[old].kind, listed[old].cost_nanos, listed[old].usage.input_tokens) == (0, 5, 10)
    assert dict(ledger.sql("SELECT attempt_id, kind FROM request_logs")) == {old: "call", hit.attempt_id: "hedge"}


async def test_a_ledger_of_the_first_release_may_still_write_to_a_database_that_has_moved_on(
    settings: LedgerSettings, start_ledger: StartLedger
) -> None:
    ledger = await start_ledger()
    write_as_version_1(settings.database, attempt().attempt_id)
    assert ledger.sql("SELECT kind FROM request_logs") == [("call",)]


async def test_the_way_back_loses_nothing_but_the_kind_and_can_be_gone_again(
    settings: LedgerSettings, start_ledger: StartLedger
) -> None:
    ledger = await start_ledger()
    hit = attempt(
        kind=ATTEMPT_KIND_CACHE_HIT, cost_nanos=0, price_version=None, usage=None
    )  # fmt: skip
    await ledger.record(attempt(), hit)
    await ledger.runtime._store.close()
    before = rows(settings.database, "SELECT attempt_id, cost_nanos, status FROM request_logs")
    alembic(settings.database, command.downgrade, "0001")
    assert "kind" not in {row[1] for row in rows(settings.database, "PRAGMA table_info(request_logs)")}
    assert rows(settings.database, "SELECT attempt_id, cost_nanos, status FROM request_logs") == before
    alembic(settings.database, command.upgrade, "head")
    assert rows(settings.database, "SELECT DISTINCT kind FROM request_logs") == [("call",)]


def test_the_way_back_to_the_beginning_leaves_an_empty_database(settings: LedgerSettings) -> None:
    alembic(settings.database, command.upgrade, "head")
    alembic(settings.database, command.downgrade, "base")
    engine = create_engine(f"sqlite:///{settings.database}")
    assert inspect(engine).get_table_names() == ["alembic_version"]
    engine.dispose()
