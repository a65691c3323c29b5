"""The state that the processes of one machine share, in a file.

What is asked for together is one transaction, in a thread; processes take turns at the file. Moments are wall time in
microseconds: the file outlives processes, and monotonic time does not outlive the machine's boot.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from mesh.clock import Clock
from mesh.state import gcra
from mesh.state.batches import Batches
from mesh.state.gcra import micros
from mesh.state.store import Decision, Draw, Slot, unreachable

_VERSION = 1
_SCHEMA = """
CREATE TABLE rates (key TEXT PRIMARY KEY, micros INTEGER NOT NULL, rest INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE holders (key TEXT, holder TEXT, until INTEGER NOT NULL, PRIMARY KEY (key, holder)) WITHOUT ROWID;
CREATE TABLE records (key TEXT PRIMARY KEY, value BLOB NOT NULL, until INTEGER NOT NULL);
CREATE TABLE logs (key TEXT PRIMARY KEY, pieces INTEGER NOT NULL, until INTEGER NOT NULL);
CREATE TABLE pieces (key TEXT, number INTEGER, piece BLOB NOT NULL, PRIMARY KEY (key, number)) WITHOUT ROWID;
CREATE INDEX rates_lapse ON rates (micros);
CREATE INDEX holders_lapse ON holders (until);
CREATE INDEX records_lapse ON records (until);
CREATE INDEX logs_lapse ON logs (until);
CREATE TRIGGER log_goes AFTER DELETE ON logs BEGIN DELETE FROM pieces WHERE key = old.key; END;
PRAGMA user_version = 1;
"""
_SWEEPS = (
    "DELETE FROM rates WHERE key IN (SELECT key FROM rates WHERE micros < ? LIMIT 256)",
    "DELETE FROM holders WHERE (key, holder) IN (SELECT key, holder FROM holders WHERE until <= ? LIMIT 256)",
    "DELETE FROM records WHERE key IN (SELECT key FROM records WHERE until <= ? LIMIT 256)",
    "DELETE FROM logs WHERE key IN (SELECT key FROM logs WHERE until <= ? LIMIT 64)",
)
_SWEEP_EVERY = 1_000_000
"""Microseconds."""

_NEXT_TURN = 0.001
"""Seconds until a file that another process is writing to is tried again. SQLite's own waits grow, and would starve."""

_KEEP = "INSERT INTO rates VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET micros = excluded.micros, rest = excluded.rest"
_HOLD = "INSERT INTO holders VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET until = excluded.until"
_PUT = "INSERT INTO records VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET value = excluded.value, until = excluded.until"
_LOG = "INSERT INTO logs VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET pieces = excluded.pieces, until = excluded.until"

Operation = Callable[[sqlite3.Connection, int], Any]
"""What is done inside a transaction at that moment, and its outcome."""


class SqliteStore:
    """Implements `StateStore`. `patience`: for how many seconds others may keep the file, and the disk again."""

    def __init__(self, database: sqlite3.Connection, clock: Clock, patience: float) -> None:
        self._database, self._clock, self._patience = database, clock, patience
        self._thread = ThreadPoolExecutor(1, "state")
        self._batches: Batches[Operation] = Batches(self._trip, clock, 2 * patience)
        self._swept = 0

    @classmethod
    def open(cls, path: Path, clock: Clock, patience: float) -> SqliteStore:
        """The store in the file, which is made where there is none. Raises OSError."""
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))  # answers may be kept in it
        database = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
        try:
            _prepare(database, max(patience, 5.0))
        except sqlite3.Error as error:
            database.close()
            raise OSError(f"state cannot be kept in {path}: {error}") from error
        except BaseException:
            database.close()
            raise
        return cls(database, clock, patience)

    async def _trip(self, operations: Sequence[Operation]) -> Sequence[Any]:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._transact, operations)

    def _transact(self, operations: Sequence[Operation]) -> list[Any]:
        database = self._database
        try:
            _in_turn(database, "BEGIN IMMEDIATE", self._patience)
            try:
                now = int(self._clock.time() * gcra.MICROS)
                outcomes = [operation(database, now) for operation in operations]
                if now - self._swept >= _SWEEP_EVERY:
                    self._swept = now
                    for sweep in _SWEEPS:
                        database.execute(sweep, (now,))
                database.execute("COMMIT")
            except BaseException:
                database.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise unreachable(f"its file: {error}") from error
        return outcomes

    async def admit(self, draws: Sequence[Draw], slots: Sequence[Slot], holder: str) -> Decision:
        def decide(database: sqlite3.Connection, now: int) -> Decision:
            taken = next((slot.key for slot in slots if _is_taken(database, slot, holder, now)), "")
            decision, fulls = gcra.decide([_full(database, draw) for draw in draws], now, draws, taken)
            if decision.allowed:
                for draw, full in zip(draws, fulls, strict=True):
                    _keep(database, draw, full)
                database.executemany(_HOLD, [(slot.key, holder, now + micros(slot.lease)) for slot in slots])
            return decision

        decision: Decision = await self._batches.ask(decide)
        return decision

    async def settle(self, draws: Sequence[Draw], slots: Sequence[Slot], holder: str) -> None:
        def settle(database: sqlite3.Connection, now: int) -> None:
            for draw in draws:
                _keep(database, draw, gcra.after(_full(database, draw), now, draw))
            held = [(slot.key, holder) for slot in slots]
            database.executemany("DELETE FROM holders WHERE key = ? AND holder = ?", held)

        await self._batches.ask(settle)

    async def get(self, key: str) -> bytes | None:
        value: bytes | None = await self._batches.ask(lambda database, now: _get(database, key, now))
        return value

    async def put(self, key: str, value: bytes, ttl: float) -> None:
        def write(database: sqlite3.Connection, now: int) -> None:
            database.execute(_PUT, (key, value, now + micros(ttl)))

        await self._batches.ask(write)

    async def add(self, key: str, value: bytes, ttl: float) -> bool:
        return await self._put_over(None, key, value, ttl)

    async def swap(self, key: str, old: bytes, new: bytes, ttl: float) -> bool:
        return await self._put_over(old, key, new, ttl)

    async def _put_over(self, there: bytes | None, key: str, value: bytes, ttl: float) -> bool:
        def put(database: sqlite3.Connection, now: int) -> bool:
            if _get(database, key, now) != there:
                return False
            database.execute(_PUT, (key, value, now + micros(ttl)))
            return True

        written: bool = await self._batches.ask(put)
        return written

    async def delete(self, key: str) -> None:
        def forget(database: sqlite3.Connection, now: int) -> None:
            database.execute("DELETE FROM records WHERE key = ?", (key,))
            database.execute("DELETE FROM logs WHERE key = ?", (key,))

        await self._batches.ask(forget)

    async def scan(self, prefix: str) -> Mapping[str, bytes]:
        def read(database: sqlite3.Connection, now: int) -> dict[str, bytes]:
            # By the key's beginning rather than with LIKE, for which letters are alike and `_` is any.
            found = database.execute(
                "SELECT key, value FROM records WHERE key >= ?1 AND substr(key, 1, length(?1)) = ?1 AND until > ?2",
                (prefix, now),
            )
            return dict(found.fetchall())

        records: dict[str, bytes] = await self._batches.ask(read)
        return records

    async def append(self, key: str, pieces: Sequence[bytes], ttl: float) -> None:
        def write(database: sqlite3.Connection, now: int) -> None:
            row = database.execute("SELECT pieces, until FROM logs WHERE key = ?", (key,)).fetchone()
            count, until = row or (0, now)
            if row and until <= now:
                database.execute("DELETE FROM logs WHERE key = ?", (key,))
                count = 0
            rows = [(key, count + index, piece) for index, piece in enumerate(pieces)]
            database.executemany("INSERT INTO pieces VALUES (?, ?, ?)", rows)
            database.execute(_LOG, (key, count + len(rows), now + micros(ttl)))

        await self._batches.ask(write)

    async def pieces(self, key: str, start: int) -> Sequence[bytes]:
        def read(database: sqlite3.Connection, now: int) -> list[bytes]:
            found = database.execute(
                "SELECT piece FROM pieces JOIN logs USING (key) WHERE key = ? AND number >= ? AND until > ? "
                "ORDER BY number",
                (key, start, now),
            )
            return [piece for (piece,) in found]

        pieces: list[bytes] = await self._batches.ask(read)
        return pieces

    async def close(self) -> None:
        await self._batches.close()
        await asyncio.get_running_loop().run_in_executor(self._thread, self._database.close)
        self._thread.shutdown(wait=False)


