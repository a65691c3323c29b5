"""What the ledger has booked, and what its journals still hold back."""

from __future__ import annotations

import sqlite3
from contextlib import closing

from tests.e2e.processes import Mesh


def entries_in_journals(mesh: Mesh) -> int:
    """What no ledger has answered for yet."""
    count = 0
    for journal in (mesh.data_dir / "journal").glob("*.db"):
        try:
            with closing(sqlite3.connect(f"file:{journal}?mode=ro", uri=True, timeout=10)) as database:
                count += database.execute("SELECT count(*) FROM entries").fetchone()[0]
        except sqlite3.OperationalError:  # it is just being removed: look again
            count += 1
    return count
