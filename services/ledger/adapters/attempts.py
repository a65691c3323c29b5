"""Attempts as rows of `request_logs`, written in bulk."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib import import_module
from itertools import chain

from sqlalchemy import Dialect, select, text

from services.ledger.adapters.rows import attempt_of, encoder
from services.ledger.adapters.schema import request_logs
from services.ledger.adapters.store import Store
from tollway.ledger.v1.ledger_pb2 import Attempt

_IDS_AT_ONCE = 1000
_ROWS_TOGETHER = 50
"""Rows in a statement. The driver lets go of the interpreter for each, and gets it back when the event loop pauses."""
# One statement for any number of ids, so that the driver prepares it once.
_PRESENT = "SELECT attempt_id FROM request_logs WHERE attempt_id IN (SELECT value FROM json_each(?))"


class SqlAttempts:
    """Implements `ports.Attempts`."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._encode = encoder(store.dialect)
        self._upsert, self._upsert_several = upsert(store.dialect), upsert(store.dialect, _ROWS_TOGETHER)

    async def find(self, attempt_ids: Sequence[str]) -> Mapping[str, Attempt]:
        present = [row[0] for row in await self._store.fetch(_PRESENT, (json.dumps(attempt_ids),))]
        if not present:  # nearly every batch is new
            return {}
        found: dict[str, Attempt] = {}
        async with self._store.connection() as connection:
            for start in range(0, len(present), _IDS_AT_ONCE):
                wanted = request_logs.c.attempt_id.in_(present[start : start + _IDS_AT_ONCE])
                for row in await connection.execute(select(request_logs).where(wanted)):
                    found[row.attempt_id] = attempt_of(row)
        return found

    async def put(self, attempts: Sequence[Attempt]) -> None:
        rows = [self._encode(attempt) for attempt in attempts]
        together = len(rows) - len(rows) % _ROWS_TOGETHER
        if together:
            several = [
                tuple(chain.from_iterable(rows[i : i + _ROWS_TOGETHER])) for i in range(0, together, _ROWS_TOGETHER)
            ]
            await self._store.execute_many(self._upsert_several, several)
        if rows[together:]:
            await self._store.execute_many(self._upsert, rows[together:])


def upsert(dialect: Dialect, rows: int = 1) -> str:
    """The statement that writes rows, or moves those that are there forward; never back, whoever else writes."""
    # ON CONFLICT is a dialect's own; only the one in use is imported.
    insert = import_module(f"sqlalchemy.dialects.{dialect.name}").insert(request_logs)
    new = insert.excluded
    statement = insert.on_conflict_do_update(
        index_elements=[request_logs.c.attempt_id],
        set_={column.name: new[column.name] for column in request_logs.columns if not column.primary_key},
        where=text(
            "request_logs.state = 'opened' AND excluded.state <> 'opened'"
            " OR request_logs.state = 'unsettled' AND excluded.state = 'settled'"
        ),
    )
    one = str(statement.compile(dialect=dialect, column_keys=list(request_logs.columns.keys())))
    head, values, tail = one.partition(f"({', '.join(['?'] * len(request_logs.columns))})")
    return head + ", ".join([values] * rows) + tail
