"""The journal of this process: written inline, because that takes microseconds, synced and checkpointed in a thread.

What opens has reached the kernel when `opened` returns, so a killed process loses no call; the disk has it `fsync`
seconds later at most, or, where that is 0, when `opened` returns. What opens and ends within a few turns of the event
loop is written in one commit, because a commit costs more than what is committed; where nothing else is going on, turns
take microseconds. A process killed in between leaves what ended unsettled, as if it had been killed a moment earlier.
The write-ahead log is copied back into the file in a thread, on a connection of its own; only its last step, needed
where writes never pause, makes a writer wait, for milliseconds.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import sqlite3
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mesh.clock import Clock
from mesh.errors import Reason, TollwayError
from mesh.ids import uuid7
from services.router.adapters import background
from services.router.adapters.journal_file import (
    BATCH,
    CHECKPOINT_AFTER,
    LARGE,
    SUFFIX,
    TOGETHER,
    Entry,
    JournalFile,
    give_back,
    lock_path,
)
from services.router.adapters.journal_lock import JournalLock
from tollway.ledger.v1.ledger_pb2 import Attempt

log = logging.getLogger(__name__)

_LONGEST_TICK = 1.0
MOST_KEPT = 10_000
"""Entries that are kept in memory while they cannot be written; then nothing may leave whatever is allowed."""
_FEWEST_TURNS, _MOST_TURNS = 3, 12
"""Turns of the event loop within which what opens and ends is written together: the more calls are under way, the more
of them come to something within a turn, and the more is saved by waiting for the next."""
_MOST_PAGES = 8 * 1024
"""Pages in the write-ahead log, beyond which writers wait until it can begin anew: 16 MiB."""


class SqliteJournal:
    """Implements `Journal`."""

    def __init__(
        self, file: JournalFile, lock: JournalLock, clock: Clock, fsync: float, *, full_allowed: bool = False
    ) -> None:
        self.file = file
        self._lock = lock
        self.in_flight: dict[int, float] = {}
        """When, on the clock's monotonic time, each attempt was opened that has not ended; oldest first."""
        self.many = asyncio.Event()
        """Set when so many are pending that they should not wait."""
        self.kept = False
        """Whether its file stays when it ends, even if all of it is shipped."""
        self._clock = clock
        self._numbers = itertools.count(1)
        self._loop = asyncio.get_running_loop()
        self._opening: list[tuple[Entry, asyncio.Future[None]]] = []
        self._unwritten: list[Entry] = []
        """The ends of attempts; where calls leave that could not be written down, what opened as well."""
        self._kept_openings = 0
        self._turns = 0
        """Of the event loop, until what is there is written; 0: nothing is."""
        self._full_allowed = full_allowed
        self.failing = False
        """Whether it could not be written when that was tried last."""
        self._upkeep = _Upkeep(file, fsync)
        tick = min(fsync or _LONGEST_TICK, _LONGEST_TICK)
        self._upkeep_task = background.start("Upkeep of the attempt journal", self._keep_up(tick))

    @classmethod
    def create(cls, directory: Path, clock: Clock, fsync: float, *, full_allowed: bool = False) -> SqliteJournal:
        """A new journal in the directory. Raises OSError where there cannot be one.

        `full_allowed`: calls leave even while they cannot be written down, and are in memory until they can.
        """
        directory.mkdir(parents=True, exist_ok=True)
        while True:
            path = directory / f"{uuid7(clock.time())}{SUFFIX}"
            lock = JournalLock.take(lock_path(path))
            if lock is None:  # somebody is sweeping it away, who takes it for left behind
                continue
            try:
                file = JournalFile.create(path, every_write_to_disk=fsync == 0)
                _sync(directory)
            except sqlite3.Error as error:
                lock.release(path)
                raise OSError(f"There cannot be an attempt journal at {path}: {error}") from error
            return cls(file, lock, clock, fsync, full_allowed=full_allowed)

    async def opened(self, attempt: Attempt) -> int:
        entry = Entry(next(self._numbers), None, attempt.SerializeToString())
        written = self._loop.create_future()
        self._opening.append((entry, written))
        self._write_soon()
        try:
            await written
        except asyncio.CancelledError:
            if not written.cancelled():  # it had been written before this was cancelled
                self._take_back(entry)
            raise
        return entry.number

    def settled(self, opened: int, attempt: Attempt) -> None:
        self._unwritten.append(Entry(next(self._numbers), opened, attempt.SerializeToString()))
        self.in_flight.pop(opened, None)
        self._write_soon()
        if self.pending >= BATCH:
            self.many.set()

    def _write_soon(self) -> None:
        if not self._turns:
            self._turns = min(_FEWEST_TURNS + len(self.in_flight) // 2, _MOST_TURNS)
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        self._turns -= 1
        if self._turns:
            self._loop.call_soon(self._turn)
        else:
            self._write()

    def _write(self) -> None:
        while self._opening:
            opening = [each for each in self._opening[:TOGETHER] if not each[1].done()]  # else nobody waits any more
            del self._opening[:TOGETHER]
            if opening:
                self._open(opening)
        self.write_what_was_kept()

    def _open(self, opening: Sequence[tuple[Entry, asyncio.Future[None]]]) -> None:
        # What could not be written is written in its order, an attempt's opening first.
        ends = [] if self._kept_openings else self._unwritten[: TOGETHER - len(opening)]
        try:
            self.file.append(*ends, *(entry for entry, _ in opening))
        except sqlite3.Error as error:
            self._fail(error)
            if not self._full_allowed or len(self._unwritten) + len(opening) > MOST_KEPT:
                for _, written in opening:
                    written.set_exception(_unwritable(error))
                return
            self._unwritten += [entry for entry, _ in opening]
            self._kept_openings += len(opening)
        else:
            del self._unwritten[: len(ends)]
            self.failing = False
        now = self._clock.monotonic()
        for entry, written in opening:
            self.in_flight[entry.number] = now
            written.set_result(None)

    def _take_back(self, entry: Entry) -> None:
        """Removes what was written of a call that does not leave after all."""
        self.in_flight.pop(entry.number, None)
        if self._kept_openings and entry in self._unwritten:
            self._unwritten.remove(entry)
            self._kept_openings -= 1
            return
        try:
            self.file.remove([entry], (), self._clock.time())
        except sqlite3.Error as error:
            log.error("Attempt %d never left, and will be unsettled: %s", entry.number, error)

    @property
    def pending(self) -> int:
        """Attempts that have ended and are not shipped."""
        return self.file.pending + len(self._unwritten) - self._kept_openings

    @property
    def denies(self) -> bool:
        """Whether no call may leave, because it could not be written down."""
        return self.failing and not self._full_allowed

    def write_what_was_kept(self) -> None:
        """Writes down the ends that are not written yet, or could not be when it was tried before."""
        while self._unwritten:
            ends = self._unwritten[:TOGETHER]
            try:
                self.file.append(*ends)
            except sqlite3.Error as error:
                self._fail(error)
                return
            del self._unwritten[: len(ends)]
            self._kept_openings -= sum(end.opening is None for end in ends)
            self.failing = False

    def _fail(self, error: sqlite3.Error) -> None:
        if not self.failing:
            log.error("The attempt journal cannot be written; what ends is kept in memory until it can: %s", error)
        self.failing = True

    def _look_for_room(self) -> None:
        """Finds out whether it can be written again: where nobody may call, nobody else does."""
        try:
            self.file.touch()
            self.failing = False
        except sqlite3.Error:
            return  # as before

    @property
    def unwritten(self) -> bool:
        """Whether there are ends that could not be written down yet."""
        return bool(self._unwritten)

    async def close(self) -> None:
        """Ends the journal, in which nothing opens any more; its file stays where something in it is not shipped, or it
        is `kept`.
        """
        await background.end(self._upkeep_task)
        await asyncio.to_thread(self._upkeep.close)
        self.write_what_was_kept()
        if self._unwritten:
            log.error("The ends of %d attempts could not be written; they will be unsettled.", len(self._unwritten))
        try:
            self.file.close(keep=self.kept)
        finally:
            self._lock.release(self.file.path)

    async def _keep_up(self, tick: float) -> None:
        while True:
            await self._clock.sleep(tick)
            self.write_what_was_kept()
            if self.failing and not self._unwritten:
                self._look_for_room()
            await self._upkeep.run(self._clock.monotonic())


def _unwritable(error: sqlite3.Error) -> TollwayError:
    return TollwayError(
        Reason.SERVICE_UNAVAILABLE,
        f"The attempt journal cannot be written ({error}), and no call leaves that is not written down.",
    )


def _sync(directory: Path) -> None:
    """Brings to the disk which files there are, so that a power loss does not take a new one with all that is in it."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class _Upkeep:
    """What is done to a journal's file in a thread."""

    def __init__(self, file: JournalFile, fsync: float) -> None:
        self._file, self._fsync = file, fsync
        self._thread = ThreadPoolExecutor(1, "journal")
        self._connection: sqlite3.Connection | None = None
        self._log_descriptor = -1
        self._synced = self._checkpointed = 0
        self._sync_due = 0.0

    async def run(self, now: float) -> None:
        """Does what is due. `now` is monotonic."""
        writes = self._file.writes
        sync = bool(self._fsync) and writes != self._synced and now >= self._sync_due
        checkpoint = writes - self._checkpointed >= CHECKPOINT_AFTER
        try:
            # Asked only when what made the file large is gone from it.
            shrink = self._file.pending < BATCH and self._file.path.stat().st_size >= LARGE
            if not (sync or checkpoint or shrink):
                return
            await asyncio.get_running_loop().run_in_executor(self._thread, self._work, sync, checkpoint, shrink)
        except (OSError, sqlite3.Error) as error:
            log.error("The attempt journal could not be brought to the disk: %s", error)
            return
        if sync:
            self._synced, self._sync_due = writes, now + self._fsync
        if checkpoint:
            self._checkpointed = writes

    def close(self) -> None:
        self._thread.shutdown()
        if self._connection is not None:
            self._connection.close()
        if self._log_descriptor >= 0:
            os.close(self._log_descriptor)

    def _work(self, sync: bool, checkpoint: bool, shrink: bool) -> None:
        if sync:
            if self._log_descriptor < 0:
                # SQLite's own locks are on other files, so closing this descriptor later takes none of them away.
                self._log_descriptor = os.open(f"{self._file.path}-wal", os.O_RDONLY | os.O_CLOEXEC)
            os.fsync(self._log_descriptor)
        if not (checkpoint or shrink):
            return
        if self._connection is None:
            self._connection = sqlite3.connect(self._file.path, isolation_level=None, check_same_thread=False)
        if shrink:
            give_back(self._connection)
        self._checkpoint(self._connection)

    def _checkpoint(self, connection: sqlite3.Connection) -> None:
        _, pages, _ = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        if pages > _MOST_PAGES:
            # Whoever keeps writing keeps the log from beginning anew: nearly all is copied, so the wait is short.
            connection.execute("PRAGMA wal_checkpoint(RESTART)")
