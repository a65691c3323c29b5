"""A file. One connection writes at a time: a transaction that writes takes the lock when it begins, since one that read
first and asked for the lock later could be refused it (another process having written in between) and would have to
start over.

What may wait is left to the driver's thread: for another process when a transaction begins, for the disk when it ends.
The rows between are written on the event loop's own, half a millisecond at a time (ADR 54): the driver lets go of the
interpreter several times for each statement, and getting it back from a busy loop takes longer than the statement.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

from sqlalchemy import URL, AdaptedConnection, Connection, Dialect, Table, event
from sqlalchemy.dialects.sqlite.aiosqlite import dialect as aiosqlite_dialect
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, InterfaceError, ProgrammingError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from services.ledger.adapters.databases import Row, Trouble

_WRITER = (
    "PRAGMA journal_mode = WAL",
    # An attempt that was answered for is gone from its router's journal: it must outlive a power cut here.
    "PRAGMA synchronous = FULL",
    "PRAGMA cache_size = -8192",
    "PRAGMA journal_size_limit = 67108864",
)
_READER = ("PRAGMA query_only = ON",)
_MISTAKES = (
    *(IntegrityError, ProgrammingError, DataError, InterfaceError),
    *(sqlite3.IntegrityError, sqlite3.ProgrammingError, sqlite3.DataError, sqlite3.InterfaceError),
)
"""What only a mistake of ours can raise; everything else the driver raises is the store's state."""

_READERS = 4
_PARAMETERS_AT_ONCE = 2500
"""In a statement that adds rows."""
_ROWS_AT_ONCE = 50
"""For which another statement is run before others have their turn."""
_TURNS = 4
"""Of the event loop, that others have in between: an answer takes several."""


class Sqlite:
    """Implements `Database`. For `busy_timeout` seconds a transaction waits for another process to end its own."""

    errors: tuple[type[BaseException], ...] = (DBAPIError, sqlite3.Error, OverflowError)

    def __init__(self, file: Path, busy_timeout: float, *, read_only: bool = False) -> None:
        self.name = str(file)
        self.dialect: Dialect = aiosqlite_dialect()
        self._uri = f"file:{quote(str(file.absolute()))}?mode={'ro' if read_only else 'rwc'}"
        self._busy_timeout = busy_timeout

    def reader(self) -> AsyncEngine:
        return self._engine(_READER, "BEGIN", connections=_READERS)

    def writer(self) -> AsyncEngine:
        return self._engine(_WRITER, "BEGIN IMMEDIATE", connections=1)

    def trouble(self, error: BaseException) -> Trouble | None:
        words = str(error.orig if isinstance(error, DBAPIError) else error)
        checked = "CHECK constraint failed: ck_" in words and "_whole" in words
        if isinstance(error, OverflowError) or "integer overflow" in words or checked:
            return Trouble(words, overflow=True)
        return None if isinstance(error, _MISTAKES) else Trouble(words)

    async def execute_many(self, driver: Any, statement: str, rows: Sequence[Row]) -> None:
        for start in range(0, len(rows), _ROWS_AT_ONCE):
            driver._conn.executemany(statement, rows[start : start + _ROWS_AT_ONCE])
            await _give_way()

    async def scalar(self, driver: Any, query: str) -> Any:
        [[value]] = await driver.execute_fetchall(query)
        return value

    async def insert(self, driver: Any, table: Table, rows: Sequence[Row]) -> None:
        at_once = max(1, _PARAMETERS_AT_ONCE // len(table.columns))
        together = len(rows) - len(rows) % at_once
        for start in range(0, together, at_once):
            driver._conn.execute(_insert(table, at_once), tuple(chain.from_iterable(rows[start : start + at_once])))
            await _give_way()
        # Two statements are prepared for a table, however many rows there are.
        await self.execute_many(driver, _insert(table, 1), rows[together:])

    async def present(self, driver: Any, table: Table, attempt_ids: Sequence[str]) -> list[str]:
        # One statement for any number of ids, so that the driver prepares it once.
        query = f"SELECT attempt_id FROM {table.name} WHERE attempt_id IN (SELECT value FROM json_each(?))"
        return [row[0] for row in await driver.execute_fetchall(query, (json.dumps(attempt_ids),))]

    async def make_room(self, driver: Any, attempt_ids: Iterable[str]) -> None:
        pass  # a file has it

    async def clear_room(self, driver: Any, before: float) -> None:
        pass  # the file's free pages are used again

    def _engine(self, pragmas: tuple[str, ...], begin: str, connections: int) -> AsyncEngine:
        busy_timeout = self._busy_timeout
        engine = create_async_engine(
            URL.create("sqlite+aiosqlite", database=self._uri, query={"uri": "true"}),
            pool_size=connections,
            max_overflow=0,
            # The driver begins no transactions of its own accord, so that ours begin as they should.
            connect_args={"isolation_level": None, "timeout": busy_timeout, "check_same_thread": False},
        )

        @event.listens_for(engine.sync_engine, "connect")
        def _prepare(connection: AdaptedConnection, record: Any) -> None:
            connection.run_async(lambda driver: prepare(driver, pragmas, busy_timeout))

        @event.listens_for(engine.sync_engine, "begin")
        def _begin(connection: Connection) -> None:
            # Straight to the driver: one turn of its thread instead of three, in every transaction.
            adapted = cast(AdaptedConnection, connection.connection.dbapi_connection)
            adapted.run_async(lambda driver: driver.execute(begin))

        return engine


async def _give_way() -> None:
    for _ in range(_TURNS):
        await asyncio.sleep(0)


async def prepare(driver: Any, pragmas: Sequence[str], busy_timeout: float) -> None:
    """Sets a new connection of the driver up."""
    deadline = time.monotonic() + busy_timeout
    for pragma in pragmas:
        while True:
            try:
                await driver.execute_fetchall(pragma)
                break
            except sqlite3.OperationalError:
                # Two that turn on the write-ahead log at once are not made to wait for each other, as others are.
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(0.01)


@lru_cache(maxsize=32)
def _insert(table: Table, rows: int) -> str:
    places = f"({', '.join('?' * len(table.columns))})"
    return f"INSERT INTO {table.name} VALUES {', '.join([places] * rows)}"
