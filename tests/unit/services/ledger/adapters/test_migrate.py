from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Dialect
from sqlalchemy.dialects.postgresql import asyncpg
from sqlalchemy.dialects.sqlite import aiosqlite

from mesh.clock import VirtualClock
from mesh.errors import Reason, TollwayError
from mesh.metrics import NoMetrics
from mesh.tracing import NoTracer
from services.ledger.adapters.migrate import _MIGRATIONS
from services.ledger.adapters.rows import encoder
from services.ledger.adapters.schema import request_logs
from services.ledger.adapters.store import open_store
from services.ledger.bootstrap import start
from services.ledger.settings import DatabaseUrl, LedgerSettings
from tests.unit.services.ledger.budgeting import create, lease, spent
from tests.unit.services.ledger.conftest import POSTGRESQL, SQLITE, Ledger, StartLedger, ask, on_sqlite
from tests.unit.services.ledger.samples import NOW, attempt, priced, unsettled
from tollway.ledger.v1.ledger_pb2 import (
    ATTEMPT_KIND_CACHE_HIT,
    PRICE_SOURCE_CATALOGUE,
    Attempt,
    GetSpendRequest,
    ListPricesRequest,
    ListUsageRequest,
    Price,
)

DAY = 86_400.0


@pytest.fixture(params=[SQLITE, POSTGRESQL])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> LedgerSettings:
    """Of a ledger on a database with nothing in it."""
    if request.param == SQLITE:
        return LedgerSettings(tmp_path / "empty" / "ledger.db")
    return LedgerSettings(request.getfixturevalue("new_postgres")("template0"))


async def test_starting_again_keeps_what_is_there(start_ledger: StartLedger) -> None:
    await (await start_ledger()).record(attempt())
    again = await start_ledger()
    assert again.sql("SELECT count(*) FROM request_logs") == [(1,)]
    assert again.sql("SELECT count(*) FROM model_pricing") == [(4,)]


async def test_ledgers_that_start_at_once_on_a_new_database_migrate_it_once(empty: LedgerSettings) -> None:
    runtimes = await asyncio.gather(
        *(start(empty, clock=VirtualClock(), tracer=NoTracer(), metrics=NoMetrics()) for _ in range(4))
    )
    for runtime in runtimes:
        await runtime.close()
    assert ask(empty.database, "SELECT count(*) FROM model_pricing") == [(4,)]


async def test_a_database_of_a_newer_version_is_left_alone_with_a_word_why(
    ledger: Ledger, start_ledger: StartLedger
) -> None:
    async with ledger.runtime._store.transaction():
        await ledger.runtime._store.execute_many("UPDATE alembic_version SET version_num = '9999'", [()])
    with pytest.raises(TollwayError, match=r"has schema 9999, .* newer") as raised:
        await start_ledger()
    assert raised.value.reason is Reason.SERVICE_UNAVAILABLE


