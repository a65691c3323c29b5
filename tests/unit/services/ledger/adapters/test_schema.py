from __future__ import annotations

from datetime import UTC, datetime

from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, select
from sqlalchemy.dialects.postgresql import asyncpg
from sqlalchemy.schema import CreateTable

from services.ledger.adapters.attempts import upsert
from services.ledger.adapters.migrate import _MIGRATIONS
from services.ledger.adapters.rows import encoder
from services.ledger.adapters.schema import HEAD, metadata, model_pricing, request_logs, tagged, utc_day
from services.ledger.adapters.usage import _SUMS
from tests.unit.services.ledger.conftest import Ledger
from tests.unit.services.ledger.samples import attempt

REQUEST_LOGS = frozenset({
    "attempt_id", "request_id", "trace_id", "timestamp", "tenant", "project", "api_key_id", "tags", "model_requested",
    "model_used", "model_provider", "provider_name", "deployment", "input_tokens", "cached_input_tokens",
    "cache_write_tokens", "output_tokens", "reasoning_tokens", "cost_nanos", "provenance", "price_version", "status",
    "error_reason", "response_time_ms", "time_to_first_token_ms", "kind",
})  # fmt: skip
MODEL_PRICING = frozenset({
    "model_name", "input_cost_per_1m_tokens", "output_cost_per_1m_tokens", "max_context_tokens", "effective_time",
})  # fmt: skip


async def test_the_migrations_make_exactly_the_tables_the_code_uses(ledger: Ledger) -> None:
    engine = create_engine(f"sqlite:///{ledger.database}")
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
    engine.dispose()


def test_the_last_migration_is_the_one_the_code_expects() -> None:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    assert ScriptDirectory.from_config(config).get_heads() == [HEAD]


async def test_the_columns_are_those_the_design_names(ledger: Ledger) -> None:
    columns = {row[1] for row in ledger.sql("PRAGMA table_info(request_logs)")}
    assert columns >= REQUEST_LOGS
    columns = {row[1] for row in ledger.sql("PRAGMA table_info(model_pricing)")}
    assert columns >= MODEL_PRICING
    indexed = {
        row[2]
        for index in ledger.sql("PRAGMA index_list(request_logs)")
        for row in ledger.sql(f"PRAGMA index_info({index[1]})")
        if row[0] == 0
    }
    assert indexed >= {"attempt_id", "timestamp", "provider_name", "request_id"}


async def test_moments_written_in_bulk_are_as_sqlalchemy_writes_them(ledger: Ledger) -> None:
    settled = attempt(1_700_000_000.000001)
    await ledger.record(settled)
    engine = create_engine(f"sqlite:///{ledger.database}")
    with engine.connect() as connection:
        moment = datetime(2023, 11, 14, 22, 13, 20, 1, tzinfo=UTC)
        found = select(request_logs.c.timestamp).where(request_logs.c.timestamp == moment)
        assert connection.execute(found).all() == [(moment,)]
    engine.dispose()


def test_the_same_tables_and_questions_can_be_put_to_postgresql() -> None:
    dialect = asyncpg.dialect()  # type: ignore[no-untyped-call] # SQLAlchemy leaves it so
    assert "attempt_id UUID NOT NULL" in str(CreateTable(request_logs).compile(dialect=dialect))
    assert "effective_time TIMESTAMP WITH TIME ZONE" in str(CreateTable(model_pricing).compile(dialect=dialect))
    statement = upsert(dialect)
    assert "ON CONFLICT (attempt_id) DO UPDATE" in statement
    question = select(utc_day(request_logs.c.timestamp), *_SUMS.values()).where(tagged("ci"))
    words = str(question.compile(dialect=dialect))
    assert "to_char(timezone('UTC', request_logs.timestamp), 'YYYY-MM-DD')" in words
    assert "jsonb_exists(request_logs.tags::jsonb," in words
    values = dict(zip(request_logs.columns.keys(), encoder(dialect)(attempt()), strict=True))
    assert values["timestamp"] == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
    assert values["tags"] == '["ci"]'
