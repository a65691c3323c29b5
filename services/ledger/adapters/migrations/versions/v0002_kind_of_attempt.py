"""Why there is an attempt: `call`, `hedge`, `continuation`, or `cache_hit`, which is no call at all."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # What is there are calls. The default stays, so that a ledger of the version before may write beside this one.
    op.add_column("request_logs", sa.Column("kind", sa.Text, nullable=False, server_default="call"))


def downgrade() -> None:
    """What a row says beside its kind is kept; a cache hit is then a call that cost nothing."""
    op.drop_column("request_logs", "kind")