async def test_a_migration_that_fails_leaves_nothing_behind(
    empty: LedgerSettings, start_ledger: StartLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise RuntimeError("out of luck")

    with monkeypatch.context() as patch:
        patch.setattr("alembic.operations.Operations.bulk_insert", fail)
        with pytest.raises(RuntimeError, match="out of luck"):
            await start_ledger(empty)
    assert (await start_ledger(empty)).sql("SELECT count(*) FROM model_pricing") == [(4,)]


@on_sqlite
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


async def alembic(database: Path | DatabaseUrl, step: Callable[[Config, str], None], revision: str) -> None:
    """Takes a database to a schema of some version, up or down."""

    def run(connection: Connection) -> None:
        config = Config(attributes={"connection": connection})
        config.set_main_option("script_location", str(_MIGRATIONS))
        step(config, revision)

    if isinstance(database, Path):
        database.parent.mkdir(exist_ok=True)
    store = open_store(database, 5)
    async with store.transaction(), store.connection() as connection:
        await connection.run_sync(run)
    await store.close()


def columns(database: Path | DatabaseUrl, table: str) -> set[str]:
    if isinstance(database, Path):
        return {row[1] for row in ask(database, f"PRAGMA table_info({table})")}
    return {
        row[0]
        for row in ask(database, "SELECT column_name FROM information_schema.columns WHERE table_name = ?", [table])
    }


def tables(database: Path | DatabaseUrl) -> set[str]:
    if isinstance(database, Path):
        return {row[0] for row in ask(database, "SELECT name FROM sqlite_master WHERE type = 'table'")}
    return {row[0] for row in ask(database, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")}


def write_as_version_1(database: Path | DatabaseUrl, *attempts: Attempt) -> None:
    """Rows as the first release wrote them."""
    every = request_logs.columns.keys()
    names = [name for name in every if name not in ("kind", "service_tier")]
    for each in attempts:
        row = dict(zip(every, encoder(dialect_of(database))(each), strict=True))
        marks = ", ".join("?" * len(names))
        ask(database, f"INSERT INTO request_logs ({', '.join(names)}) VALUES ({marks})", [row[name] for name in names])


def dialect_of(database: Path | DatabaseUrl) -> Dialect:
    return aiosqlite.dialect() if isinstance(database, Path) else asyncpg.dialect()  # type: ignore[no-untyped-call]


async def test_a_book_of_the_first_release_is_posted_and_totalled_as_if_it_had_been_all_along(
    empty: LedgerSettings, start_ledger: StartLedger
) -> None:
    old = [
        priced(NOW - number * 20 * DAY, tokens=(number, 2), tenant="a/b%", attempt_number=1 + number % 2)
        for number in range(5)
    ]
    old += [unsettled(priced()), priced(usage=None, cost_nanos=None, price_version=None, tags=["x", "ü"])]
    await alembic(empty.database, command.upgrade, "0001")
    write_as_version_1(empty.database, *old)
    ledger = await start_ledger(empty)
    assert (await ledger.audit())[0] == []
    total = (await ledger.stub.GetSpend(GetSpendRequest())).total
    assert (total.attempts, total.requests, total.unsettled_attempts) == (7, 5, 1)
    assert total.cost_nanos == sum(each.cost_nanos for each in old)
    listed = {each.attempt_id: each for each in (await ledger.stub.ListUsage(ListUsageRequest())).attempts}
    assert [listed[each.attempt_id].usage for each in old] == [each.usage for each in old]
    assert {each.kind for each in listed.values()} == {0}, "all of them are calls"
    # What comes now is added to the totals that the migration made, under the same keys.
    before = ledger.sql("SELECT count(*) FROM daily_totals")
    await ledger.record(priced(tokens=(9, 2), tenant="a/b%"))
    assert ledger.sql("SELECT count(*) FROM daily_totals") == before
    assert (await ledger.audit())[0] == []


async def test_what_a_ledger_of_the_first_release_still_writes_is_there_and_found_to_be_unposted(
    ledger: Ledger,
) -> None:
    old = priced()
    write_as_version_1(ledger.database, old)
    assert ledger.sql("SELECT kind FROM request_logs") == [("call",)]
    findings, _ = await ledger.audit()
    assert {finding.subject for finding in findings} == {old.attempt_id, "2023-11-14"}


async def test_the_way_back_loses_nothing_but_what_came_since_and_can_be_gone_again(
    empty: LedgerSettings, start_ledger: StartLedger
) -> None:
    ledger = await start_ledger(empty)
    hit = priced(kind=ATTEMPT_KIND_CACHE_HIT, cost_nanos=0, price_version=None, usage=None)
    await ledger.record(priced(), priced(NOW - 40 * DAY), hit)
    await ledger.runtime._store.close()
    said = "SELECT attempt_id, cost_nanos, status FROM request_logs ORDER BY 1"
    before = ask(empty.database, said)
    await alembic(empty.database, command.downgrade, "0002")
    assert tables(empty.database) == {"alembic_version", "model_pricing", "request_logs"}
    assert ask(empty.database, said) == before
    await alembic(empty.database, command.downgrade, "0001")
    assert "kind" not in columns(empty.database, "request_logs")
    assert ask(empty.database, said) == before
    await alembic(empty.database, command.upgrade, "head")
    assert ask(empty.database, said) == before
    assert ask(empty.database, "SELECT DISTINCT kind FROM request_logs") == [("call",)]


async def test_prices_of_the_release_before_hold_on_and_the_way_back_keeps_them_but_not_the_catalogues(
    empty: LedgerSettings, start_ledger: StartLedger
) -> None:
    await alembic(empty.database, command.upgrade, "0003")
    ask(empty.database, "UPDATE model_pricing SET cached_input_cost_per_1m_tokens = 5 WHERE provider_name = 'sim'")
    ledger = await start_ledger(empty)
    await ledger.record(priced())
    listed = (await ledger.stub.ListPrices(ListPricesRequest())).prices
    assert {(each.source, each.catalogue_edition, each.withdrawn) for each in listed} == {(0, 0, False)}
    assert listed[-1].cached_input_nanos_per_1m == 5
    prices = ledger.runtime._learning._prices
    said = Price(version="v#1", model_name="m", source=PRICE_SOURCE_CATALOGUE, catalogue_edition=1)
    async with ledger.runtime._store.transaction():
        await prices.add(said)
        await prices.add(Price(version="w", model_name="m", withdrawn=True))
    assert (await ledger.audit())[0] == []
    await ledger.runtime._store.close()
    await alembic(empty.database, command.downgrade, "0003")
    assert ask(empty.database, "SELECT count(*) FROM model_pricing") == [(4,)]
    assert "service_tier" not in columns(empty.database, "request_logs")
    assert "source" not in columns(empty.database, "model_pricing")
    await alembic(empty.database, command.upgrade, "head")
    assert ask(empty.database, "SELECT DISTINCT service_tiers, source FROM model_pricing") == [("[]", "")]


async def test_the_way_back_to_the_beginning_leaves_an_empty_database(empty: LedgerSettings) -> None:
    await alembic(empty.database, command.upgrade, "head")
    await alembic(empty.database, command.downgrade, "base")
    assert tables(empty.database) == {"alembic_version"}


async def test_budgets_go_with_their_migration_and_the_rows_stay(
    empty: LedgerSettings, start_ledger: StartLedger
) -> None:
    ledger = await start_ledger(empty)
    await create(ledger)
    await lease(ledger)
    await ledger.record(spent(0), priced())
    await ledger.runtime._store.close()
    await alembic(empty.database, command.downgrade, "0003")
    assert not {name for name in tables(empty.database) if name.startswith("budget") or name == "outbox"}
    assert ask(empty.database, "SELECT count(*) FROM request_logs") == [(2,)]
    again = await start_ledger(empty)
    await create(again)
    await again.record(spent(5_000_000))
    assert (await again.audit())[0] == []


_START = """
import asyncio, sys
from pathlib import Path
from mesh.clock import SystemClock
from mesh.metrics import NoMetrics
from mesh.tracing import NoTracer
from services.ledger.bootstrap import start
from services.ledger.settings import LedgerSettings

async def main():
    settings = LedgerSettings(Path(sys.argv[1]))
    runtime = await start(settings, clock=SystemClock(), tracer=NoTracer(), metrics=NoMetrics())
    await runtime.close()

asyncio.run(main())
heavy = ("alembic", "pygments", "sqlalchemy.dialects.postgresql")
print(*(name for name in heavy if sys.modules.get(name)))
"""


def test_a_start_loads_nothing_that_only_migrations_or_another_database_need(tmp_path: Path) -> None:
    def loaded() -> list[str]:
        command = [sys.executable, "-c", _START, str(tmp_path / "ledger.db")]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()

    assert loaded() == ["alembic", "sqlalchemy.dialects.postgresql"]  # the first one, which migrates
    assert loaded() == []
