"""Journals whose routers are no more: what is in them is brought to the ledger, and they are removed.

A journal whose lock can be had has no living router. What had ended there is sent as it was written down; what had not
becomes UNSETTLED: the call may have been made, and nobody knows how it ended. With that the ledger knows of all that
was spent, and the leases of budgets that the router held are closed; until they are, its journal stays. Routers that
share a directory may sweep it at the same time: each journal has one lock.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path

from mesh.clock import Clock
from mesh.errors import TollwayError
from services.router.adapters import background
from services.router.adapters.journal_file import (
    CHECKPOINT_AFTER,
    SUFFIX,
    JournalFile,
    checkpoint,
    is_corrupt,
    is_there,
    lock_path,
    set_aside,
)
from services.router.adapters.journal_lock import JournalLock
from services.router.adapters.recording import Recorder, parse
from services.router.domain.settlement import unsettled
from tollway.ledger.v1.budget_pb2 import ReturnLeaseRequest

log = logging.getLogger(__name__)

GiveBack = Callable[[ReturnLeaseRequest, float], Awaitable[None]]
"""Gives leases back to the ledger, within that many seconds. Raises TollwayError."""

_TIMEOUT = 10.0
SWEEP_EVERY = 10.0
"""Seconds."""


class Adoption:
    """Sweeps the directory of `own`, this router's journal, at once and then every SWEEP_EVERY seconds."""

    def __init__(self, own: JournalFile, recorder: Recorder, give_back: GiveBack, clock: Clock) -> None:
        self._own, self._recorder, self._give_back, self._clock = own, recorder, give_back, clock
        self._directory = own.path.parent
        self._complained: set[Path] = set()
        self._task = background.start("Adopting journals", self._run())

    async def close(self) -> None:
        await background.end(self._task)

    async def sweep(self) -> None:
        """Adopts every journal that nobody holds, and removes locks without a journal."""
        for path in sorted(self._directory.glob(f"*{SUFFIX}")):
            await self._sweep_one(path)
        for lock in sorted(self._directory.glob("*.lock")):
            if not lock.with_suffix(SUFFIX).exists():
                await self._sweep_one(lock.with_suffix(SUFFIX))

    async def _sweep_one(self, path: Path) -> None:
        try:
            lock = JournalLock.take(lock_path(path))
            if lock is None:
                return
            try:
                if is_there(path):
                    await self._adopt(path)
            finally:
                lock.release(path)
        except TollwayError as error:
            self._complain(path, f"waits until the ledger answers: {error}")
        except (sqlite3.Error, OSError) as error:
            self._complain(path, f"cannot be adopted: {error}")

    async def _adopt(self, path: Path) -> None:
        """Brings home what is in the journal, or sets it aside where it cannot be read."""
        try:
            file, at_home = JournalFile.adopt(path), False
            try:
                await self._bring_home(file)
                at_home = True
            finally:
                file.close(keep=not at_home)
        except sqlite3.Error as error:
            if not is_corrupt(error):
                raise
            log.error("Journal %s cannot be read (%s). It is now %s.", path.name, error, set_aside(path))

    async def _bring_home(self, file: JournalFile) -> None:
        copied = 0

        async def copy_back() -> None:
            """Keeps the log of a journal that takes long to bring home from growing with all that is removed."""
            nonlocal copied
            if file.writes - copied >= CHECKPOINT_AFTER:
                copied = file.writes
                await asyncio.to_thread(checkpoint, file.path)

        ended, lost = await self._recorder.record_ended(file, after_each=copy_back), 0
        while entries := file.opened():
            attempts = [(entry, parse(entry)) for entry in entries]
            batch = [
                (entry, entry.attempt if attempt is None else unsettled(attempt).SerializeToString())
                for entry, attempt in attempts
            ]
            await self._recorder.record_and_remove(file, batch)
            lost += len(batch)
            await copy_back()
        if file.dead_letters():
            log.error("The leases of journal %s stay charged: the ledger refused attempts of it.", file.id)
        else:
            await self._give_back(ReturnLeaseRequest(journal_id=file.id, journal_closed=True), _TIMEOUT)
        more = True
        while more:
            more = file.move_dead_letters(self._own)
            await asyncio.sleep(0)
        log.info("Adopted journal %s: %d attempts had ended, %d are unsettled.", file.id, ended, lost)

    def _complain(self, path: Path, what: str) -> None:
        if path not in self._complained:
            self._complained.add(path)
            log.warning("Journal %s %s", path.name, what)

    async def _run(self) -> None:
        while True:
            await self.sweep()
            await self._clock.sleep(SWEEP_EVERY)
