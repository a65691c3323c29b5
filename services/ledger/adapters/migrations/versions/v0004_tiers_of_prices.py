"""What prices say beside rates of tokens, who says them, and which service tier an attempt was billed at."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_UNIQUE = "uq_model_pricing_model_name"
_KEY = ["model_name", "provider_name", "effective_time"]


def upgrade() -> None:
    # The defaults stay, so that a ledger of the version before may write beside this one.
    op.add_column("request_logs", sa.Column("service_tier", sa.Text, nullable=False, server_default=""))
    with op.batch_alter_table("model_pricing") as table:
        table.add_column(sa.Column("cost_per_request", sa.BigInteger, nullable=False, server_default="0"))
        table.add_column(sa.Column("context_tiers", sa.Text, nullable=False, server_default="[]"))
        table.add_column(sa.Column("service_tiers", sa.Text, nullable=False, server_default="[]"))
        table.add_column(sa.Column("source", sa.Text, nullable=False, server_default=""))
        table.add_column(sa.Column("catalogue_entry", sa.Text, nullable=False, server_default=""))
        table.add_column(sa.Column("withdrawn", sa.Boolean, nullable=False, server_default=sa.false()))
        table.add_column(sa.Column("catalogue_edition", sa.Integer, nullable=False, server_default="0"))
        table.drop_constraint(_UNIQUE, type_="unique")
        table.create_unique_constraint(_UNIQUE, [*_KEY, "catalogue_edition"])


def downgrade() -> None:
    """Back to prices of one's own, by tokens alone. What rows cost stays; that they cost it by tiers, markups or the
    catalogue cannot be audited then."""
    op.execute("DELETE FROM model_pricing WHERE catalogue_edition <> 0 OR withdrawn")
    with op.batch_alter_table("model_pricing") as table:
        table.drop_constraint(_UNIQUE, type_="unique")
        for column in (
            "cost_per_request", "context_tiers", "service_tiers", "source", "catalogue_entry", "withdrawn",
            "catalogue_edition",
        ):  # fmt: skip
            table.drop_column(column)
        table.create_unique_constraint(_UNIQUE, _KEY)
    op.drop_column("request_logs", "service_tier")
