from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, select

from services.ledger.adapters.migrate import _MIGRATIONS
from services.ledger.adapters.schema import HEAD, metadata, request_logs
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
    def compare(connection: Connection) -> Any:
        # Partitions are made as months come.
        options = {
            "compare_type": True,
            "include_name": lambda name, kind, _: not re.search(r"_\d{4}_\d\d", name or ""),
        }
        return compare_metadata(MigrationContext.configure(connection, opts=options), metadata)

    async with ledger.runtime._store.connection() as connection:
        assert await connection.run_sync(compare) == []


def test_the_last_migration_is_the_one_the_code_expects() -> None:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    assert ScriptDirectory.from_config(config).get_heads() == [HEAD]


async def test_the_columns_are_those_the_design_names(ledger: Ledger) -> None:
    def look(connection: Connection) -> tuple[set[str], set[str], set[str]]:
        inspector = inspect(connection)
        indexed = {index["column_names"][0] or "" for index in inspector.get_indexes("request_logs")}
        indexed |= set(inspector.get_pk_constraint("request_logs")["constrained_columns"])
        logs, prices = (
            {column["name"] for column in inspector.get_columns(table)} for table in ("request_logs", "model_pricing")
        )
        return logs, prices, indexed

    async with ledger.runtime._store.connection() as connection:
        logs, prices, indexed = await connection.run_sync(look)
    assert logs >= REQUEST_LOGS
    assert prices >= MODEL_PRICING
    assert indexed >= {"attempt_id", "timestamp", "provider_name", "request_id"}


async def test_moments_written_in_bulk_are_as_sqlalchemy_writes_them(ledger: Ledger) -> None:
    settled = attempt(1_700_000_000.000001)
    await ledger.record(settled)
    moment = datetime(2023, 11, 14, 22, 13, 20, 1, tzinfo=UTC)
    found = select(request_logs.c.timestamp).where(request_logs.c.timestamp == moment)
    async with ledger.runtime._store.connection() as connection:
        assert (await connection.execute(found)).all() == [(moment,)]
