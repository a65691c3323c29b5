"""Rows that grow old: which there are, and how they go."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from sqlalchemy import delete, func, insert, select, update

from mesh.ids import uuid7
from services.ledger.adapters import accounts
from services.ledger.adapters.accounts import IDENTITY, AccountWriter, Sums, account_of
from services.ledger.adapters.rows import attempt_of
from services.ledger.adapters.schema import (
    adjustments,
    attempt_conflicts,
    balances,
    budget_accounts,
    budget_charges,
    daily_totals,
    postings,
    request_logs,
    retention,
)
from services.ledger.adapters.statements import add_to
from services.ledger.adapters.store import Store
from services.ledger.adapters.sums import from_charges
from services.ledger.domain.totals import day_of
from tollway.ledger.v1.ledger_pb2 import Attempt

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_ONLY = 1
_HANGS_ON = (budget_charges, adjustments, attempt_conflicts, postings, request_logs)


class SqlDetails:
    """Implements `ports.Details`."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._balance = add_to(balances, ("balance_nanos", "rolled_nanos"), store.dialect)
        self._accounts = AccountWriter(store)

    async def rolled_before(self) -> int:
        async with self._store.connection() as connection:
            found = (await connection.execute(select(retention.c.rolled_before))).scalar_one_or_none()
        return (found - _EPOCH) // _MICROSECOND if found else 0

    async def roll_before(self, micros: int) -> None:
        there = await self.rolled_before()
        values = {"rolled_before": _EPOCH + micros * _MICROSECOND}
        async with self._store.connection() as connection:
            if not there:
                await connection.execute(insert(retention).values(id=_ONLY, **values))
            elif there < micros:
                await connection.execute(update(retention).values(**values))

    async def oldest(self, before: int, most: int) -> Sequence[Attempt]:
        query = (
            select(request_logs)
            .where(request_logs.c.timestamp < _EPOCH + before * _MICROSECOND, request_logs.c.state == "settled")
            .order_by(request_logs.c.timestamp)
            .limit(most)
        )
        async with self._store.connection() as connection:
            return [attempt_of(row) for row in await connection.execute(query)]

    async def forget(self, attempt_ids: Sequence[str]) -> None:
        sums = (
            select(postings.c.account, func.sum(postings.c.amount_nanos))
            .where(postings.c.attempt_id.in_(attempt_ids))
            .group_by(postings.c.account)
            .order_by(postings.c.account)
        )
        rows, nanos = from_charges()
        charged = (
            select(*IDENTITY, func.sum(nanos), func.count())
            .select_from(rows.join(budget_accounts, budget_charges.c.account == accounts.columns.account))
            .where(budget_charges.c.attempt_id.in_(attempt_ids))
            .group_by(*IDENTITY)
        )
        async with self._store.connection() as connection:
            spent = [(account_of(row), row[4:]) for row in await connection.execute(charged)]
            await self._accounts.add(
                {account: Sums(rolled_nanos=int(nanos), attempts=-count) for account, (nanos, count) in spent}
            )
            rolled = [(account, 0, int(nanos)) for account, nanos in await connection.execute(sums)]
            for table in _HANGS_ON:
                await connection.execute(delete(table).where(table.c.attempt_id.in_(attempt_ids)))
        if rolled:
            await self._store.execute_many(self._balance, rolled)

    async def tidy(self, before: int) -> None:
        nothing_left = (
            daily_totals.c.day < day_of(before // 1_000_000),
            daily_totals.c.rolled.is_(False),
            daily_totals.c.attempts == 0,
        )
        async with self._store.connection() as connection:
            await connection.execute(delete(daily_totals).where(*nothing_left))
        await self._store.clear_room(before / 1_000_000)

    async def make_room(self, times: Sequence[float]) -> None:
        await self._store.make_room([uuid7(time) for time in times])
