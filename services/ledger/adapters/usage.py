"""What rows and daily totals say about usage and spend."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, func, literal, select, tuple_, union_all

from mesh.errors import Reason, TollwayError, invalid
from services.ledger.adapters.rows import STATES, STATUSES, attempt_of
from services.ledger.adapters.schema import attempt_conflicts, daily_totals, request_logs, retention, tagged
from services.ledger.adapters.store import Store
from services.ledger.adapters.sums import EPOCH, from_rows, from_totals, started_in
from services.ledger.domain.spans import Span, split
from services.ledger.domain.totals import Sums, day_of
from services.ledger.ports import Place
from tollway.ledger.v1.ledger_pb2 import (
    ATTEMPT_STATE_SETTLED,
    SPEND_DIMENSION_API_KEY,
    SPEND_DIMENSION_DAY,
    SPEND_DIMENSION_DEPLOYMENT,
    SPEND_DIMENSION_MODEL_REQUESTED,
    SPEND_DIMENSION_MODEL_USED,
    SPEND_DIMENSION_PROJECT,
    SPEND_DIMENSION_PROVIDER,
    SPEND_DIMENSION_TAG,
    SPEND_DIMENSION_TENANT,
    Attempt,
    GetSpendResponse,
    SpendDimension,
    SpendGroup,
    UsageFilter,
)

_columns = request_logs.c
_DETAIL_NAMES = ("request_id", "trace_id")
_TOTAL_NAMES = ("model_requested", "model_used", "provider_name", "tenant", "project", "api_key_id")
_KEYS: Mapping[SpendDimension.ValueType, str] = {
    SPEND_DIMENSION_TENANT: "tenant",
    SPEND_DIMENSION_PROJECT: "project",
    SPEND_DIMENSION_API_KEY: "api_key_id",
    SPEND_DIMENSION_MODEL_REQUESTED: "model_requested",
    SPEND_DIMENSION_MODEL_USED: "model_used",
    SPEND_DIMENSION_PROVIDER: "provider_name",
    SPEND_DIMENSION_DEPLOYMENT: "deployment",
    SPEND_DIMENSION_DAY: "day",
    SPEND_DIMENSION_TAG: "tags",
}
# What a group tells; daily totals keep more.
_TOLD = tuple(name for name in Sums._fields if name in SpendGroup.DESCRIPTOR.fields_by_name)
_MOST = 2**63 - 1


class SqlUsage:
    """Implements `ports.Usage`."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def page(self, filter: UsageFilter, after: Place | None, size: int) -> tuple[Sequence[Attempt], Place | None]:
        newest_first = (_columns.timestamp.desc(), _columns.attempt_id.desc())
        conditions = [*_of_rows(filter), *started_in(_span(filter))]
        query = select(request_logs).where(*conditions).order_by(*newest_first).limit(size + 1)
        if after is not None:
            start = EPOCH + timedelta(microseconds=after.start_micros)
            # Both in words for the index (the first) and for rows of the same moment (the second).
            query = query.where(
                _columns.timestamp <= start,
                tuple_(_columns.timestamp, _columns.attempt_id)
                < tuple_(start, literal(after.attempt_id, _columns.attempt_id.type)),
            )
        async with self._store.connection() as connection:
            rows = (await connection.execute(query)).all()
        attempts = [attempt_of(row) for row in rows[:size]]
        if len(rows) <= size:
            return attempts, None
        return attempts, Place(attempts[-1].start_time.ToMicroseconds(), attempts[-1].attempt_id)

    async def spend(self, filter: UsageFilter, group_by: Sequence[SpendDimension.ValueType]) -> GetSpendResponse:
        keys = [_KEYS[dimension] for dimension in group_by]
        async with self._store.connection() as connection:
            rolled_before = (await connection.execute(select(retention.c.rolled_before))).scalar_one_or_none()
            before = (rolled_before - EPOCH) // timedelta(microseconds=1) if rolled_before else 0
            source = union_all(*_sources(filter, before)).subquery()
            sums = [func.sum(source.c[name]) for name in _TOLD]
            grouped = select(*(source.c[name] for name in keys), *sums).having(func.sum(source.c.attempts) > 0)
            rows = (await connection.execute(grouped.group_by(*(source.c[name] for name in keys)))).all()
            # Asked for on its own: an attempt with two tags is one attempt all the same.
            total = (await connection.execute(select(*sums))).one()
        whole = _group((), total)
        if not keys:
            return GetSpendResponse(groups=[whole], total=whole)
        groups = [_group(each, numbers) for each, numbers in _by_tag(keys, rows)]
        groups.sort(key=lambda group: (-group.cost_nanos, *group.keys))
        return GetSpendResponse(groups=groups, total=whole)


