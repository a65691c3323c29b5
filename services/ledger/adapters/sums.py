"""The columns of daily totals, taken from the totals or worked out from rows: what spend and audit add up."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, FromClause, Integer, Select, Text, case, cast, func, literal, select

from services.ledger.adapters.schema import adjustments, budget_charges, daily_totals, request_logs, utc_day
from services.ledger.domain.spans import Span
from services.ledger.domain.totals import Key, Sums

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NAMES = tuple(name for name in Key._fields if name != "day")
_rows, _totals = request_logs.c, daily_totals.c


def _flag(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return cast(case((condition, 1), else_=0), Integer)


def from_totals(*conditions: ColumnElement[bool]) -> Select[*tuple[Any, ...]]:
    """Day, names and sums, one total a row."""
    names = [_totals[name] for name in NAMES]
    return select(_totals.day, *names, *(_totals[name] for name in Sums._fields)).where(*conditions)


def rows_with_adjustments() -> tuple[FromClause, ColumnElement[int]]:
    """Attempts, to be selected from, and what operators added to each."""
    adjusted = (
        select(adjustments.c.attempt_id, func.sum(adjustments.c.amount_nanos).label("nanos"))
        .group_by(adjustments.c.attempt_id)
        .subquery()
    )
    joined = request_logs.outerjoin(adjusted, adjusted.c.attempt_id == _rows.attempt_id)
    return joined, func.coalesce(adjusted.c.nanos, 0)


def from_charges() -> tuple[FromClause, ColumnElement[int]]:
    """What counts to accounts of budgets, one attempt and account a row, and what each of them costs."""
    rows, nanos = rows_with_adjustments()
    joined = rows.join(budget_charges, budget_charges.c.attempt_id == _rows.attempt_id)
    return joined, func.coalesce(_rows.cost_nanos, 0) + nanos


def from_rows(*conditions: ColumnElement[bool]) -> Select[*tuple[Any, ...]]:
    """Day, names and sums, one attempt a row."""
    rows, nanos = rows_with_adjustments()
    names = [(cast(_rows.tags, Text) if name == "tags" else _rows[name]).label(name) for name in NAMES]
    sums: dict[str, ColumnElement[Any]] = {
        "requests": _flag(_rows.attempt_number <= 1),
        "attempts": literal(1, Integer),
        "cost_nanos": func.coalesce(_rows.cost_nanos, 0) + nanos,
        "adjusted_nanos": nanos,
        "unpriced_attempts": _flag(_rows.input_tokens.is_not(None) & _rows.cost_nanos.is_(None)),
        "unsettled_attempts": _flag(_rows.state != "settled"),
        "cache_hits": _flag(_rows.kind == "cache_hit"),
    }
    columns = [(sums[name] if name in sums else func.coalesce(_rows[name], 0)).label(name) for name in Sums._fields]
    return select(utc_day(_rows.timestamp).label("day"), *names, *columns).select_from(rows).where(*conditions)


def started_in(span: Span) -> list[ColumnElement[bool]]:
    """Holds for rows that started in a span."""
    conditions: list[ColumnElement[bool]] = []
    if span.start is not None:
        conditions.append(_rows.timestamp >= EPOCH + timedelta(microseconds=span.start))
    if span.end is not None:
        conditions.append(_rows.timestamp < EPOCH + timedelta(microseconds=span.end))
    return conditions


def key_of_row(row: Sequence[Any]) -> Key:
    """The key in the first columns of a row: day and names."""
    made = Key(*row[: len(Key._fields)])
    return made._replace(tags=tuple(json.loads(str(made.tags))))
