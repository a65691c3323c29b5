"""A journal's file: what is in it, and the few statements that touch it.

Entries are only ever appended, at numbers that rise, and removed. An attempt's first entry says that its call is about
to leave, the second how that ended; the second names the first, so that both can go in one transaction without an index
to be kept. An entry without a second is a call whose end was never written down.

Small pages: an entry is a few hundred bytes, and each commit writes whole pages to the write-ahead log; but
not so small that they are full after an attempt or two, because a commit that begins a page writes four.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

_VERSION = 1
_SCHEMA = """
PRAGMA page_size = 2048;
PRAGMA journal_mode = WAL;
BEGIN;
CREATE TABLE entries (number INTEGER PRIMARY KEY, opening INTEGER, attempt BLOB NOT NULL);
CREATE TABLE dead_letters (attempt BLOB NOT NULL PRIMARY KEY, message TEXT NOT NULL, unix_time REAL NOT NULL);
PRAGMA user_version = 1;
COMMIT;
"""
_BURY = "INSERT INTO dead_letters VALUES (?, ?, ?) ON CONFLICT (attempt) DO NOTHING"
_CORRUPT = ("SQLITE_CORRUPT", "SQLITE_NOTADB")
SUFFIX = ".db"
CHECKPOINT_AFTER = 2000
"""Writes; they make about 5 MB of write-ahead log."""
LARGE = 16 * 2**20
"""Bytes of free pages in a file, from which on they are given back."""
_LITTLE = 4 * 2**20
"""Bytes of a file that are in use at most when its free pages are given back: those have to be copied for it."""
BATCH = 1000
"""Entries that are shipped together."""
TOGETHER = 64
"""Entries that are written together at most; SQLite bounds the values in a statement."""
_APPEND = [f"INSERT INTO entries VALUES {', '.join(['(?, ?, ?)'] * count)}" for count in range(TOGETHER + 1)]
"""By how many."""
MOST_BYTES = 2**20
"""What is read at once at most, give or take an entry: gRPC bounds messages, and somebody has to hold it."""


class Entry(NamedTuple):
    """An entry: its number, that of its attempt's first entry (None: this is the first), a serialized Attempt."""

    number: int
    opening: int | None
    attempt: bytes


