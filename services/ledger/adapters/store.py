"""Connections to the ledger's database: one that writes, a few that read, and what their failures are called.

All writing goes through one connection of ours, in transactions of which there is one at a time. Readers see the last
commit and wait for nobody. What differs between databases is in `databases`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from sqlalchemy import Dialect, Table
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection

from mesh.errors import Reason, TollwayError
from services.ledger.adapters.databases import Database, Row
from services.ledger.settings import DatabaseUrl


def open_store(database: Path | DatabaseUrl, busy_timeout: float, *, read_only: bool = False) -> Store:
    """The store at a file or a URL. Nothing is connected to yet."""
    # Only the driver in use is imported.
    if isinstance(database, Path):
        from services.ledger.adapters.databases.sqlite import Sqlite

        return Store(Sqlite(database, busy_timeout, read_only=read_only), read_only=read_only)
    from services.ledger.adapters.databases.postgresql import PostgreSql

    return Store(PostgreSql(database.url, busy_timeout), read_only=read_only)


class Store:
    """The ledger's database."""

    def __init__(self, database: Database, *, read_only: bool = False) -> None:
        self.database = database
        self._reader = database.reader()
        self._writer = None if read_only else database.writer()
        self._transaction: ContextVar[AsyncConnection | None] = ContextVar("ledger_transaction", default=None)
        self._afterwards: list[Callable[[], None]] = []

    @property
    def name(self) -> str:
        return self.database.name

    @property
    def dialect(self) -> Dialect:
        return self.database.dialect

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        """Everything `connection` gives inside is one transaction; see `ports.Transactions`."""
        if self._writer is None:
            raise RuntimeError(f"{self.name} was opened for reading")
        with self._failures("nothing was written"):
            async with self._writer.begin() as connection:
                token = self._transaction.set(connection)
                self._afterwards.clear()
                try:
                    yield
                finally:
                    self._transaction.reset(token)
                afterwards = self._afterwards.copy()
        for callback in afterwards:
            callback()

    def after_commit(self, callback: Callable[[], None]) -> None:
        """Is called once others can see what the transaction did, unless it is undone. Inside a transaction."""
        if callback not in self._afterwards:
            self._afterwards.append(callback)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[AsyncConnection]:
        """The transaction's connection, inside one; else one that reads a single state of the database."""
        if transaction := self._transaction.get():
            yield transaction
            return
        with self._failures("ask for a shorter time span in filter"):
            async with self._reader.connect() as connection:
                yield connection

    async def execute_many(self, statement: str, rows: Sequence[Row]) -> None:
        """Runs a statement for each tuple of the driver's own parameters. Inside a transaction.

        SQLAlchemy would take a turn of the driver's thread each to make, run, read and close a cursor, and turns are
        what a batch costs beside its rows.
        """
        await self.database.execute_many(await self._driver(), statement, rows)

    async def scalar(self, query: str) -> Any:
        """The only value that a query in the database's own words gives, in one turn. Inside a transaction."""
        return await self.database.scalar(await self._driver(), query)

    async def insert(self, table: Table, rows: Sequence[Row]) -> None:
        """Adds rows that are not there, given as the driver's own parameters. Inside a transaction."""
        if rows:
            await self.database.insert(await self._driver(), table, rows)

    async def present(self, table: Table, attempt_ids: Sequence[str]) -> list[str]:
        """Those of the ids that a table has rows of. Inside a transaction."""
        return await self.database.present(await self._driver(), table, attempt_ids)

    async def make_room(self, attempt_ids: Iterable[str]) -> None:
        """Makes sure that rows with these ids can be added. Inside a transaction."""
        await self.database.make_room(await self._driver(), attempt_ids)

    async def clear_room(self, before: float) -> None:
        """Gives back what empty months from before a Unix time hold. Inside a transaction."""
        await self.database.clear_room(await self._driver(), before)

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
    def _failures(self, after_overflow: str) -> Iterator[None]:
        try:
            yield
        except PoolTimeoutError as error:
            raise _unavailable(f"{self.name}: too many are waiting for it") from error
        except self.database.errors as error:
            trouble = self.database.trouble(error)
            if trouble is None:
                raise
            if trouble.overflow:
                raise TollwayError(Reason.INVALID_REQUEST, f"a sum is beyond 2^63 - 1; {after_overflow}") from error
            raise _unavailable(f"{self.name}: {trouble.words}") from error


def _unavailable(message: str) -> TollwayError:
    return TollwayError(Reason.SERVICE_UNAVAILABLE, f"the ledger's store cannot be used: {message}")