def _by_tag(keys: Sequence[str], rows: Iterable[Sequence[Any]]) -> Iterable[tuple[tuple[str, ...], Sequence[Any]]]:
    """Keys and numbers; where tags are asked for, a row of several tags is added to the group of each."""
    if "tags" not in keys:
        return ((tuple(row[: len(keys)]), row[len(keys) :]) for row in rows)
    at, groups = keys.index("tags"), dict[tuple[str, ...], list[int]]()
    for row in rows:
        for tag in dict.fromkeys(json.loads(row[at])) or ("",):
            key = (*row[:at], tag, *row[at + 1 : len(keys)])
            there = groups.setdefault(key, [0] * len(_TOLD))
            for index, number in enumerate(row[len(keys) :]):
                there[index] += int(number)
    return groups.items()


def _group(keys: Sequence[str], numbers: Iterable[Any]) -> SpendGroup:
    sums = {name: int(number or 0) for name, number in zip(_TOLD, numbers, strict=True)}
    if max(sums.values()) > _MOST:
        raise TollwayError(Reason.INVALID_REQUEST, "a sum is beyond 2^63 - 1; ask for a shorter time span in filter")
    return SpendGroup(keys=keys, **sums)


def _sources(filter: UsageFilter, rolled_before: int) -> list[Any]:
    """Where the sums are: whole days in the totals, hours at the span's ends in the rows.

    What totals do not tell apart is in the rows alone. Raises TollwayError INVALID_REQUEST where those are gone.
    """
    span = _span(filter)
    of_rows = _of_rows(filter)
    if any(getattr(filter, name) for name in (*_DETAIL_NAMES, "state", "status", "conflicted")):
        if filter.status or filter.state == ATTEMPT_STATE_SETTLED:
            _refuse_rolled(span.start or 0, rolled_before, "start_time")
        return [from_rows(*of_rows, *started_in(span))]
    days, edges = split(span)
    sources: list[Any] = []
    if days:
        limits = []
        if days.start is not None:
            limits.append(daily_totals.c.day >= day_of(days.start // 1_000_000))
        if days.end is not None:
            limits.append(daily_totals.c.day < day_of(days.end // 1_000_000))
        sources.append(from_totals(*_of_totals(filter), *limits))
    for edge in edges:
        _refuse_rolled(edge.start or 0, rolled_before, "start_time" if edge.start == span.start else "end_time")
        sources.append(from_rows(*of_rows, *started_in(edge)))
    return sources or [from_rows(*of_rows, *started_in(span))]


def _refuse_rolled(start: int, rolled_before: int, field: str) -> None:
    if start < rolled_before:
        day = day_of(rolled_before // 1_000_000)
        raise invalid(
            f"filter.{field}", f"before {day} only whole days are kept: ask for days in UTC, by no state or status"
        )


def _span(filter: UsageFilter) -> Span:
    """The filter's time span. Rows keep microseconds, and so does what is asked of them."""
    start = filter.start_time.ToMicroseconds() if filter.HasField("start_time") else None
    return Span(start, filter.end_time.ToMicroseconds() if filter.HasField("end_time") else None)


def _of_totals(filter: UsageFilter) -> list[ColumnElement[bool]]:
    conditions = [daily_totals.c[name] == value for name in _TOTAL_NAMES if (value := getattr(filter, name))]
    if filter.tag:
        conditions.append(tagged(daily_totals.c.tags, filter.tag))
    return conditions


def _of_rows(filter: UsageFilter) -> list[ColumnElement[bool]]:
    names = (*_DETAIL_NAMES, *_TOTAL_NAMES)
    conditions = [_columns[name] == value for name in names if (value := getattr(filter, name))]
    if filter.tag:
        conditions.append(tagged(_columns.tags, filter.tag))
    if filter.state:
        conditions.append(_columns.state == STATES[filter.state])
    if filter.status:
        conditions.append(_columns.status == STATUSES[filter.status])
    if filter.conflicted:
        conditions.append(_columns.attempt_id.in_(select(attempt_conflicts.c.attempt_id)))
    return conditions
