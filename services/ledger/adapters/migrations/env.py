"""Run by Alembic: migrates over the connection, and in the transaction, that it was given."""

from __future__ import annotations

from alembic import context

from services.ledger.adapters.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
