"""Attempts and prices as rows, and back."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy import Dialect, Row

from services.ledger.adapters.schema import model_pricing, request_logs
from tollway.chat.v1.chat_pb2 import Usage
from tollway.ledger.v1.ledger_pb2 import (
    Attempt,
    AttemptKind,
    AttemptState,
    AttemptStatus,
    Price,
    PriceSource,
    Provenance,
)


def _texts(names: Sequence[str], prefix: str) -> tuple[str, ...]:
    """An enum's names as they are kept, by number: `PROVENANCE_PROVIDER_REPORTED` is `provider_reported`."""
    return ("", *(name.removeprefix(prefix).lower() for name in names[1:]))


STATES = _texts(AttemptState.keys(), "ATTEMPT_STATE_")
STATUSES = _texts(AttemptStatus.keys(), "ATTEMPT_STATUS_")
PROVENANCES = _texts(Provenance.keys(), "PROVENANCE_")
KINDS = ("call", *_texts(AttemptKind.keys(), "ATTEMPT_KIND_")[1:])
_NOTHING_USED = (None,) * 12


@lru_cache(maxsize=64)
def _second(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


@lru_cache(maxsize=64)
def _second_as_text(seconds: int) -> str:
    return _second(seconds).strftime("%Y-%m-%d %H:%M:%S")


def moment(timestamp: Timestamp) -> datetime:
    """In UTC, cut to whole microseconds."""
    return _second(timestamp.seconds).replace(microsecond=timestamp.nanos // 1000)


def _moment_as_text(timestamp: Timestamp) -> str:
    # As UtcDateTime keeps it in SQLite. A batch's rows share their seconds, and most of the work is in those.
    return f"{_second_as_text(timestamp.seconds)}.{timestamp.nanos // 1000:06d}"


def timestamp(moment: datetime) -> Timestamp:
    return Timestamp(seconds=int(moment.replace(microsecond=0).timestamp()), nanos=moment.microsecond * 1000)


def time_writer(dialect: Dialect) -> Callable[[float], str | datetime]:
    """Makes of a Unix time the driver's own parameter, cut to whole microseconds."""

    def write(unix_seconds: float) -> str | datetime:
        made = datetime.fromtimestamp(unix_seconds, UTC)
        return made.strftime("%Y-%m-%d %H:%M:%S.%f") if dialect.name == "sqlite" else made

    return write


@lru_cache(maxsize=1024)
def tags_as_text(tags: tuple[str, ...]) -> str:
    """Tags as columns keep them."""
    return json.dumps(tags, ensure_ascii=False)


def encoder(dialect: Dialect) -> Callable[[Attempt], tuple[Any, ...]]:
    """Makes of an attempt the driver's own parameters for a row of `request_logs`, in the order of its columns.

    SQLAlchemy would find them out column by column for every row; here, all is found out once.
    """
    time_of = _moment_as_text if dialect.name == "sqlite" else moment

    def encode(attempt: Attempt) -> tuple[Any, ...]:
        settled, usage = attempt.HasField("end_time"), attempt.usage
        return (
            attempt.attempt_id,
            attempt.request_id,
            attempt.trace_id,
            attempt.span_id,
            STATES[attempt.state],
            time_of(attempt.start_time),
            time_of(attempt.end_time) if settled else None,
            attempt.tenant,
            attempt.project,
            attempt.api_key_id,
            tags_as_text(tuple(tags)) if (tags := attempt.tags) else "[]",
            attempt.model_requested,
            attempt.model_used,
            attempt.model_provider,
            attempt.provider_name,
            attempt.deployment,
            attempt.attempt_number,
            attempt.streamed,
            *(_tokens(usage) if attempt.HasField("usage") else _NOTHING_USED),
            usage.extra_json.decode(),
            attempt.cost_nanos if attempt.HasField("cost_nanos") else None,
            PROVENANCES[attempt.provenance],
            attempt.price_version,
            STATUSES[attempt.status],
            attempt.error_reason,
            attempt.upstream_status or None,
            attempt.upstream_request_id,
            attempt.response_time_ms or (0 if settled else None),
            attempt.time_to_first_token_ms if attempt.HasField("time_to_first_token_ms") else None,
            attempt.finish_reason,
            KINDS[attempt.kind],
            usage.service_tier,
        )

    return encode


def _tokens(usage: Usage) -> tuple[int, ...]:
    return (
        usage.input_tokens,
        usage.cached_input_tokens,
        usage.cache_write_tokens,
        usage.cache_write_1h_tokens,
        usage.output_tokens,
        usage.reasoning_tokens,
        usage.input_audio_tokens,
        usage.output_audio_tokens,
        usage.input_image_tokens,
        usage.output_image_tokens,
        usage.accepted_prediction_tokens,
        usage.rejected_prediction_tokens,
    )


_TOKEN_COLUMNS = tuple(column.name for column in request_logs.columns if column.name.endswith("_tokens"))
_SAME_NAME = tuple(
    column.name
    for column in request_logs.columns
    if column.name in Attempt.DESCRIPTOR.fields_by_name
    and column.name not in ("state", "status", "provenance", "end_time", "kind")
)


def attempt_of(row: Row[*tuple[Any, ...]]) -> Attempt:
    """The attempt a row of `request_logs` keeps."""
    columns = row._mapping
    attempt = Attempt(
        **{name: columns[name] for name in _SAME_NAME},
        state=AttemptState.ValueType(STATES.index(columns["state"])),
        status=AttemptStatus.ValueType(STATUSES.index(columns["status"])),
        provenance=Provenance.ValueType(PROVENANCES.index(columns["provenance"])),
        kind=AttemptKind.ValueType(KINDS.index(columns["kind"])),
        start_time=timestamp(columns["timestamp"]),
        end_time=timestamp(columns["end_time"]) if columns["end_time"] else None,
    )
    if columns["input_tokens"] is not None:
        counts = {name: columns[name] for name in _TOKEN_COLUMNS}
        tier, extra = columns["service_tier"], columns["usage_extra"].encode()
        attempt.usage.CopyFrom(Usage(**counts, service_tier=tier, extra_json=extra))
    return attempt


SOURCES = _texts(PriceSource.keys(), "PRICE_SOURCE_")
_fields = Price.DESCRIPTOR.fields_by_name
_PRICE_COLUMNS = {
    column.name: {"cost_per_request": "request_nanos"}.get(
        column.name, column.name.replace("_cost_per_1m_tokens", "_nanos_per_1m")
    )
    for column in model_pricing.columns
}
_TIERS = ("context_tiers", "service_tiers")


def row_of_price(price: Price) -> dict[str, Any]:
    """A row of `model_pricing`."""
    said = {field.name for field, _ in price.ListFields()}
    row = {
        # A tier without a price of its own is NULL, not zero.
        column: getattr(price, field) if field in said or not _fields[field].has_presence else None
        for column, field in _PRICE_COLUMNS.items()
    }
    tiers = {name: _as_json(getattr(price, name)) for name in _TIERS}
    return row | tiers | {"effective_time": moment(price.effective_time), "source": SOURCES[price.source]}


def price_of(row: Row[*tuple[Any, ...]]) -> Price:
    """The price a row of `model_pricing` keeps."""
    fields = {field: row._mapping[column] for column, field in _PRICE_COLUMNS.items() if field not in _TIERS}
    source = PriceSource.ValueType(SOURCES.index(fields["source"]))
    price = Price(**fields | {"effective_time": timestamp(row._mapping["effective_time"]), "source": source})
    for name in _TIERS:
        for tier in json.loads(row._mapping[name]):
            ParseDict(tier, getattr(price, name).add())
    return price


def _as_json(tiers: Sequence[Message]) -> str:
    return json.dumps([MessageToDict(tier, preserving_proto_field_name=True) for tier in tiers], ensure_ascii=False)