class JournalFile:
    """An open journal. Whoever opens one holds its lock. Methods raise sqlite3.Error; not for two threads at once."""

    def __init__(self, path: Path, database: sqlite3.Connection) -> None:
        self.path = path
        self.writes = 0
        """Entries appended and removed so far."""
        self.pending = 0
        """Attempts in it that have ended."""
        self._database = database
        self._execute = database.execute
        self._dead: int = self._execute("SELECT count(*) FROM dead_letters").fetchone()[0]

    @property
    def id(self) -> str:
        return self.path.stem

    @classmethod
    def create(cls, path: Path, *, every_write_to_disk: bool = False) -> JournalFile:
        """A new journal at `path`."""
        database = _connect(path)
        try:
            database.executescript(_SCHEMA)
            database.execute(f"PRAGMA synchronous = {'FULL' if every_write_to_disk else 'NORMAL'}")
            database.execute("PRAGMA wal_autocheckpoint = 0")  # checkpoints belong in a thread
            database.execute(f"PRAGMA journal_size_limit = {LARGE}")  # of the log, when it begins anew
        except sqlite3.Error:
            database.close()
            raise
        return cls(path, database)

    @classmethod
    def adopt(cls, path: Path) -> JournalFile:
        """The journal that a process which is no more left at `path`."""
        database = _connect(path)
        try:
            version = database.execute("PRAGMA user_version").fetchone()[0]
            if version == 0:  # its process was lost while making it
                database.executescript(_SCHEMA)
            elif version != _VERSION:
                raise sqlite3.NotSupportedError(f"{path.name} is of version {version}, not {_VERSION}")
            database.execute("PRAGMA synchronous = NORMAL")
            database.execute("PRAGMA wal_autocheckpoint = 0")
            return cls(path, database)
        except sqlite3.Error:
            database.close()
            raise

    def append(self, *entries: Entry) -> None:
        """Writes entries, all or none; at most `TOGETHER`."""
        # One statement, whatever their number: a commit costs more than what is committed.
        self._execute(_APPEND[len(entries)], [value for entry in entries for value in entry])
        self.writes += len(entries)
        self.pending += sum(entry.opening is not None for entry in entries)

    def touch(self) -> None:
        """Writes a page, as it is: where there is no room, this fails as any other write."""
        self._execute(f"PRAGMA user_version = {_VERSION}")

    def ended(self) -> list[Entry]:
        """The oldest second entries, a batch of them."""
        return self._read(f"SELECT * FROM entries WHERE opening IS NOT NULL ORDER BY number LIMIT {BATCH}")

    def opened(self) -> list[Entry]:
        """The oldest first entries, a batch of them."""
        return self._read(f"SELECT * FROM entries WHERE opening IS NULL ORDER BY number LIMIT {BATCH}")

    def at(self, numbers: Sequence[int]) -> list[Entry]:
        """The entries with those numbers."""
        return self._read(f"SELECT * FROM entries WHERE number IN ({','.join('?' * len(numbers))})", *numbers)

    def remove(self, entries: Iterable[Entry], dead: Iterable[tuple[Entry, str]], now: float) -> None:
        """Removes entries, each with its attempt's first, in one transaction; the dead go to the dead letters."""
        gone, buried = list(entries), 0
        self._execute("BEGIN IMMEDIATE")
        with self._database:  # commits, or rolls back
            for entry, message in dead:
                buried += self._execute(_BURY, (entry.attempt, message, now)).rowcount
                gone.append(entry)
            numbers = [entry.number for entry in gone]
            numbers += [entry.opening for entry in gone if entry.opening is not None]
            self._execute(
                "DELETE FROM entries WHERE number IN (SELECT value FROM json_each(?))", (json.dumps(numbers),)
            )
        self.writes += len(numbers)
        self.pending -= sum(entry.opening is not None for entry in gone)
        self._dead += buried

    def move_dead_letters(self, to: JournalFile) -> bool:
        """Hands dead letters over, a batch of them; whether there may be more.

        Lost in between, it leaves them in both, and they are handed over again.
        """
        query = f"SELECT rowid, attempt, message, unix_time FROM dead_letters ORDER BY rowid LIMIT {BATCH}"
        letters = self._execute(query).fetchall()
        if letters:
            to._execute("BEGIN IMMEDIATE")
            with to._database:
                to._dead += to._database.executemany(_BURY, [letter[1:] for letter in letters]).rowcount
            self._dead -= self._execute("DELETE FROM dead_letters WHERE rowid <= ?", (letters[-1][0],)).rowcount
        return len(letters) == BATCH

    def dead_letters(self) -> int:
        """How many attempts the ledger refused. Asked after every batch, and so not counted anew."""
        return self._dead

    @property
    def empty(self) -> bool:
        query = "SELECT EXISTS (SELECT 1 FROM entries) OR EXISTS (SELECT 1 FROM dead_letters)"
        return not self._execute(query).fetchone()[0]

    def close(self, *, keep: bool = False) -> None:
        """Closes the journal, and removes it if nothing is in it, unless it is to be kept for whoever adopts it."""
        try:
            empty = self.empty
        finally:
            self._database.close()
        if empty and not keep:
            for path in _files(self.path):
                path.unlink(missing_ok=True)

    def _read(self, query: str, *parameters: int) -> list[Entry]:
        entries: list[Entry] = []
        size = 0
        for row in self._execute(query, parameters):
            entries.append(Entry(*row))
            size += len(row[2])
            if size > MOST_BYTES:
                break
        return entries


def checkpoint(path: Path) -> None:
    """Copies the write-ahead log back into the file, on a connection of its own, for a thread. Raises sqlite3.Error."""
    database = _connect(path)
    try:
        database.execute("PRAGMA wal_checkpoint(PASSIVE)")
    finally:
        database.close()


def give_back(database: sqlite3.Connection) -> None:
    """Gives free pages back to the disk, where there are many and little beside them. Raises sqlite3.Error.

    After an hour without a ledger a journal holds some gigabytes, and pages that are free again would stay in the file.
    Nothing but what is in use is copied, which takes milliseconds; the file is cut by the next checkpoint.
    """
    size, pages, free = (
        database.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_size", "page_count", "freelist_count")
    )
    if free * size >= LARGE and (pages - free) * size <= _LITTLE:
        database.execute("VACUUM")


def is_full_of_bytes(batch: Sequence[Entry]) -> bool:
    """Whether a batch that was read left something behind because of its size."""
    return sum(len(entry.attempt) for entry in batch) > MOST_BYTES


def lock_path(path: Path) -> Path:
    """Where the lock of the journal at `path` is."""
    return path.with_suffix(".lock")


def is_there(path: Path) -> bool:
    """Whether there is a journal at `path`."""
    return path.exists()


def set_aside(path: Path) -> Path:
    """Renames a journal that cannot be read, so that it is not tried again; where it is now."""
    aside = path.with_suffix(".corrupt")
    for there, then in zip(_files(path), _files(aside), strict=True):
        if there.exists():
            there.replace(then)
    return aside


def is_corrupt(error: sqlite3.Error) -> bool:
    """Whether the error says that the file is not, or not wholly, a database."""
    return getattr(error, "sqlite_errorname", "").startswith(_CORRUPT)


def _files(path: Path) -> list[Path]:
    """The database and what SQLite keeps beside it; the database last, since it is what a journal is found by."""
    return [path.with_name(path.name + suffix) for suffix in ("-wal", "-shm", "")]


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, isolation_level=None, timeout=5.0, check_same_thread=False)
