"""Brings a database to the schema this version is written for."""

from __future__ import annotations

import logging
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, text

from mesh.errors import Reason, TollwayError
from services.ledger.adapters.schema import HEAD
from services.ledger.adapters.store import Store

_MIGRATIONS = Path(__file__).parent / "migrations"


async def migrate(store: Store) -> None:
    """Runs the migrations that the database lacks, all or none, whoever else does so at the same time.

    Raises TollwayError SERVICE_UNAVAILABLE for a database that a newer version has migrated.
    """
    if await version(store) == HEAD:  # every start but the first
        return
    async with store.transaction():
        # Asked again under the lock: another process may have been faster.
        if await version(store) != HEAD:
            async with store.connection() as connection:
                await connection.run_sync(_upgrade)


async def version(store: Store) -> str:
    """The schema's version; empty for a database without one."""
    async with store.connection() as connection:
        found = await connection.run_sync(_version)
    if found and found not in _known():
        raise TollwayError(
            Reason.SERVICE_UNAVAILABLE,
            f"{store.name} has schema {found}, and this version of Tollway knows only {HEAD}: "
            "it was used with a newer one; use that again",
        )
    return found


def _known() -> Collection[str]:
    return {file.name[1:5] for file in (_MIGRATIONS / "versions").glob("v[0-9]*_*.py")}


def _version(connection: Connection) -> str:
    if not connection.dialect.has_table(connection, "alembic_version"):
        return ""
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar() or ""


def _upgrade(connection: Connection) -> None:
    # Imported for the one start in a hundred that needs it: it costs as much as the rest of the ledger's start.
    with _unavailable("pygments"):
        from alembic import command
        from alembic.config import Config

    logging.getLogger("alembic").setLevel(logging.WARNING)  # its steps are nobody's news
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    command.upgrade(config, "head")


@contextmanager
def _unavailable(library: str) -> Iterator[None]:
    """Has nobody load that library meanwhile who can do without.

    Alembic imports Mako, for scripts that nobody here has made, and Mako imports Pygments, to colour its error pages:
    3 MB, for as long as the process runs.
    """
    if library in sys.modules:
        yield
        return
    sys.modules[library] = None  # type: ignore[assignment]  # as the import system has it for what cannot be imported
    try:
        yield
    finally:
        del sys.modules[library]
