from __future__ import annotations

import asyncio
import random
import sqlite3
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import asyncpg
import grpc
import pytest

from mesh.errors import Reason, TollwayError
from services.ledger.adapters.databases.sqlite import prepare
from services.ledger.adapters.store import Store, open_store
from services.ledger.settings import DatabaseUrl, LedgerSettings
from tests.unit.services.ledger.conftest import POSTGRESQL, SQLITE, Ledger, StartLedger, on_postgresql, on_sqlite
from tests.unit.services.ledger.samples import attempt, priced
from tollway.ledger.v1.ledger_pb2 import (
    RECORD_OUTCOME_RECORDED,
    GetSpendRequest,
    ListUsageRequest,
    Price,
    SetPriceRequest,
)


@pytest.fixture
async def impatient(start_ledger: StartLedger, settings: LedgerSettings) -> Ledger:
    """A ledger that waits for others for a moment only."""
    return await start_ledger(replace(settings, busy_timeout=0.02))


@pytest.fixture(params=[SQLITE, POSTGRESQL])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    """A store with nothing in it."""
    empty: Path | DatabaseUrl = tmp_path / "some.db"
    if request.param == POSTGRESQL:
        empty = request.getfixturevalue("new_postgres")("template0")
    store = open_store(empty, 0.02)
    yield store
    await store.close()


@on_sqlite
async def test_others_have_their_turns_while_a_large_batch_is_written(ledger: Ledger) -> None:
    turns, batch = 0, [priced() for _ in range(1000)]

    async def wait_for_turns() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    waiting = asyncio.create_task(wait_for_turns())
    await ledger.record(*batch)
    waiting.cancel()
    # A thousand rows have 46,000 parameters, and two postings each.
    assert turns > 20


