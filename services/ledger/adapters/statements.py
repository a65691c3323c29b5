"""Statements compiled once, for drivers that are given thousands of rows at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, cast

from sqlalchemy import Dialect, Executable, Table
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import ClauseElement

from services.ledger.adapters.databases import Row


@dataclass(frozen=True, slots=True)
class Compiled:
    """A statement in a database's own words, and how its named parameters get to their places."""

    words: str
    places: Callable[[Mapping[str, Any]], Row]


def compiled(statement: Executable, dialect: Dialect, columns: list[str] | None = None) -> Compiled:
    """The statement for a dialect; for an INSERT, of those columns."""
    made = cast(SQLCompiler, cast(ClauseElement, statement).compile(dialect=dialect, column_keys=columns))
    order = tuple(made.positiontup or ())
    return Compiled(str(made), lambda row: tuple(row[name] for name in order))


def add_to(table: Table, sums: tuple[str, ...], dialect: Dialect) -> str:
    """The statement that adds a row, or its sums to the row that is there. Takes rows in the order of the columns."""
    # ON CONFLICT is a dialect's own; only the one in use is imported.
    insert = import_module(f"sqlalchemy.dialects.{dialect.name}").insert(table)
    statement = insert.on_conflict_do_update(
        index_elements=list(table.primary_key.columns),
        set_={name: table.c[name] + insert.excluded[name] for name in sums},
    )
    return compiled(statement, dialect, table.columns.keys()).words


def add_once(table: Table, dialect: Dialect) -> str:
    """The statement that adds a row unless there is one of its key. Takes rows in the order of the columns."""
    insert = import_module(f"sqlalchemy.dialects.{dialect.name}").insert(table)
    return compiled(insert.on_conflict_do_nothing(), dialect, table.columns.keys()).words
