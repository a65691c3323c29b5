"""Brings this process's journal to the ledger, in batches, in the background.

What has ended is sent and removed. What was opened a while ago and has not ended is announced once, so that the ledger
knows of calls whose router never comes back. While the ledger is gone, everything stays in the file.
"""

from __future__ import annotations

import logging
import sqlite3
from itertools import takewhile
from math import inf

from mesh.clock import Clock
from mesh.errors import TollwayError
from mesh.metrics import Metrics
from services.router.adapters import background
from services.router.adapters.backoff import wait_after
from services.router.adapters.journal_file import BATCH
from services.router.adapters.journal_sqlite import SqliteJournal
from services.router.adapters.recording import Recorder, parse
from tollway.ledger.v1.ledger_pb2 import RecordAttemptsRequest

log = logging.getLogger(__name__)

ANNOUNCED_AFTER = 5.0
"""Seconds an attempt is under way before the ledger is told of it."""


class Shipper:
    """Ships `journal` every `every` seconds, or as soon as a batch is full."""

    def __init__(
        self, journal: SqliteJournal, recorder: Recorder, clock: Clock, metrics: Metrics, every: float
    ) -> None:
        self._journal, self._recorder, self._clock, self._metrics = journal, recorder, clock, metrics
        self._every = every
        self._announced: set[int] = set()
        self.recorded_until = -inf
        """The ledger has answered for every attempt that was settled before then (monotonic)."""
        self._task = background.start("Shipping attempts", self._run())

    async def close(self, within: float) -> None:
        """Ships what is left, but not for longer than that many seconds."""
        await background.end(self._task)
        try:
            async with self._clock.timeout(within):
                await self.ship()
        except (TimeoutError, TollwayError, sqlite3.Error) as error:
            log.warning(
                "%d attempts stay in the journal, for the next router here to ship: %s", self._journal.pending, error
            )

    async def ship(self, *, all_of_it: bool = True) -> None:
        """Sends what there is to send: all of it, or what is worth a batch now. Raises TollwayError where it cannot."""
        self._journal.write_what_was_kept()
        began, unwritten = self._clock.monotonic(), self._journal.unwritten
        await self._recorder.record_ended(
            self._journal.file, all_of_it=all_of_it, hurry=all_of_it, after_each=self._after_batch
        )
        if not unwritten:
            self.recorded_until = began
        self._journal.many.clear()
        await self._announce()

    async def _after_batch(self) -> None:
        """What cannot wait until a ledger that was gone for an hour has caught up."""
        self._measure()
        await self._announce()

    async def _announce(self) -> None:
        in_flight, file = self._journal.in_flight, self._journal.file
        self._announced.intersection_update(in_flight)
        before = self._clock.monotonic() - ANNOUNCED_AFTER
        # The oldest come first.
        old = takewhile(lambda number: in_flight[number] <= before, in_flight)
        numbers = [number for number in old if number not in self._announced][:BATCH]
        if numbers:
            attempts = [attempt for entry in file.at(numbers) if (attempt := parse(entry)) is not None]
            await self._recorder.record(RecordAttemptsRequest(attempts=attempts, journal_id=file.id), attempts)
            self._announced.update(numbers)

    async def _run(self) -> None:
        failures = 0
        while True:
            await self._wait(failures)
            try:
                await self.ship(all_of_it=False)
                failures = 0
            except (TollwayError, sqlite3.Error) as error:
                if not failures:
                    log.warning("Attempts are not shipped at the moment, and kept: %s", error)
                failures += 1
            self._measure()

    async def _wait(self, failures: int) -> None:
        if failures:
            await self._clock.sleep(wait_after(failures))
            return
        try:
            async with self._clock.timeout(self._every):
                await self._journal.many.wait()
        except TimeoutError:
            pass  # nothing hurries

    def _measure(self) -> None:
        self._metrics.gauge("tollway.journal.pending", self._journal.pending, {})
        self._metrics.gauge("tollway.journal.dead_letters", self._journal.file.dead_letters(), {})
