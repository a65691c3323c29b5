"""What `request_logs` says about usage and spend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, case, func, select, tuple_

from services.ledger.adapters.rows import STATES, STATUSES, attempt_of, moment
from services.ledger.adapters.schema import request_logs, tagged, utc_day
from services.ledger.adapters.store import Store
from services.ledger.ports import Place
from tollway.ledger.v1.ledger_pb2 import (
    SPEND_DIMENSION_API_KEY,
    SPEND_DIMENSION_DAY,
    SPEND_DIMENSION_DEPLOYMENT,
    SPEND_DIMENSION_MODEL_REQUESTED,
    SPEND_DIMENSION_MODEL_USED,
    SPEND_DIMENSION_PROJECT,
    SPEND_DIMENSION_PROVIDER,
    SPEND_DIMENSION_TENANT,
    Attempt,
    GetSpendResponse,
    SpendDimension,
    SpendGroup,
    UsageFilter,
)

_columns = request_logs.c
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TEXT_FILTERS = (
    "request_id", "trace_id", "model_requested", "model_used", "provider_name", "tenant", "project", "api_key_id",
)  # fmt: skip
_KEYS: Mapping[SpendDimension.ValueType, ColumnElement[str]] = {
    SPEND_DIMENSION_TENANT: _columns.tenant,
    SPEND_DIMENSION_PROJECT: _columns.project,
    SPEND_DIMENSION_API_KEY: _columns.api_key_id,
    SPEND_DIMENSION_MODEL_REQUESTED: _columns.model_requested,
    SPEND_DIMENSION_MODEL_USED: _columns.model_used,
    SPEND_DIMENSION_PROVIDER: _columns.provider_name,
    SPEND_DIMENSION_DEPLOYMENT: _columns.deployment,
    SPEND_DIMENSION_DAY: utc_day(_columns.timestamp),
}
_SUMS: Mapping[str, ColumnElement[int]] = {
    "requests": func.count(_columns.request_id.distinct()),
    "attempts": func.count(),
    "input_tokens": func.sum(_columns.input_tokens),
    "cached_input_tokens": func.sum(_columns.cached_input_tokens),
    "output_tokens": func.sum(_columns.output_tokens),
    "reasoning_tokens": func.sum(_columns.reasoning_tokens),
    "cost_nanos": func.sum(_columns.cost_nanos),
    "unpriced_attempts": func.count(
        case((and_(_columns.input_tokens.is_not(None), _columns.cost_nanos.is_(None)), 1)),
    ),
    "unsettled_attempts": func.count(case((_columns.state != "settled", 1))),
    "cache_hits": func.count(case((_columns.kind == "cache_hit", 1))),
}


class SqlUsage:
    """Implements `ports.Usage`."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def page(self, filter: UsageFilter, after: Place | None, size: int) -> tuple[Sequence[Attempt], Place | None]:
        newest_first = (_columns.timestamp.desc(), _columns.attempt_id.desc())
        query = select(request_logs).where(*_conditions(filter)).order_by(*newest_first).limit(size + 1)
        if after is not None:
            start = _EPOCH + timedelta(microseconds=after.start_micros)
            # Both in words for the index (the first) and for rows of the same moment (the second).
            query = query.where(
                _columns.timestamp <= start,
                tuple_(_columns.timestamp, _columns.attempt_id) < tuple_(start, after.attempt_id),
            )
        async with self._store.connection() as connection:
            rows = (await connection.execute(query)).all()
        attempts = [attempt_of(row) for row in rows[:size]]
        if len(rows) <= size:
            return attempts, None
        return attempts, Place(attempts[-1].start_time.ToMicroseconds(), attempts[-1].attempt_id)

    async def spend(self, filter: UsageFilter, group_by: Sequence[SpendDimension.ValueType]) -> GetSpendResponse:
        sums = [column.label(name) for name, column in _SUMS.items()]
        keys = [_KEYS[dimension].label(f"key_{index}") for index, dimension in enumerate(group_by)]
        where = _conditions(filter)
        cost = func.coalesce(_SUMS["cost_nanos"], 0)
        async with self._store.connection() as connection:
            # Asked for on its own: a request with attempts in two groups is one request all the same.
            total = (await connection.execute(select(*sums).where(*where))).one()
            if not keys:
                return GetSpendResponse(groups=[_group(total, 0)], total=_group(total, 0))
            grouped = select(*keys, *sums).where(*where).group_by(*keys).order_by(cost.desc(), *keys)
            groups = (await connection.execute(grouped)).all()
        return GetSpendResponse(groups=[_group(row, len(keys)) for row in groups], total=_group(total, 0))


def _group(row: Row[*tuple[Any, ...]], keys: int) -> SpendGroup:
    sums = {name: int(value or 0) for name, value in zip(_SUMS, row[keys:], strict=True)}
    return SpendGroup(keys=row[:keys], **sums)


def _conditions(filter: UsageFilter) -> list[ColumnElement[bool]]:
    conditions = [_columns[name] == getattr(filter, name) for name in _TEXT_FILTERS if getattr(filter, name)]
    if filter.HasField("start_time"):
        conditions.append(_columns.timestamp >= moment(filter.start_time))
    if filter.HasField("end_time"):
        conditions.append(_columns.timestamp < moment(filter.end_time))
    if filter.tag:
        conditions.append(tagged(filter.tag))
    if filter.state:
        conditions.append(_columns.state == STATES[filter.state])
    if filter.status:
        conditions.append(_columns.status == STATUSES[filter.status])
    return conditions
