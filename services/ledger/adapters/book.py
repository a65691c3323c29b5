"""Postings, balances, daily totals, adjustments and conflicts as rows: one statement each, whatever a batch holds."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import lru_cache

from google.protobuf.json_format import MessageToJson
from sqlalchemy import func, select

from services.ledger.adapters.attempts import IDS_AT_ONCE
from services.ledger.adapters.rows import tags_as_text, time_writer
from services.ledger.adapters.schema import adjustments, attempt_conflicts, balances, daily_totals, postings
from services.ledger.adapters.statements import add_once, add_to
from services.ledger.adapters.store import Store
from services.ledger.domain.booking import Conflict
from services.ledger.domain.posting import Posting, balance_changes
from services.ledger.domain.totals import Key, Sums, Totals


class SqlBook:
    """Implements `ports.Book`."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._time = time_writer(store.dialect)
        self._balance = add_to(balances, ("balance_nanos", "rolled_nanos"), store.dialect)
        self._total = add_to(daily_totals, Sums._fields, store.dialect)

    async def posted(self, attempt_ids: Sequence[str]) -> Mapping[str, int]:
        found: dict[str, int] = {}
        async with self._store.connection() as connection:
            for start in range(0, len(attempt_ids), IDS_AT_ONCE):
                query = (
                    select(postings.c.attempt_id, func.max(postings.c.seq) + 1)
                    .where(postings.c.attempt_id.in_(attempt_ids[start : start + IDS_AT_ONCE]))
                    .group_by(postings.c.attempt_id)
                )
                found.update((row[0], row[1]) for row in await connection.execute(query))
        return found

    async def post(self, made: Sequence[Posting], time: float) -> None:
        if not made:
            return
        moment = self._time(time)
        await self._store.insert(postings, [(*posting, moment) for posting in made])
        changes = [(account, nanos, 0) for account, nanos in balance_changes(made).items()]
        await self._store.execute_many(self._balance, changes)

    async def add_to_totals(self, totals: Totals, *, rolled: bool = False) -> None:
        rows = [(key.day, digest(key), rolled, *names(key), *sums) for key, sums in sorted(totals.items()) if any(sums)]
        if rows:
            await self._store.execute_many(self._total, rows)


@lru_cache(maxsize=4096)
def digest(key: Key) -> str:
    """What stands for a key without its day. As migration 0003 made them, and so not to be changed."""
    return hashlib.blake2b(json.dumps(names(key), ensure_ascii=False).encode(), digest_size=16).hexdigest()


def names(key: Key) -> tuple[str, ...]:
    """A key without its day, as columns keep it."""
    return (
        key.tenant,
        key.project,
        key.api_key_id,
        tags_as_text(key.tags),
        key.model_requested,
        key.model_used,
        key.provider_name,
        key.deployment,
    )


class SqlConflicts:
    """Implements `ports.Conflicts`."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._time = time_writer(store.dialect)
        self._add = add_once(attempt_conflicts, store.dialect)

    async def keep(self, conflicts: Sequence[Conflict], journal_id: str, time: float) -> int:
        moment, rows = self._time(time), []
        for sent, differs in conflicts:
            content = hashlib.blake2b(sent.SerializeToString(deterministic=True), digest_size=16).hexdigest()
            text = MessageToJson(sent, preserving_proto_field_name=True, indent=None, ensure_ascii=False)
            rows.append((sent.attempt_id, content, moment, journal_id, ", ".join(differs), text))
        if rows:
            await self._store.execute_many(self._add, rows)
        return await self.count()

    async def count(self) -> int:
        async with self._store.connection() as connection:
            return int((await connection.execute(select(func.count()).select_from(attempt_conflicts))).scalar_one())


class SqlAdjustments:
    """Implements `ports.Adjustments`."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._time = time_writer(store.dialect)

    async def of(self, attempt_ids: Sequence[str]) -> Mapping[str, int]:
        found: dict[str, int] = {}
        async with self._store.connection() as connection:
            for start in range(0, len(attempt_ids), IDS_AT_ONCE):
                query = (
                    select(adjustments.c.attempt_id, func.sum(adjustments.c.amount_nanos))
                    .where(adjustments.c.attempt_id.in_(attempt_ids[start : start + IDS_AT_ONCE]))
                    .group_by(adjustments.c.attempt_id)
                )
                found.update((row[0], int(row[1])) for row in await connection.execute(query))
        return found

    async def add(self, attempt_id: str, seq: int, amount_nanos: int, reason: str, time: float) -> None:
        await self._store.insert(adjustments, [(attempt_id, seq, amount_nanos, reason, self._time(time))])
