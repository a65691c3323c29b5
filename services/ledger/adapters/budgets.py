"""Budgets as rows of `budgets`."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from google.protobuf.duration_pb2 import Duration
from sqlalchemy import Row, func, insert, select, update

from mesh.budgets import BudgetBook
from services.ledger.adapters.moments import from_seconds
from services.ledger.adapters.rows import timestamp
from services.ledger.adapters.schema import budgets
from services.ledger.adapters.store import Store
from tollway.ledger.v1.budget_pb2 import Budget, BudgetWindow

_columns = budgets.c
_revision = select(func.max(_columns.revision))
_REVISION = "SELECT max(revision) FROM budgets"
_PREFIX = "BUDGET_WINDOW_"


class SqlBudgets:
    """Implements `ports.Budgets`. Those that ended keep their rows, so that the highest revision never goes back."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: int | None = None
        self._book = BudgetBook()

    async def ever(self) -> bool:
        return self._known is not None or await self._store.scalar(_REVISION) is not None

    async def book(self) -> BudgetBook:
        """All of them; the same book as long as none is changed."""
        if self._store.in_transaction and await self._store.scalar(_REVISION) == self._known:  # of nearly every batch
            return self._book
        async with self._store.connection() as connection:
            revision = (await connection.execute(_revision)).scalar_one()
            if revision == self._known:
                return self._book
            rows = (await connection.execute(select(budgets).where(_columns.end_time.is_(None)))).all()
        book = BudgetBook(map(_budget_of, rows))
        if not self._store.in_transaction:  # which may yet be undone
            self._known, self._book = revision, book
        return book

    async def put(self, budget: Budget, time: float) -> Budget:
        moment = from_seconds(time)
        async with self._store.connection() as connection:
            row = (
                await connection.execute(select(budgets).where(_columns.budget_id == budget.budget_id))
            ).one_or_none()
            values = _row_of(budget) | {"update_time": moment, "end_time": None, "revision": await self._next()}
            if row is None:
                values |= {"create_time": moment}
                await connection.execute(insert(budgets), values)
            else:
                began = row.create_time if row.end_time is None else moment
                values |= {"create_time": began}
                await connection.execute(update(budgets).where(_columns.budget_id == budget.budget_id).values(**values))
        made = Budget()
        made.CopyFrom(budget)
        _put_times(made, values["create_time"], moment)
        return made

    async def end(self, budget_id: str, time: float) -> None:
        values = {"end_time": from_seconds(time), "revision": await self._next()}
        async with self._store.connection() as connection:
            await connection.execute(update(budgets).where(_columns.budget_id == budget_id).values(**values))

    async def _next(self) -> int:
        async with self._store.connection() as connection:
            return ((await connection.execute(_revision)).scalar_one() or 0) + 1


def _row_of(budget: Budget) -> dict[str, Any]:
    return {
        "budget_id": budget.budget_id,
        "scope": budget.scope,
        "limit_nanos": budget.limit_nanos,
        "time_window": BudgetWindow.Name(budget.window).removeprefix(_PREFIX).lower(),
        "rolling_seconds": budget.rolling.seconds if budget.HasField("rolling") else None,
        "time_zone": budget.time_zone,
        "soft": budget.soft,
        "thresholds": json.dumps(list(budget.thresholds)),
        "configured": budget.configured,
    }


def _budget_of(row: Row[*tuple[Any, ...]]) -> Budget:
    budget = Budget(
        budget_id=row.budget_id,
        scope=row.scope,
        limit_nanos=row.limit_nanos,
        window=BudgetWindow.Value(_PREFIX + row.time_window.upper()),
        rolling=Duration(seconds=row.rolling_seconds) if row.rolling_seconds is not None else None,
        time_zone=row.time_zone,
        soft=row.soft,
        thresholds=json.loads(row.thresholds),
        configured=row.configured,
    )
    _put_times(budget, row.create_time, row.update_time)
    return budget


def _put_times(budget: Budget, created: datetime, updated: datetime) -> None:
    budget.create_time.CopyFrom(timestamp(created))
    budget.update_time.CopyFrom(timestamp(updated))
