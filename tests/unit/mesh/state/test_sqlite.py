from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from mesh.clock import SystemClock, VirtualClock
from mesh.errors import Reason, TollwayError
from mesh.state.sqlite import SqliteStore
from mesh.state.store import Draw, Rate, Slot

_DRAWER = """
import asyncio, sys
from pathlib import Path
from mesh.clock import SystemClock
from mesh.state.sqlite import SqliteStore
from mesh.state.store import Draw, Rate

async def main():
    store = SqliteStore.open(Path(sys.argv[1]), SystemClock(), 20.0)
    draw = Draw("a", Rate(100, 86400.0))
    decisions = await asyncio.gather(*(store.admit([draw], [], "h") for _ in range(50)))
    for _ in range(50):
        decisions.append(await store.admit([draw], [], "h"))
    print(sum(decision.allowed for decision in decisions))
    await store.close()

asyncio.run(main())
"""


def test_processes_that_open_a_new_file_at_once_share_it_exactly(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _DRAWER, str(tmp_path / "state.db")]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    let_through = [int(process.communicate(timeout=60)[0]) for process in processes]
    assert sum(let_through) == 100


async def test_a_file_that_stays_locked_is_lost_in_bounded_time(tmp_path: Path) -> None:
    store = SqliteStore.open(tmp_path / "state.db", SystemClock(), 0.05)
    with sqlite3.connect(tmp_path / "state.db", isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(TollwayError, match="locked") as raised:
            await asyncio.wait_for(store.get("r"), 5.0)
        assert raised.value.reason is Reason.SERVICE_UNAVAILABLE
        other.execute("ROLLBACK")
    assert await store.get("r") is None
    await store.close()
    other.close()


async def test_what_has_lapsed_is_swept(tmp_path: Path) -> None:
    clock = VirtualClock()
    store = SqliteStore.open(tmp_path / "state.db", clock, 1.0)
    await store.admit([Draw("a", Rate(10, 1.0))], [Slot("s", 1, 1.0)], "h")
    await store.put("r", b"", 1.0)
    await store.append("l", [b"", b""], 1.0)
    clock._now += 5.0
    await store.get("r")
    await store.close()
    with sqlite3.connect(tmp_path / "state.db") as database:
        for table in ("rates", "holders", "records", "logs", "pieces"):
            assert database.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)
    database.close()


async def test_state_outlives_the_process(tmp_path: Path) -> None:
    draw = Draw("a", Rate(1, 86_400.0))
    for allowed in (True, False):
        store = SqliteStore.open(tmp_path / "state.db", SystemClock(), 1.0)
        assert (await store.admit([draw], [], "h")).allowed is allowed
        await store.close()


async def test_state_of_a_later_version_is_refused(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "state.db") as database:
        database.execute("PRAGMA user_version = 2")
    database.close()
    with pytest.raises(OSError, match="version 2"):
        SqliteStore.open(tmp_path / "state.db", SystemClock(), 1.0)
