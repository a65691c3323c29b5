"""Connections to the ledger's database: one that writes, a few that read, and what their failures are called.

SQLite lets one connection write at a time. All writing goes through one connection of ours, in transactions that take
the lock when they begin: a transaction that read first and asked for the lock later could be refused it (another
process having written in between) and would have to start over. Readers see the last commit and wait for nobody.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

from sqlalchemy import URL, AdaptedConnection, Connection, Dialect, event
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, InterfaceError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from mesh.errors import Reason, TollwayError

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


class Store:
    """The ledger's database. For `busy_timeout` seconds a transaction waits for another process to end its own."""

    def __init__(self, database: Path, busy_timeout: float, *, read_only: bool = False) -> None:
        self.database = database
        file = f"file:{quote(str(database.absolute()))}?mode={'ro' if read_only else 'rwc'}"
        self._reader = _engine(file, _READER, "BEGIN", busy_timeout, connections=2)
        self._writer = None if read_only else _engine(file, _WRITER, "BEGIN IMMEDIATE", busy_timeout, connections=1)
        self._transaction: ContextVar[AsyncConnection | None] = ContextVar("ledger_transaction", default=None)

    @property
    def dialect(self) -> Dialect:
        return self._reader.dialect

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        """Everything `connection` gives inside is one transaction; see `ports.Transactions`."""
        if self._writer is None:
            raise RuntimeError(f"{self.database} was opened for reading")
        with self._failures():
            async with self._writer.begin() as connection:
                token = self._transaction.set(connection)
                try:
                    yield
                finally:
                    self._transaction.reset(token)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[AsyncConnection]:
        """The transaction's connection, inside one; else one that reads a single state of the database."""
        if transaction := self._transaction.get():
            yield transaction
            return
        with self._failures():
            async with self._reader.connect() as connection:
                yield connection

    async def fetch(self, statement: str, parameters: Sequence[Any]) -> Iterable[Any]:
        """Rows of the driver's own. Inside a transaction.

        SQLAlchemy's cursors take a turn of the driver's thread each to be made, run, read and closed, and turns are
        what a batch costs beside its rows.
        """
        driver = await self._driver()
        rows: Iterable[Any] = await driver.execute_fetchall(statement, parameters)
        return rows

    async def execute_many(self, statement: str, parameters: Sequence[Sequence[Any]]) -> None:
        """Runs a statement for each tuple of the driver's own parameters. Inside a transaction."""
        driver = await self._driver()
        await driver.executemany(statement, parameters)

    async def _driver(self) -> Any:
        connection = self._transaction.get()
        if connection is None:
            raise RuntimeError("not in a transaction")
        return (await connection.get_raw_connection()).driver_connection

    @property
    def in_transaction(self) -> bool:
        return self._transaction.get() is not None

    async def close(self) -> None:
        await self._reader.dispose()
        if self._writer is not None:
            await self._writer.dispose()

    @contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except _MISTAKES:
            raise
        except (DBAPIError, sqlite3.Error) as error:
            words = str(error.orig if isinstance(error, DBAPIError) else error)
            if "integer overflow" in words:
                short = "a sum is beyond 2^63 - 1; ask for a shorter time span in filter"
                raise TollwayError(Reason.INVALID_REQUEST, short) from error
            raise _unavailable(f"{self.database}: {words}") from error
        except PoolTimeoutError as error:
            raise _unavailable(f"{self.database}: too many are waiting for it") from error


def _unavailable(message: str) -> TollwayError:
    return TollwayError(Reason.SERVICE_UNAVAILABLE, f"the ledger's store cannot be used: {message}")


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


def _engine(file: str, pragmas: tuple[str, ...], begin: str, busy_timeout: float, connections: int) -> AsyncEngine:
    engine = create_async_engine(
        URL.create("sqlite+aiosqlite", database=file, query={"uri": "true"}),
        pool_size=connections,
        max_overflow=0,
        # The driver begins no transactions of its own accord, so that ours begin as they should.
        connect_args={"isolation_level": None, "timeout": busy_timeout},
    )

    @event.listens_for(engine.sync_engine, "connect")
    def _prepare(connection: AdaptedConnection, record: Any) -> None:
        connection.run_async(lambda driver: prepare(driver, pragmas, busy_timeout))

    @event.listens_for(engine.sync_engine, "begin")
    def _begin(connection: Connection) -> None:
        # Straight to the driver: one turn of its thread instead of three, in every transaction.
        cast(AdaptedConnection, connection.connection.dbapi_connection).run_async(lambda driver: driver.execute(begin))

    return engine
