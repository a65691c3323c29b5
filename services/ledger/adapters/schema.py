"""The tables, and the few expressions that databases spell differently. Migrations make them; `HEAD` is the last."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    DateTime,
    Dialect,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    literal,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator

HEAD = "0002"
metadata = MetaData()


class UtcDateTime(TypeDecorator[datetime]):
    """A moment in UTC, aware on both ways. In SQLite it is text that sorts by time: `2026-11-20 10:00:00.000000`."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value.replace(tzinfo=UTC) if value is not None and value.tzinfo is None else value


# With its dashes, as everyone who joins by it writes it; PostgreSQL has a type for it.
_Uuid = String(36).with_variant(Uuid(as_uuid=False), "postgresql")


def _text(name: str) -> Column[str]:
    """A text that is empty where there is nothing to say."""
    return Column(name, Text, nullable=False)


def _number(name: str) -> Column[int]:
    """A number that is NULL where it is not known."""
    return Column(name, BigInteger, nullable=True)


request_logs = Table(
    "request_logs",
    metadata,
    Column("attempt_id", _Uuid, primary_key=True),
    _text("request_id"),
    _text("trace_id"),
    _text("span_id"),
    _text("state"),
    Column("timestamp", UtcDateTime, nullable=False),
    Column("end_time", UtcDateTime, nullable=True),
    _text("tenant"),
    _text("project"),
    _text("api_key_id"),
    Column("tags", JSON, nullable=False),
    _text("model_requested"),
    _text("model_used"),
    _text("model_provider"),
    _text("provider_name"),
    _text("deployment"),
    Column("attempt_number", Integer, nullable=False),
    Column("streamed", Boolean, nullable=False),
    _number("input_tokens"),
    _number("cached_input_tokens"),
    _number("cache_write_tokens"),
    _number("cache_write_1h_tokens"),
    _number("output_tokens"),
    _number("reasoning_tokens"),
    _number("input_audio_tokens"),
    _number("output_audio_tokens"),
    _number("input_image_tokens"),
    _number("output_image_tokens"),
    _number("accepted_prediction_tokens"),
    _number("rejected_prediction_tokens"),
    _text("usage_extra"),
    _number("cost_nanos"),
    _text("provenance"),
    _text("price_version"),
    _text("status"),
    _text("error_reason"),
    Column("upstream_status", Integer, nullable=True),
    _text("upstream_request_id"),
    _number("response_time_ms"),
    _number("time_to_first_token_ms"),
    _text("finish_reason"),
    _text("kind"),
    Index("ix_request_logs_timestamp", "timestamp"),
    # With the time, so that a provider's newest rows are found without sorting all of them.
    Index("ix_request_logs_provider_name", "provider_name", "timestamp"),
    Index("ix_request_logs_request_id", "request_id"),
)

model_pricing = Table(
    "model_pricing",
    metadata,
    Column("version", Text, primary_key=True),
    _text("provider_name"),
    _text("model_name"),
    Column("effective_time", UtcDateTime, nullable=False),
    Column("input_cost_per_1m_tokens", BigInteger, nullable=False),
    Column("output_cost_per_1m_tokens", BigInteger, nullable=False),
    _number("cached_input_cost_per_1m_tokens"),
    _number("cache_write_cost_per_1m_tokens"),
    _number("cache_write_1h_cost_per_1m_tokens"),
    _number("reasoning_cost_per_1m_tokens"),
    _number("input_audio_cost_per_1m_tokens"),
    _number("output_audio_cost_per_1m_tokens"),
    _number("input_image_cost_per_1m_tokens"),
    _number("output_image_cost_per_1m_tokens"),
    Column("max_context_tokens", BigInteger, nullable=False),
    UniqueConstraint("model_name", "provider_name", "effective_time", name="uq_model_pricing_model_name"),
)


class utc_day(FunctionElement[str]):  # noqa: N801 - written as the SQL function it stands for
    """A moment's calendar day in UTC, as `2026-11-20`."""

    type = String()
    inherit_cache = True


@compiles(utc_day, "sqlite")
def _sqlite_day(element: utc_day, compiler: SQLCompiler, **options: Any) -> str:
    return f"substr({compiler.process(element.clauses, **options)}, 1, 10)"


@compiles(utc_day, "postgresql")
def _postgresql_day(element: utc_day, compiler: SQLCompiler, **options: Any) -> str:
    return f"to_char(timezone('UTC', {compiler.process(element.clauses, **options)}), 'YYYY-MM-DD')"


class has_element(FunctionElement[bool]):  # noqa: N801 - written as the SQL function it stands for
    """Whether a JSON list of texts holds a text."""

    type = Boolean()
    inherit_cache = True


@compiles(has_element, "sqlite")
def _sqlite_has(element: has_element, compiler: SQLCompiler, **options: Any) -> str:
    column, text = (compiler.process(clause, **options) for clause in element.clauses)
    return f"EXISTS (SELECT 1 FROM json_each({column}) WHERE value = {text})"


@compiles(has_element, "postgresql")
def _postgresql_has(element: has_element, compiler: SQLCompiler, **options: Any) -> str:
    column, text = (compiler.process(clause, **options) for clause in element.clauses)
    return f"jsonb_exists({column}::jsonb, {text})"


def tagged(tag: str) -> ColumnElement[bool]:
    """Holds for the attempts that carry this tag."""
    return has_element(request_logs.c.tags, literal(tag, Text))
