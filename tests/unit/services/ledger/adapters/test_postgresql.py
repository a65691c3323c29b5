"""What only a server has: months, and what its errors mean."""

from __future__ import annotations

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.ids import uuid7
from services.ledger.adapters.databases.postgresql import PostgreSql, bounds, floor, month_of, shown
from tests.unit.services.ledger.conftest import Ledger, StartLedger, on_postgresql
from tests.unit.services.ledger.samples import NOW, priced
from tollway.ledger.v1.ledger_pb2 import RECORD_OUTCOME_RECORDED

DAY = 86_400.0


@given(st.floats(0, 4_000_000_000))
def test_an_id_is_within_the_bounds_of_the_month_of_its_time(unix_seconds: float) -> None:
    identifier = uuid7(unix_seconds)
    first, end = bounds(month_of(identifier[:13]))
    assert first <= identifier < end
    assert floor(unix_seconds) <= identifier


def test_months_follow_each_other_without_a_gap() -> None:
    assert bounds("2026_11")[1] == bounds("2026_12")[0]
    assert bounds("2026_12")[1] == bounds("2027_01")[0]
    assert month_of(uuid7(1_795_521_600)[:13]) == "2026_11"


def test_a_url_is_shown_without_its_password_and_options() -> None:
    assert shown("postgresql://me:hush@db:5432/ledger?password=hush") == "postgresql://db:5432/ledger"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (asyncpg.DiskFullError("could not extend file"), "could not extend file"),
        (asyncpg.TooManyConnectionsError("sorry, too many clients already"), "sorry, too many clients already"),
        (asyncpg.AdminShutdownError("terminating connection"), "terminating connection"),
        (asyncpg.DeadlockDetectedError("deadlock detected"), "deadlock detected"),
        (asyncpg.UndefinedTableError("relation does not exist"), "relation does not exist"),
        (asyncpg.InsufficientPrivilegeError("permission denied"), "permission denied"),
        (asyncpg.InterfaceError("connection is closed"), "connection is closed"),
        (ConnectionRefusedError("connection refused"), "connection refused"),
        (TimeoutError(), "TimeoutError"),
    ],
)
def test_what_is_the_servers_state_is_told_in_its_words(error: BaseException, words: str) -> None:
    trouble = PostgreSql("postgresql://h/x", 1).trouble(error)
    assert trouble is not None
    assert (trouble.words, trouble.overflow) == (words, False)


@pytest.mark.parametrize(
    "error",
    [asyncpg.UniqueViolationError("x"), asyncpg.PostgresSyntaxError("x"), asyncpg.DataError("x"), ValueError("x")],
)
def test_what_only_a_mistake_of_ours_can_raise_is_not_taken_for_the_servers_state(error: BaseException) -> None:
    assert PostgreSql("postgresql://h/x", 1).trouble(error) is None


async def partitions(ledger: Ledger) -> set[str]:
    return {row[0] for row in ledger.sql("SELECT relname::text FROM pg_class WHERE relispartition AND relkind = 'r'")}


@on_postgresql
async def test_months_are_made_two_weeks_ahead_and_when_one_is_needed(ledger: Ledger) -> None:
    assert await partitions(ledger) == {"request_logs_2023_11", "postings_2023_11"}
    await ledger.record(priced(NOW - 200 * DAY))
    assert {"request_logs_2023_04", "postings_2023_04"} < await partitions(ledger)
    await ledger.clock.advance(3600)
    await ledger.clock.advance(10 * DAY)
    while "postings_2023_12" not in await partitions(ledger):  # which takes turns virtual time knows nothing of
        await ledger.clock.advance(3600)


@on_postgresql
async def test_a_month_that_was_undone_with_its_batch_is_made_again(start_ledger: StartLedger) -> None:
    ledger, other = await start_ledger(), await start_ledger()
    store = ledger.runtime._store
    with pytest.raises(KeyError):
        await undo(ledger)
    assert store.database.name.startswith("postgresql://")
    for each in (ledger, other):
        assert [r.outcome for r in await each.record(priced(NOW - 100 * DAY))] == [RECORD_OUTCOME_RECORDED]


async def undo(ledger: Ledger) -> None:
    async with ledger.runtime._store.transaction():
        await ledger.runtime._store.make_room([uuid7(NOW - 100 * DAY)])
        raise KeyError


@on_postgresql
async def test_an_attempt_is_looked_for_in_its_month_alone(ledger: Ledger) -> None:
    old, new = priced(NOW - 100 * DAY), priced()
    await ledger.record(old, new)
    found = f"EXPLAIN SELECT 1 FROM request_logs WHERE attempt_id = ANY(ARRAY['{new.attempt_id}']::uuid[])"
    plan = "\n".join(row[0] for row in ledger.sql(found))
    assert "request_logs_2023_11" in plan
    assert "request_logs_2023_08" not in plan
