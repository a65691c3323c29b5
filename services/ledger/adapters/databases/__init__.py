"""What differs from one database to another: connections, locks, errors, and how many rows are written at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy import Dialect, Table
from sqlalchemy.ext.asyncio import AsyncEngine

Row = Sequence[Any]
"""The driver's own parameters, in the order of a table's columns or of a statement's places."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """What an error of the driver says of the store. `overflow`: a sum is beyond 2^63 - 1."""

    words: str
    overflow: bool = False


class Database(Protocol):
    """A ledger's database. Methods that take a driver's connection are called inside a transaction."""

    @property
    def name(self) -> str:
        """What people know it by; without a password."""

    @property
    def dialect(self) -> Dialect: ...

    @property
    def errors(self) -> tuple[type[BaseException], ...]:
        """What the driver and the library above it raise."""

    def reader(self) -> AsyncEngine:
        """Connections whose transactions see a single state of the database, cannot write, and wait for nobody."""

    def writer(self) -> AsyncEngine:
        """One connection, whose transactions are the only ones that write, whoever else has the database open."""

    def trouble(self, error: BaseException) -> Trouble | None:
        """What is wrong with the store; None where only a mistake of ours can raise this."""

    async def execute_many(self, driver: Any, statement: str, rows: Sequence[Row]) -> None:
        """Runs a statement for each row."""

    async def scalar(self, driver: Any, query: str) -> Any:
        """The only value that a query without parameters gives."""

    async def insert(self, driver: Any, table: Table, rows: Sequence[Row]) -> None:
        """Adds rows that are not there."""

    async def present(self, driver: Any, table: Table, attempt_ids: Sequence[str]) -> list[str]:
        """Those of the ids that a table has rows of."""

    async def make_room(self, driver: Any, attempt_ids: Iterable[str]) -> None:
        """Makes what rows with these ids need before they can be added."""

    async def clear_room(self, driver: Any, before: float) -> None:
        """Drops what was made for rows from before a Unix time, where none are left."""
