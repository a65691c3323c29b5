"""Budgets, what was spent and granted of them, and events that wait to be published."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_UUID = sa.String(36).with_variant(sa.Uuid(as_uuid=False), "postgresql")
_MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "budgets",
        sa.Column("budget_id", sa.Text, primary_key=True),
        sa.Column("scope", sa.Text, nullable=False),
        sa.Column("limit_nanos", sa.BigInteger, nullable=False),
        sa.Column("time_window", sa.Text, nullable=False),
        sa.Column("rolling_seconds", sa.BigInteger, nullable=True),
        sa.Column("time_zone", sa.Text, nullable=False),
        sa.Column("soft", sa.Boolean, nullable=False),
        sa.Column("thresholds", sa.Text, nullable=False),
        sa.Column("configured", sa.Boolean, nullable=False),
        sa.Column("create_time", _MOMENT, nullable=False),
        sa.Column("update_time", _MOMENT, nullable=False),
        sa.Column("end_time", _MOMENT, nullable=True),
        sa.Column("revision", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_budgets_revision", "budgets", ["revision"])
    sums = ("spent_nanos", "granted_nanos", "unleased_nanos", "rolled_nanos")
    op.create_table(
        "budget_accounts",
        sa.Column("account", sa.String(32), primary_key=True),
        sa.Column("budget_id", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("start_time", _MOMENT, nullable=False),
        sa.Column("end_time", _MOMENT, nullable=True),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in (*sums, "attempts")),
        sa.Column("told", sa.Integer, nullable=False),
        *_whole(*sums),
    )
    op.create_index("ix_budget_accounts_budget_id", "budget_accounts", ["budget_id", "start_time"])
    op.create_table(
        "budget_charges",
        sa.Column("attempt_id", _UUID, primary_key=True),
        sa.Column("account", sa.String(32), primary_key=True),
        sqlite_with_rowid=False,
    )
    amounts = ("granted_nanos", "returned_nanos", "settled_nanos")
    op.create_table(
        "budget_leases",
        sa.Column("lease_id", _UUID, primary_key=True),
        sa.Column("journal_id", sa.Text, nullable=False),
        sa.Column("account", sa.String(32), nullable=False),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in amounts),
        sa.Column("expire_time", _MOMENT, nullable=False),
        sa.Column("closed", sa.Boolean, nullable=False),
        sa.Column("recall_time", _MOMENT, nullable=True),
        *_whole(*amounts),
    )
    op.create_index("ix_budget_leases_account", "budget_leases", ["account"])
    op.create_index("ix_budget_leases_journal_id", "budget_leases", ["journal_id"])
    op.create_table(
        "outbox",
        sa.Column("event_id", _UUID, primary_key=True),
        sa.Column("time", _MOMENT, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("content", sa.Text, nullable=False),
        sa.Column("claimed_until", _MOMENT, nullable=True),
    )


def downgrade() -> None:
    """What was spent of budgets is forgotten; the rows it was spent by stay."""
    for table in ("outbox", "budget_leases", "budget_charges", "budget_accounts", "budgets"):
        op.drop_table(table)


def _whole(*names: str) -> list[sa.CheckConstraint]:
    if op.get_bind().dialect.name == "postgresql":
        return []
    return [sa.CheckConstraint(f"typeof({name}) = 'integer'", name=f"ck_{name}_whole") for name in names]