@on_sqlite
async def test_a_store_that_another_process_holds_is_unavailable_and_then_books_the_same_batch(
    impatient: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    batch = [attempt(), attempt()]
    assert isinstance(impatient.database, Path)
    other = sqlite3.connect(impatient.database, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(grpc.aio.AioRpcError, match="database is locked") as raised:
        await impatient.record(*batch)
    assert raised.value.code() is grpc.StatusCode.UNAVAILABLE
    assert "RecordAttempts failed" in caplog.text
    assert (await impatient.stub.GetSpend(GetSpendRequest())).total.attempts == 0, "readers wait for nobody"
    other.execute("COMMIT")
    other.close()
    assert [result.outcome for result in await impatient.record(*batch)] == [RECORD_OUTCOME_RECORDED] * 2


@on_postgresql
async def test_a_database_that_another_ledger_writes_to_is_unavailable_and_then_books_the_same_batch(
    impatient: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    batch = [attempt(), attempt()]
    assert isinstance(impatient.database, DatabaseUrl)
    other = await asyncpg.connect(impatient.database.url)
    await other.execute("BEGIN")
    await other.execute("SELECT pg_advisory_xact_lock(7310032165)")
    with pytest.raises(grpc.aio.AioRpcError, match="lock timeout") as raised:
        await impatient.record(*batch)
    assert raised.value.code() is grpc.StatusCode.UNAVAILABLE
    assert "RecordAttempts failed" in caplog.text
    assert (await impatient.stub.GetSpend(GetSpendRequest())).total.attempts == 0, "readers wait for nobody"
    await other.execute("COMMIT")
    await other.close()
    assert [result.outcome for result in await impatient.record(*batch)] == [RECORD_OUTCOME_RECORDED] * 2


@on_postgresql
async def test_connections_that_the_server_ended_cost_nobody_a_batch(ledger: Ledger) -> None:
    await ledger.record(attempt())
    await ledger.stub.GetSpend(GetSpendRequest())
    ledger.sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    assert [result.outcome for result in await ledger.record(attempt())] == [RECORD_OUTCOME_RECORDED]
    assert (await ledger.stub.GetSpend(GetSpendRequest())).total.attempts == 2


async def test_a_server_that_is_not_there_is_unavailable_and_its_password_is_not_told() -> None:
    store = open_store(DatabaseUrl("postgresql://me:hush@127.0.0.1:1/ledger"), 0.02)
    with pytest.raises(TollwayError, match=r"postgresql://127\.0\.0\.1:1/ledger") as raised:
        async with store.connection():
            pass
    assert raised.value.reason is Reason.SERVICE_UNAVAILABLE
    assert "hush" not in raised.value.message
    await store.close()


@on_sqlite
async def test_a_full_disk_is_unavailable_and_loses_nothing(ledger: Ledger) -> None:
    store = ledger.runtime._store
    await ledger.record(priced())

    async def limit(pages: int) -> None:
        async with store.transaction(), store.connection() as connection:
            await connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")

    batch = [priced() for _ in range(500)]
    await limit(1)
    with pytest.raises(grpc.aio.AioRpcError, match="full") as raised:
        await ledger.record(*batch)
    assert raised.value.code() is grpc.StatusCode.UNAVAILABLE
    assert not ledger.runtime.serving, "which health tells"
    assert ledger.sql("SELECT count(*) FROM request_logs") == [(1,)], "all of a batch, or nothing"
    await limit(100_000)
    assert {result.outcome for result in await ledger.record(*batch)} == {RECORD_OUTCOME_RECORDED}
    assert ledger.sql("SELECT count(*) FROM request_logs") == [(501,)]
    assert ledger.runtime.serving
    assert (await ledger.audit())[0] == []


@on_postgresql
async def test_a_server_whose_disk_is_full_is_unavailable_and_loses_nothing(ledger: Ledger) -> None:
    """As the server says it (SQLSTATE 53100), at the last table that a batch writes."""
    await ledger.record(priced())
    ledger.sql(
        "CREATE FUNCTION fill() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100'; END $$"
    )
    ledger.sql("CREATE TRIGGER full_disk BEFORE INSERT OR UPDATE ON daily_totals EXECUTE FUNCTION fill()")
    batch = [priced() for _ in range(500)]
    with pytest.raises(grpc.aio.AioRpcError, match="No space left on device") as raised:
        await ledger.record(*batch)
    assert raised.value.code() is grpc.StatusCode.UNAVAILABLE
    assert not ledger.runtime.serving, "which health tells"
    assert ledger.sql("SELECT count(*) FROM request_logs") == [(1,)], "all of a batch, or nothing"
    ledger.sql("DROP TRIGGER full_disk ON daily_totals")
    assert {result.outcome for result in await ledger.record(*batch)} == {RECORD_OUTCOME_RECORDED}
    assert ledger.runtime.serving
    assert (await ledger.audit())[0] == []


async def test_callers_that_leave_at_any_moment_leave_the_store_in_order(ledger: Ledger) -> None:
    chance = random.Random(7)
    acknowledged: set[str] = set()

    async def book() -> None:
        batch = [attempt() for _ in range(chance.choice((1, 20)))]
        await ledger.record(*batch)
        acknowledged.update(one.attempt_id for one in batch)

    async def look() -> None:
        await ledger.stub.GetSpend(GetSpendRequest())

    for _ in range(40):
        calls = [asyncio.create_task(what()) for what in (book, look, book, look)]
        await asyncio.sleep(chance.random() * 0.008)
        for call in calls:
            if chance.random() < 0.7:
                call.cancel()
        left = await asyncio.gather(*calls, return_exceptions=True)
        assert all(each is None or isinstance(each, asyncio.CancelledError) for each in left)
    await book()
    await look()
    booked = {row[0] for row in ledger.sql("SELECT attempt_id FROM request_logs")}
    assert acknowledged <= booked


async def test_many_callers_at_once_are_all_served(ledger: Ledger) -> None:
    batches = [[attempt() for _ in range(3)] for _ in range(30)]
    await asyncio.gather(
        *(ledger.record(*batch) for batch in batches),
        *(ledger.stub.ListUsage(ListUsageRequest()) for _ in range(30)),
        *(
            ledger.stub.SetPrice(SetPriceRequest(price=Price(provider_name="p", model_name=f"m{number}")))
            for number in range(10)
        ),
    )
    assert ledger.sql("SELECT count(*) FROM request_logs") == [(90,)]


async def test_two_ledgers_on_one_database_take_turns(start_ledger: StartLedger) -> None:
    ledgers = [await start_ledger() for _ in range(2)]
    shared = [attempt() for _ in range(20)]
    answers = await asyncio.gather(
        *(ledger.record(*shared[at : at + 10]) for ledger in ledgers for at in (0, 5, 10)),
    )
    outcomes = [result.outcome for answer in answers for result in answer]
    assert outcomes.count(RECORD_OUTCOME_RECORDED) == 20, "each attempt is new to one of them, once"
    assert ledgers[0].sql("SELECT count(*) FROM request_logs") == [(20,)]


async def test_a_block_that_raises_undoes_what_it_wrote(store: Store) -> None:
    async def write_and_fail() -> None:
        async with store.transaction():
            await store.execute_many("CREATE TABLE t (x INTEGER)", [()])
            raise KeyError

    with pytest.raises(KeyError):
        await write_and_fail()
    async with store.transaction():  # which it could not be made in again
        await store.execute_many("CREATE TABLE t (x INTEGER)", [()])


async def test_a_mistake_of_ours_is_not_taken_for_the_stores_state(store: Store) -> None:
    async with store.transaction():
        await store.execute_many("CREATE TABLE t (x INTEGER PRIMARY KEY)", [()])
    with pytest.raises((sqlite3.IntegrityError, asyncpg.IntegrityConstraintViolationError)):
        async with store.transaction():
            await store.execute_many("INSERT INTO t VALUES (1)", [(), ()])


class BusyDriver:
    """Refuses so many times before it obeys."""

    def __init__(self, refusals: int) -> None:
        self.refusals = refusals
        self.obeyed: list[str] = []

    async def execute_fetchall(self, statement: str) -> None:
        if self.refusals:
            self.refusals -= 1
            raise sqlite3.OperationalError("database is locked")
        self.obeyed.append(statement)


async def test_a_connection_is_prepared_however_many_others_are_at_the_same_time() -> None:
    driver = BusyDriver(refusals=2)
    await prepare(driver, ("PRAGMA a", "PRAGMA b"), busy_timeout=5)
    assert driver.obeyed == ["PRAGMA a", "PRAGMA b"]
    with pytest.raises(sqlite3.OperationalError):
        await prepare(BusyDriver(refusals=9), ("PRAGMA a",), busy_timeout=0)


async def test_a_reader_sees_one_state_of_the_database_however_long_it_looks(store: Store) -> None:
    async with store.transaction():
        await store.execute_many("CREATE TABLE t (x INTEGER)", [()])
    async with store.connection() as reader:
        before = (await reader.exec_driver_sql("SELECT count(*) FROM t")).scalar()
        async with store.transaction():
            await store.execute_many("INSERT INTO t VALUES (1)", [()])
        assert (await reader.exec_driver_sql("SELECT count(*) FROM t")).scalar() == before == 0
    async with store.connection() as reader:
        assert (await reader.exec_driver_sql("SELECT count(*) FROM t")).scalar() == 1


async def test_a_query_cannot_write(store: Store) -> None:
    with pytest.raises(TollwayError, match=r"readonly|read-only"):
        async with store.connection() as connection:
            await connection.exec_driver_sql("CREATE TABLE t (x INTEGER)")


async def test_writing_outside_a_transaction_is_a_mistake(store: Store) -> None:
    with pytest.raises(RuntimeError, match="not in a transaction"):
        await store.execute_many("CREATE TABLE t (x INTEGER)", [()])
    async with store.transaction():
        pass
    reader = Store(store.database, read_only=True)
    with pytest.raises(RuntimeError, match="opened for reading"):
        async with reader.transaction():
            pass
    await reader.close()


async def test_too_many_waiting_for_the_store_is_unavailable(store: Store) -> None:
    async with AsyncExitStack() as held:
        for _ in range(4):
            await held.enter_async_context(store.connection())
        store._reader.pool._timeout = 0.01  # type: ignore[attr-defined] # thirty seconds are long in a test
        with pytest.raises(TollwayError, match="too many") as raised:
            async with store.connection():
                pass
    assert raised.value.reason is Reason.SERVICE_UNAVAILABLE


async def test_what_is_no_database_is_said_to_be_none(tmp_path: Path) -> None:
    (tmp_path / "some.db").write_bytes(b"not a database, but long enough to be looked at" * 50)
    store = open_store(tmp_path / "some.db", 0.02)
    with pytest.raises(TollwayError, match="not a database"):
        async with store.transaction():
            pass
    await store.close()