def _prepare(database: sqlite3.Connection, patience: float) -> None:
    """Makes the tables where there are none, whoever else is about to."""
    _in_turn(database, "PRAGMA journal_mode = WAL", patience)
    database.execute("PRAGMA synchronous = NORMAL")
    _in_turn(database, "BEGIN IMMEDIATE", patience)
    try:
        (version,) = database.execute("PRAGMA user_version").fetchone()
        if version not in (0, _VERSION):
            raise OSError(f"state of version {version} cannot be read; this Tollway knows version {_VERSION}")
        if version == 0:
            for statement in _statements(_SCHEMA):
                database.execute(statement)
        database.execute("COMMIT")
    except BaseException:
        database.execute("ROLLBACK")
        raise


def _statements(script: str) -> list[str]:
    # `executescript` would commit first, and leave a moment in which another process sees half of it.
    return [line for line in script.splitlines() if line]


def _in_turn(database: sqlite3.Connection, statement: str, patience: float) -> None:
    """Executes a statement as soon as no other process is in the way. Raises sqlite3.OperationalError after a while."""
    end = time.monotonic() + patience
    while True:
        try:
            database.execute(statement)
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() >= end:
                raise
        time.sleep(_NEXT_TURN)


def _full(database: sqlite3.Connection, draw: Draw) -> int:
    row = database.execute("SELECT micros, rest FROM rates WHERE key = ?", (draw.key,)).fetchone()
    if row is None:
        return 0
    limit = draw.rate.limit
    return int(row[0]) * limit + min(int(row[1]), limit - 1)


def _keep(database: sqlite3.Connection, draw: Draw, full: int) -> None:
    database.execute(_KEEP, (draw.key, *divmod(full, draw.rate.limit)))


def _is_taken(database: sqlite3.Connection, slot: Slot, holder: str, now: int) -> bool:
    row = database.execute(
        "SELECT count(*) FROM holders WHERE key = ? AND holder != ? AND until > ?", (slot.key, holder, now)
    ).fetchone()
    return int(row[0]) >= slot.limit


def _get(database: sqlite3.Connection, key: str, now: int) -> bytes | None:
    row = database.execute("SELECT value FROM records WHERE key = ? AND until > ?", (key, now)).fetchone()
    return None if row is None else row[0]
