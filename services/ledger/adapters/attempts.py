"""Attempts as rows of `request_logs`, written in bulk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import bindparam, select, text, update

from services.ledger.adapters.rows import attempt_of, encoder
from services.ledger.adapters.schema import request_logs
from services.ledger.adapters.statements import compiled
from services.ledger.adapters.store import Store
from services.ledger.domain.posting import Change
from tollway.ledger.v1.ledger_pb2 import Attempt

IDS_AT_ONCE = 1000
"""In a list of SQLAlchemy's."""

_columns = request_logs.columns.keys()
# The guard is for ledgers of whatever version beside this one: a row never moves back, whoever was asked before.
_move = (
    update(request_logs)
    .where(
        request_logs.c.attempt_id == bindparam("id"),
        text("(state = 'opened' AND :new <> 'opened' OR state = 'unsettled' AND :new = 'settled')"),
    )
    .values({name: bindparam(name) for name in _columns if name != "attempt_id"})
)


class SqlAttempts:
    """Implements `ports.Attempts`."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._encode = encoder(store.dialect)
        self._move = compiled(_move, store.dialect)

    async def find(self, attempt_ids: Sequence[str]) -> Mapping[str, Attempt]:
        present = await self._store.present(request_logs, attempt_ids)
        if not present:  # nearly every batch is new
            return {}
        found: dict[str, Attempt] = {}
        async with self._store.connection() as connection:
            for start in range(0, len(present), IDS_AT_ONCE):
                wanted = request_logs.c.attempt_id.in_(present[start : start + IDS_AT_ONCE])
                for row in await connection.execute(select(request_logs).where(wanted)):
                    found[row.attempt_id] = attempt_of(row)
        return found

    async def put(self, changes: Sequence[Change]) -> None:
        new = [self._encode(after) for before, after in changes if before is None]
        moved = [self._encode(after) for before, after in changes if before is not None]
        if new:
            await self._store.make_room([row[0] for row in new])
            await self._store.insert(request_logs, new)
        if moved:
            state = _columns.index("state")
            rows = [dict(zip(_columns, row, strict=True)) | {"id": row[0], "new": row[state]} for row in moved]
            await self._store.execute_many(self._move.words, [self._move.places(row) for row in rows])
