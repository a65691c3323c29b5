"""The tables, and the few expressions that databases spell differently. Migrations make them; `HEAD` is the last."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
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
    text,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator

from services.ledger.domain.totals import Sums

HEAD = "0005"
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
    # The default is for a ledger of the first release, which knows of calls alone.
    Column("kind", Text, nullable=False, server_default=text("'call'")),
    # Billed, in the provider's word. The default is for a ledger of a release that knows of none.
    Column("service_tier", Text, nullable=False, server_default=text("''")),
    Index("ix_request_logs_timestamp", "timestamp"),
    # With the time, so that a provider's newest rows are found without sorting all of them.
    Index("ix_request_logs_provider_name", "provider_name", "timestamp"),
    Index("ix_request_logs_request_id", "request_id"),
)

PARTITIONED = ("request_logs", "postings")
"""By the month inside the attempt's id, in PostgreSQL; see `partitions`. Said here as an option of the tables, it would
have every process load the whole of that dialect."""


def _sum(name: str) -> Column[int]:
    return Column(name, BigInteger, nullable=False)


def _whole(*names: str) -> list[CheckConstraint]:
    """Refuses a sum beyond 2^63 - 1, which SQLite would otherwise turn into a float without a word."""
    return [
        CheckConstraint(f"typeof({name}) = 'integer'", name=f"ck_{name}_whole").ddl_if(dialect="sqlite")
        for name in names
    ]


# Without a row id of its own in SQLite, so that a posting is written into one tree rather than two.
postings = Table(
    "postings",
    metadata,
    Column("attempt_id", _Uuid, primary_key=True),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    _text("account"),
    Column("amount_nanos", BigInteger, nullable=False),
    _text("kind"),
    Column("time", UtcDateTime, nullable=False),
    sqlite_with_rowid=False,
)

balances = Table(
    "balances",
    metadata,
    Column("account", Text, primary_key=True),
    _sum("balance_nanos"),
    # Of it: the postings of attempts that were rolled into daily totals.
    _sum("rolled_nanos"),
    *_whole("balance_nanos", "rolled_nanos"),
)

adjustments = Table(
    "adjustments",
    metadata,
    Column("attempt_id", _Uuid, primary_key=True),
    # That of the adjustment's first posting.
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("amount_nanos", BigInteger, nullable=False),
    _text("reason"),
    Column("time", UtcDateTime, nullable=False),
)

daily_totals = Table(
    "daily_totals",
    metadata,
    Column("day", String(10), primary_key=True),
    # Stands for the columns from tenant to deployment, which are too long together for an index.
    Column("key", String(32), primary_key=True),
    # Whether the rows it is of are gone. Of one key there are two totals while a day is being rolled.
    Column("rolled", Boolean, primary_key=True),
    _text("tenant"),
    _text("project"),
    _text("api_key_id"),
    _text("tags"),
    _text("model_requested"),
    _text("model_used"),
    _text("provider_name"),
    _text("deployment"),
    *(_sum(name) for name in Sums._fields),
    *_whole(*Sums._fields),
)

attempt_conflicts = Table(
    "attempt_conflicts",
    metadata,
    Column("attempt_id", _Uuid, primary_key=True),
    # Of the content, so that sending it again adds nothing.
    Column("digest", String(32), primary_key=True),
    Column("time", UtcDateTime, nullable=False),
    _text("journal_id"),
    _text("differs"),
    # The attempt as it was sent, as JSON.
    _text("content"),
)

retention = Table(
    "retention",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    # Settled attempts that started before are in the daily totals alone, or about to be.
    Column("rolled_before", UtcDateTime, nullable=False),
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
    Column("cost_per_request", BigInteger, nullable=False, server_default=text("0")),
    # JSON lists, of tollway.ledger.v1.ContextTier and ServiceTier.
    Column("context_tiers", Text, nullable=False, server_default=text("'[]'")),
    Column("service_tiers", Text, nullable=False, server_default=text("'[]'")),
    # Empty: from before it was written down.
    Column("source", Text, nullable=False, server_default=text("''")),
    Column("catalogue_entry", Text, nullable=False, server_default=text("''")),
    Column("withdrawn", Boolean, nullable=False, server_default=text("false")),
    # 0: not from the catalogue.
    Column("catalogue_edition", Integer, nullable=False, server_default=text("0")),
    UniqueConstraint(
        "model_name", "provider_name", "effective_time", "catalogue_edition", name="uq_model_pricing_model_name"
    ),
)


budgets = Table(
    "budgets",
    metadata,
    # Scope and window, such as `project:demo/month`.
    Column("budget_id", Text, primary_key=True),
    _text("scope"),
    Column("limit_nanos", BigInteger, nullable=False),
    # `day`, `week`, `month`, `rolling` or `total`.
    _text("time_window"),
    Column("rolling_seconds", BigInteger, nullable=True),
    _text("time_zone"),
    Column("soft", Boolean, nullable=False),
    # A JSON list of percentages.
    _text("thresholds"),
    Column("configured", Boolean, nullable=False),
    Column("create_time", UtcDateTime, nullable=False),
    Column("update_time", UtcDateTime, nullable=False),
    # Since when it holds no longer.
    Column("end_time", UtcDateTime, nullable=True),
    # Higher with every change of any budget: the highest says whether one has changed.
    Column("revision", BigInteger, nullable=False),
    Index("ix_budgets_revision", "revision"),
)

budget_accounts = Table(
    "budget_accounts",
    metadata,
    # Stands for budget, subject and start, which are too long together for an index.
    Column("account", String(32), primary_key=True),
    _text("budget_id"),
    _text("subject"),
    # When its window, of a rolling one its part, began (1970: it did not), and ends (NULL: it does not).
    Column("start_time", UtcDateTime, nullable=False),
    Column("end_time", UtcDateTime, nullable=True),
    _sum("spent_nanos"),
    _sum("granted_nanos"),
    # Of what was spent: without a lease, or beyond what was left of one.
    _sum("unleased_nanos"),
    # Of what was spent: by attempts that were rolled into daily totals.
    _sum("rolled_nanos"),
    # That count to it and have a row.
    _sum("attempts"),
    # The highest threshold that was told of it, in per cent.
    Column("told", Integer, nullable=False),
    *_whole("spent_nanos", "granted_nanos", "unleased_nanos", "rolled_nanos"),
    Index("ix_budget_accounts_budget_id", "budget_id", "start_time"),
)

# Without a row id of its own in SQLite, as postings.
budget_charges = Table(
    "budget_charges",
    metadata,
    Column("attempt_id", _Uuid, primary_key=True),
    # An account that the attempt counts to, with its cost and all adjustments.
    Column("account", String(32), primary_key=True),
    sqlite_with_rowid=False,
)

budget_leases = Table(
    "budget_leases",
    metadata,
    Column("lease_id", _Uuid, primary_key=True),
    _text("journal_id"),
    Column("account", String(32), nullable=False),
    _sum("granted_nanos"),
    _sum("returned_nanos"),
    _sum("settled_nanos"),
    Column("expire_time", UtcDateTime, nullable=False),
    Column("closed", Boolean, nullable=False),
    # Since when others are in need of it. NULL: nobody is.
    Column("recall_time", UtcDateTime, nullable=True),
    *_whole("granted_nanos", "returned_nanos", "settled_nanos"),
    Index("ix_budget_leases_account", "account"),
    Index("ix_budget_leases_journal_id", "journal_id"),
)

outbox = Table(
    "outbox",
    metadata,
    # A UUIDv7: events are published in about the order they happened in.
    Column("event_id", _Uuid, primary_key=True),
    Column("time", UtcDateTime, nullable=False),
    _text("kind"),
    # Its fields, as JSON.
    _text("content"),
    # Until when somebody is at publishing it. NULL: nobody is.
    Column("claimed_until", UtcDateTime, nullable=True),
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


def tagged(tags: ColumnElement[Any], tag: str) -> ColumnElement[bool]:
    """Holds where a column of tags has this one."""
    return has_element(tags, literal(tag, Text))
