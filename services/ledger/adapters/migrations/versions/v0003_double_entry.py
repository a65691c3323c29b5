"""Postings, balances, daily totals, and what is kept beside them; in PostgreSQL, rows by months.

What is booked already is posted and totalled as if it had been all along.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_UUID = sa.String(36).with_variant(sa.Uuid(as_uuid=False), "postgresql")
_MOMENT = sa.DateTime(timezone=True)
_SUMS = (
    "requests", "attempts", "input_tokens", "cached_input_tokens", "cache_write_tokens", "output_tokens",
    "reasoning_tokens", "cost_nanos", "adjusted_nanos", "unpriced_attempts", "unsettled_attempts", "cache_hits",
)  # fmt: skip
_NAMES = ("tenant", "project", "api_key_id", "tags", "model_requested", "model_used", "provider_name", "deployment")
_INDEXES = {
    "ix_request_logs_timestamp": ["timestamp"],
    "ix_request_logs_provider_name": ["provider_name", "timestamp"],
    "ix_request_logs_request_id": ["request_id"],
}
_AT_ONCE = 500


def upgrade() -> None:
    if _postgresql():
        _lay_out_anew("PARTITION BY RANGE (attempt_id)")
    op.create_table(
        "postings",
        sa.Column("attempt_id", _UUID, primary_key=True),
        sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("account", sa.Text, nullable=False),
        sa.Column("amount_nanos", sa.BigInteger, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("time", _MOMENT, nullable=False),
        sqlite_with_rowid=False,
        postgresql_partition_by="RANGE (attempt_id)",
    )
    op.create_table(
        "balances",
        sa.Column("account", sa.Text, primary_key=True),
        sa.Column("balance_nanos", sa.BigInteger, nullable=False),
        sa.Column("rolled_nanos", sa.BigInteger, nullable=False),
        *_whole("balance_nanos", "rolled_nanos"),
    )
    op.create_table(
        "adjustments",
        sa.Column("attempt_id", _UUID, primary_key=True),
        sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("amount_nanos", sa.BigInteger, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("time", _MOMENT, nullable=False),
    )
    totals = op.create_table(
        "daily_totals",
        sa.Column("day", sa.String(10), primary_key=True),
        sa.Column("key", sa.String(32), primary_key=True),
        sa.Column("rolled", sa.Boolean, primary_key=True),
        *(sa.Column(name, sa.Text, nullable=False) for name in _NAMES),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in _SUMS),
        *_whole(*_SUMS),
    )
    op.create_table(
        "attempt_conflicts",
        sa.Column("attempt_id", _UUID, primary_key=True),
        sa.Column("digest", sa.String(32), primary_key=True),
        sa.Column("time", _MOMENT, nullable=False),
        sa.Column("journal_id", sa.Text, nullable=False),
        sa.Column("differs", sa.Text, nullable=False),
        sa.Column("content", sa.Text, nullable=False),
    )
    op.create_table(
        "retention",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("rolled_before", _MOMENT, nullable=False),
    )
    if _postgresql():
        for first, end, name in _months():
            _partition("postings", first, end, name)
    _post()
    _total(totals)


def downgrade() -> None:
    """Back to rows alone: what was posted can be made of them again, what was adjusted or rolled is forgotten."""
    for table in ("retention", "attempt_conflicts", "daily_totals", "adjustments", "balances", "postings"):
        op.drop_table(table)
    if _postgresql():
        _lay_out_anew("")


def _postgresql() -> bool:
    return op.get_bind().dialect.name == "postgresql"


def _whole(*names: str) -> list[sa.CheckConstraint]:
    if _postgresql():
        return []
    return [sa.CheckConstraint(f"typeof({name}) = 'integer'", name=f"ck_{name}_whole") for name in names]


def _lay_out_anew(layout: str) -> None:
    """Copies request_logs into a table of another layout."""
    months = list(_months())
    for index in _INDEXES:
        op.drop_index(index, table_name="request_logs")
    op.execute("ALTER TABLE request_logs RENAME TO request_logs_before")
    op.execute("ALTER TABLE request_logs_before DROP CONSTRAINT request_logs_pkey")
    op.execute(f"CREATE TABLE request_logs (LIKE request_logs_before INCLUDING DEFAULTS) {layout}")
    op.execute("ALTER TABLE request_logs ADD CONSTRAINT request_logs_pkey PRIMARY KEY (attempt_id)")
    for name, columns in _INDEXES.items():
        op.create_index(name, "request_logs", columns)
    if layout:
        for first, end, month in months:
            _partition("request_logs", first, end, month)
    op.execute("INSERT INTO request_logs SELECT * FROM request_logs_before")
    op.execute("DROP TABLE request_logs_before")


def _months() -> Iterator[tuple[str, str, str]]:
    """The first and last bound, as UUIDs, and the name of every month that has a row."""
    seen = op.get_bind().execute(sa.text("SELECT DISTINCT left(attempt_id::text, 6) FROM request_logs")).scalars()
    months = set()
    for digits in seen:  # four and a half hours each
        for edge in ("000000", "ffffff"):
            moment = datetime.fromtimestamp(int(digits + edge, 16) / 1000, UTC)
            months.add((moment.year, moment.month))
    for year, month in sorted(months):
        after = (year + month // 12, month % 12 + 1)
        yield _bound(year, month), _bound(*after), f"{year:04d}_{month:02d}"


def _bound(year: int, month: int) -> str:
    digits = f"{int(datetime(year, month, 1, tzinfo=UTC).timestamp() * 1000):012x}"
    return f"{digits[:8]}-{digits[8:]}-0000-0000-000000000000"


def _partition(table: str, first: str, end: str, month: str) -> None:
    op.execute(f"CREATE TABLE {table}_{month} PARTITION OF {table} FOR VALUES FROM ('{first}') TO ('{end}')")


def _post() -> None:
    """Two postings for every row that costs something, and the balances they come to."""
    escaped = {
        name: f"replace(replace({name}, '%', '%25'), '/', '%2F')"
        for name in ("tenant", "project", "api_key_id", "provider_name")
    }
    spend = f"'spend:' || {escaped['tenant']} || '/' || {escaped['project']} || '/' || {escaped['api_key_id']}"
    payable = f"'payable:' || {escaped['provider_name']}"
    for seq, account, sign in ((0, spend, ""), (1, payable, "-")):
        op.execute(
            "INSERT INTO postings (attempt_id, seq, account, amount_nanos, kind, time) "
            f"SELECT attempt_id, {seq}, {account}, {sign}cost_nanos, 'settlement', coalesce(end_time, timestamp) "
            "FROM request_logs WHERE cost_nanos <> 0"
        )
    op.execute(
        "INSERT INTO balances (account, balance_nanos, rolled_nanos) "
        "SELECT account, sum(amount_nanos), 0 FROM postings GROUP BY account"
    )


def _total(totals: sa.Table) -> None:
    day = "to_char(timezone('UTC', timestamp), 'YYYY-MM-DD')" if _postgresql() else "substr(timestamp, 1, 10)"
    names = ", ".join(f"CAST({name} AS TEXT)" for name in _NAMES)
    sums = (
        "sum(CASE WHEN attempt_number <= 1 THEN 1 ELSE 0 END), count(*), coalesce(sum(input_tokens), 0), "
        "coalesce(sum(cached_input_tokens), 0), coalesce(sum(cache_write_tokens), 0), "
        "coalesce(sum(output_tokens), 0), coalesce(sum(reasoning_tokens), 0), coalesce(sum(cost_nanos), 0), 0, "
        "sum(CASE WHEN input_tokens IS NOT NULL AND cost_nanos IS NULL THEN 1 ELSE 0 END), "
        "sum(CASE WHEN state <> 'settled' THEN 1 ELSE 0 END), "
        "sum(CASE WHEN kind = 'cache_hit' THEN 1 ELSE 0 END)"
    )
    groups = ", ".join(str(number + 1) for number in range(1 + len(_NAMES)))
    found = iter(
        op.get_bind().execute(sa.text(f"SELECT {day}, {names}, {sums} FROM request_logs GROUP BY {groups}")).all()
    )
    while rows := [_row(row) for row in islice(found, _AT_ONCE)]:
        op.bulk_insert(totals, rows)


def _row(row: Any) -> dict[str, Any]:
    day, *rest = row
    names, sums = rest[: len(_NAMES)], rest[len(_NAMES) :]
    key = hashlib.blake2b(json.dumps(names, ensure_ascii=False).encode(), digest_size=16).hexdigest()
    kept = {"day": day, "key": key, "rolled": False} | dict(zip(_NAMES, names, strict=True))
    return kept | {name: int(number) for name, number in zip(_SUMS, sums, strict=True)}
