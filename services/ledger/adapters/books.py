"""The whole book, read in one state and a stretch at a time."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

from sqlalchemy import BigInteger, Select, cast, func, null, select, union_all
from sqlalchemy.ext.asyncio import AsyncConnection

from services.ledger.adapters import accounts
from services.ledger.adapters.accounts import IDENTITY, account_of
from services.ledger.adapters.rows import attempt_of
from services.ledger.adapters.schema import (
    adjustments,
    attempt_conflicts,
    balances,
    budget_accounts,
    budget_charges,
    budget_leases,
    daily_totals,
    postings,
    request_logs,
    utc_day,
)
from services.ledger.adapters.store import Store
from services.ledger.adapters.sums import EPOCH, from_charges, from_rows, from_totals, key_of_row, started_in
from services.ledger.domain.posting import Posting
from services.ledger.domain.spans import Span
from services.ledger.domain.totals import Key, Sums
from services.ledger.ports import Account, Day, Spent, Stretch
from tollway.ledger.v1.ledger_pb2 import Attempt

_ROWS_AT_ONCE = 1000
_POSTINGS_AT_ONCE = 4 * _ROWS_AT_ONCE
_DAY = timedelta(days=1)


class SqlBooks:
    """Implements `ports.Books`."""

    def __init__(self, store: Store) -> None:
        self._store = store

    @asynccontextmanager
    async def open(self) -> AsyncIterator[OpenSqlBooks]:
        async with self._store.connection() as connection:
            counts = [
                (await connection.execute(select(count).select_from(table))).scalar_one()
                for count, table in (
                    (func.count(), request_logs),
                    (func.count(), attempt_conflicts),
                    (func.coalesce(func.sum(daily_totals.c.cost_nanos), 0), daily_totals),
                )
            ]
            yield OpenSqlBooks(connection, *map(int, counts))


@dataclass(frozen=True, slots=True)
class OpenSqlBooks:
    """Implements `ports.OpenBooks`."""

    _connection: AsyncConnection
    attempts: int
    conflicts: int
    cost_nanos: int

    async def stretches(self) -> AsyncGenerator[Stretch]:
        after = ""
        while True:
            rows = await self._rows(after)
            made = await self._postings(after)
            end = _end(rows, made)
            if end:
                rows = [row for row in rows if row.attempt_id <= end]
                made = [posting for posting in made if posting.attempt_id <= end]
                if len({posting.attempt_id for posting in made}) == 1 and len(made) == _POSTINGS_AT_ONCE:
                    made = await self._postings_of(end)
            by_attempt = {key: list(group) for key, group in groupby(made, lambda posting: posting.attempt_id)}
            yield Stretch(rows, by_attempt, await self._adjusted(after, end))
            if not end:
                return
            after = end

    async def accounts(self) -> AsyncGenerator[Account]:
        sums = union_all(
            select(balances.c.account, balances.c.balance_nanos, balances.c.rolled_nanos.label("posted")),
            select(postings.c.account, cast(null(), BigInteger), func.sum(postings.c.amount_nanos)).group_by(
                postings.c.account
            ),
        ).subquery()
        query = (
            select(sums.c.account, func.max(sums.c.balance_nanos), func.sum(sums.c.posted))
            .group_by(sums.c.account)
            .order_by(sums.c.account)
        )
        async with self._connection.stream(query) as rows:
            async for account, balance, posted in rows:
                yield Account(account, None if balance is None else int(balance), int(posted))

    async def days(self) -> AsyncGenerator[Day]:
        kept = select(daily_totals.c.day).where(daily_totals.c.rolled.is_(False))
        found = select(utc_day(request_logs.c.timestamp).label("day"))
        everyone = union_all(kept.distinct(), found.distinct()).subquery()
        query = select(everyone.c.day).distinct().order_by(everyone.c.day)
        for day in (await self._connection.execute(query)).scalars().all():
            live = from_totals(daily_totals.c.day == day, daily_totals.c.rolled.is_(False))
            start = (datetime.fromisoformat(f"{day}T00:00:00+00:00") - EPOCH) // timedelta(microseconds=1)
            rows = from_rows(*started_in(Span(start, start + _DAY // timedelta(microseconds=1)))).subquery()
            names = [rows.c[name] for name in Key._fields]
            counted = select(*names, *(func.sum(rows.c[name]) for name in Sums._fields)).group_by(*names)
            yield Day(day, await self._by_key(live), await self._by_key(counted))

    async def spent(self) -> AsyncGenerator[Spent]:
        rows, nanos = from_charges()
        charges, leases = budget_charges.c, budget_leases.c
        charged = (
            select(charges.account, func.sum(nanos).label("nanos"))
            .select_from(rows)
            .group_by(charges.account)
            .subquery()
        )
        left = (
            select(
                leases.account,
                func.sum(leases.granted_nanos - leases.returned_nanos - leases.settled_nanos).label("nanos"),
            )
            .where(leases.closed.is_(False))
            .group_by(leases.account)
            .subquery()
        )
        kept = accounts.columns
        query = (
            select(
                *IDENTITY,
                kept.spent_nanos,
                kept.granted_nanos,
                kept.rolled_nanos + func.coalesce(charged.c.nanos, 0),
                func.coalesce(left.c.nanos, 0),
            )
            .select_from(
                budget_accounts.outerjoin(charged, charged.c.account == kept.account).outerjoin(
                    left, left.c.account == kept.account
                )
            )
            .order_by(kept.budget_id, kept.subject, kept.start_time)
        )
        async with self._connection.stream(query) as found:
            async for row in found:
                yield Spent(account_of(row), *(int(number) for number in row[4:]))

    async def _by_key(self, query: Select[*tuple[Any, ...]]) -> dict[Key, Sequence[int]]:
        keys = len(Key._fields)
        rows = (await self._connection.execute(query)).all()
        return {key_of_row(row): tuple(int(number) for number in row[keys:]) for row in rows}

    async def _rows(self, after: str) -> list[Attempt]:
        query = select(request_logs).order_by(request_logs.c.attempt_id).limit(_ROWS_AT_ONCE)
        if after:
            query = query.where(request_logs.c.attempt_id > after)
        return [attempt_of(row) for row in await self._connection.execute(query)]

    async def _postings(self, after: str) -> list[Posting]:
        columns = [postings.c[name] for name in Posting._fields]
        query = select(*columns).order_by(postings.c.attempt_id, postings.c.seq).limit(_POSTINGS_AT_ONCE)
        if after:
            query = query.where(postings.c.attempt_id > after)
        return [Posting(*row) for row in await self._connection.execute(query)]

    async def _postings_of(self, attempt_id: str) -> list[Posting]:
        columns = [postings.c[name] for name in Posting._fields]
        query = select(*columns).where(postings.c.attempt_id == attempt_id).order_by(postings.c.seq)
        return [Posting(*row) for row in await self._connection.execute(query)]

    async def _adjusted(self, after: str, end: str) -> dict[str, int]:
        query = select(adjustments.c.attempt_id, func.sum(adjustments.c.amount_nanos))
        if after:
            query = query.where(adjustments.c.attempt_id > after)
        if end:
            query = query.where(adjustments.c.attempt_id <= end)
        rows = await self._connection.execute(query.group_by(adjustments.c.attempt_id))
        return {row[0]: int(row[1]) for row in rows}


def _end(rows: Sequence[Attempt], made: Sequence[Posting]) -> str:
    """The last id whose rows and postings are all among these; empty where there are no more behind them."""
    ends = []
    if len(rows) == _ROWS_AT_ONCE:
        ends.append(rows[-1].attempt_id)
    if len(made) == _POSTINGS_AT_ONCE:
        last = made[-1].attempt_id
        # The last one's may be cut off.
        ends.append(next((one.attempt_id for one in reversed(made) if one.attempt_id != last), last))
    return min(ends, default="")
