"""A PostgreSQL database, which several ledgers may share.

One of them writes at a time, under a lock of the database's own: what is booked, posted and totalled in a batch is then
decided on what is there, exactly as in a file, and no two batches wait for each other's rows in a ring. A batch holds
the lock for about as long as its rows take to write, so that many rows a second go through all the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import asyncpg
from sqlalchemy import Connection, Dialect, Table, event
from sqlalchemy.dialects.postgresql.asyncpg import dialect as asyncpg_dialect
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from services.ledger.adapters.databases import Row, Trouble
from services.ledger.adapters.schema import PARTITIONED

_READERS = 4
_LOCK = "SELECT pg_advisory_xact_lock(7310032165)"
_CONNECT_TIMEOUT = 10.0
# Of SQLSTATEs, the classes that only a mistake of ours can raise, and what is the database's state all the same.
_MISTAKES = ("22", "23", "42")
_STATE_ALL_THE_SAME = frozenset({"42P01", "42501"})  # a table that is gone, a right that is missing
_OVERFLOW = "22003"


class PostgreSql:
    """Implements `Database`. For `busy_timeout` seconds a transaction waits for another ledger to end its own."""

    errors: tuple[type[BaseException], ...] = (DBAPIError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError)

    def __init__(self, url: str, busy_timeout: float) -> None:
        self.name = shown(url)
        self.dialect: Dialect = asyncpg_dialect()  # type: ignore[no-untyped-call] # SQLAlchemy leaves it so
        self._url, self._busy_timeout = url, busy_timeout
        self._months: set[str] = set()

    def reader(self) -> AsyncEngine:
        engine = self._engine(_READERS)
        return engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)

    def writer(self) -> AsyncEngine:
        engine = self._engine(1)

        @event.listens_for(engine.sync_engine, "begin")
        def _begin(connection: Connection) -> None:
            connection.exec_driver_sql(_LOCK)

        return engine

    def trouble(self, error: BaseException) -> Trouble | None:
        cause: BaseException = error
        if isinstance(error, DBAPIError) and error.orig is not None:
            cause = error.orig.__cause__ or error.orig
        state = getattr(cause, "sqlstate", None) or ""
        words = str(cause) or type(cause).__name__
        if state == _OVERFLOW or isinstance(cause.__cause__, OverflowError):
            return Trouble(words, overflow=True)
        if isinstance(cause, ValueError):
            return None  # a parameter that does not fit its column
        if state[:2] in _MISTAKES and state not in _STATE_ALL_THE_SAME:
            return None
        return Trouble(words)

    async def execute_many(self, driver: Any, statement: str, rows: Sequence[Row]) -> None:
        await driver.executemany(statement, rows)

    async def scalar(self, driver: Any, query: str) -> Any:
        return await driver.fetchval(query)

    async def insert(self, driver: Any, table: Table, rows: Sequence[Row]) -> None:
        await driver.copy_records_to_table(table.name, records=rows, columns=table.columns.keys())

    async def present(self, driver: Any, table: Table, attempt_ids: Sequence[str]) -> list[str]:
        if not attempt_ids:
            return []
        # Their bounds beside them, by which months are left out.
        query = (
            f"SELECT attempt_id::text FROM {table.name} "
            "WHERE attempt_id = ANY($1::uuid[]) AND attempt_id BETWEEN $2 AND $3"
        )
        return [row[0] for row in await driver.fetch(query, attempt_ids, min(attempt_ids), max(attempt_ids))]

    async def make_room(self, driver: Any, attempt_ids: Iterable[str]) -> None:
        """A partition for each month that has none, attached once it is made: readers of the others go on."""
        needed = {month_of(prefix) for prefix in {identifier[:13] for identifier in attempt_ids}} - self._months
        if not needed:
            return
        # What was there before this transaction stays, whatever becomes of it.
        self._months = await _months(driver)
        for month in sorted(needed - self._months):
            first, end = bounds(month)
            for table in PARTITIONED:
                await driver.execute(f"CREATE TABLE {table}_{month} (LIKE {table} INCLUDING ALL)")
                await driver.execute(
                    f"ALTER TABLE {table} ATTACH PARTITION {table}_{month} FOR VALUES FROM ('{first}') TO ('{end}')"
                )

    async def clear_room(self, driver: Any, before: float) -> None:
        limit = floor(before)
        for month in sorted(await _months(driver)):
            if bounds(month)[1] > limit:
                continue
            left = [await driver.fetchval(f"SELECT EXISTS (SELECT 1 FROM {table}_{month})") for table in PARTITIONED]
            if not any(left):
                for table in PARTITIONED:
                    await driver.execute(f"DROP TABLE {table}_{month}")
                self._months.discard(month)

    def _engine(self, connections: int) -> AsyncEngine:
        # The driver reads the URL itself: it knows what PostgreSQL's own tools do, `sslmode` and password files too.
        async def connect(*_: Any, **__: Any) -> Any:
            return await asyncpg.connect(
                self._url,
                timeout=_CONNECT_TIMEOUT,
                server_settings={"lock_timeout": str(int(self._busy_timeout * 1000)), "jit": "off"},
            )

        return create_async_engine(
            "postgresql+asyncpg://",
            async_creator=connect,
            pool_size=connections,
            max_overflow=0,
            pool_pre_ping=True,  # a server that was restarted costs nobody a batch
        )


async def _months(driver: Any) -> set[str]:
    """Those that have a partition."""
    query = (
        "SELECT relname FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid "
        f"WHERE inhparent = '{PARTITIONED[0]}'::regclass"
    )
    return {row[0][-len("2026_11") :] for row in await driver.fetch(query)}


def shown(url: str) -> str:
    """A URL as people may see it: `postgresql://host:5432/ledger`."""
    parts = urlsplit(url)
    return f"postgresql://{parts.netloc.rpartition('@')[2]}{parts.path}"


def month_of(prefix: str) -> str:
    """The month, as `2026_11`, of the time in the first 13 characters of a UUID version 7."""
    moment = datetime.fromtimestamp(int(prefix[:8] + prefix[9:13], 16) / 1000, UTC)
    return f"{moment.year:04d}_{moment.month:02d}"


def bounds(month: str) -> tuple[str, str]:
    """The first id of a month, and the first of the next."""
    year, number = int(month[:4]), int(month[5:])
    after = datetime(year + number // 12, number % 12 + 1, 1, tzinfo=UTC)
    return floor(datetime(year, number, 1, tzinfo=UTC).timestamp()), floor(after.timestamp())


def floor(unix_seconds: float) -> str:
    """What is not above any UUID version 7 of that Unix time."""
    digits = f"{int(unix_seconds * 1000):012x}"
    return f"{digits[:8]}-{digits[8:]}-0000-0000-000000000000"
