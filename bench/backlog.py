"""What an hour without a ledger comes to: how large the journal gets, on disk and in memory, and how it catches up.

As many attempts as 500 a second make in an hour go through a router's own journal, as fast as it takes them, while
the ledger is gone; its upkeep runs beside. Then the ledger is back, 500 requests a second go on, and it is shipped. By
default the ledger answers at once, as one elsewhere would that is fast enough; `--book` puts a real one, on SQLite,
into this process, whose CPU it then shares with all the rest.

    python -m bench.backlog                            # an hour at 500 a second; about 2 GB of disk, some minutes
    python -m bench.backlog --attempts 100000 --book
    python -m bench.backlog --check                    # fails where memory grows with the backlog, or it never ends
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import uvloop

from bench.attempts import Pair, pairs
from bench.journal import AnsweringLedger
from mesh.clock import SystemClock
from mesh.mediator import Mediator
from mesh.metrics import NoMetrics
from mesh.tracing import NoTracer, TraceContext
from services.ledger.bootstrap import start
from services.ledger.handlers.record_attempts import RecordAttempts
from services.ledger.settings import LedgerSettings
from services.router.adapters.journal_sqlite import SqliteJournal
from services.router.adapters.recording import Recorder
from services.router.adapters.shipper import Shipper
from tollway.ledger.v1.ledger_pb2 import RecordAttemptsRequest, RecordedAttempt

AN_HOUR = 500 * 3600
AT_ONCE = 50
LIVE = 500
"""Requests a second while the backlog is shipped."""
MOST_MEMORY = 32 * 2**20
"""Bytes by which a process may grow, whatever the backlog."""
MOST_LATE = 0.025
"""Seconds for which half of the live requests may wait for the event loop at most."""


class BookingLedger(AnsweringLedger):
    """Books, and answers as a ledger does."""

    def __init__(self, mediator: Mediator) -> None:
        super().__init__()
        self._mediator = mediator

    async def record(
        self, request: RecordAttemptsRequest, timeout: float, trace: TraceContext
    ) -> Sequence[RecordedAttempt]:
        answer = await self._mediator.send(RecordAttempts(request.attempts))
        self.count(len(request.attempts))
        return list(answer.results)


@dataclass
class Measured:
    """Bytes, seconds, and how late live requests were, in seconds, sorted."""

    attempts: int
    memory_before: int = 0
    memory_full: int = 0
    memory_after: int = 0
    file_full: int = 0
    log_full: int = 0
    file_after: int = 0
    filled_in: float = 0.0
    caught_up_in: float = 0.0
    live: int = 0
    late: list[float] = field(default_factory=list)

    @property
    def bytes_each(self) -> float:
        return (self.file_full + self.log_full) / self.attempts

    def table(self) -> str:
        per_second = self.attempts / self.caught_up_in
        rows = [
            ("attempts without a ledger", f"{self.attempts:,}"),
            ("the journal's file", _mib(self.file_full)),
            ("its write-ahead log, and bytes an attempt in all", f"{_mib(self.log_full)}, {self.bytes_each:.0f}"),
            ("written in, at full speed", f"{self.filled_in:.0f} s"),
            ("memory before, full, and after", " · ".join(
                map(_mib, (self.memory_before, self.memory_full, self.memory_after)))),
            (f"caught up in, with {self.live / self.caught_up_in:,.0f} requests/s live", f"{self.caught_up_in:.0f} s"),
            ("attempts shipped/s", f"{per_second:,.0f}"),
            ("live requests were late by, p50 · p99 · max", " · ".join(
                f"{self.late[int(len(self.late) * share) - 1] * 1000:.1f} ms" for share in (0.5, 0.99, 1.0))),
            ("the journal's file afterwards", _mib(self.file_after)),
        ]  # fmt: skip
        return "\n".join(f"{name:<52} {value}" for name, value in rows)

    def failings(self) -> list[str]:
        """What is not as it was promised."""
        failings = []
        if max(self.memory_full, self.memory_after) - self.memory_before > MOST_MEMORY:
            failings.append(f"memory grew by more than {_mib(MOST_MEMORY)}")
        if self.late[len(self.late) // 2] > MOST_LATE:
            failings.append(f"half of the live requests waited for more than {MOST_LATE * 1000:.0f} ms")
        if self.attempts / self.caught_up_in < 2 * LIVE:
            failings.append(f"fewer than {2 * LIVE} attempts a second were shipped")
        if self.file_after > 32 * 2**20:
            failings.append(f"the journal's file kept {_mib(self.file_after)}")
        return failings


def _mib(count: int) -> str:
    return f"{count / 2**20:,.0f} MiB"


def _memory() -> int:
    """Bytes of this process that are in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


@asynccontextmanager
async def _ledger(folder: Path, book: bool) -> AsyncIterator[AnsweringLedger]:
    if not book:
        yield AnsweringLedger()
        return
    settings = LedgerSettings(folder / "ledger.db")
    real = await start(settings, clock=SystemClock(), tracer=NoTracer(), metrics=NoMetrics())
    try:
        yield BookingLedger(real._servicer._mediator)
    finally:
        await real.close()


async def measure(folder: Path, count: int, *, book: bool) -> Measured:
    clock = SystemClock()
    measured = Measured(count)
    journal = SqliteJournal.create(folder / "journal", clock, 1.0)
    coming = pairs(clock.time)
    began = clock.monotonic()
    for number in range(0, count, AT_ONCE):  # as requests that share turns of the event loop
        turn = [next(coming) for _ in range(min(AT_ONCE, count - number))]
        opened = await asyncio.gather(*(journal.opened(opening) for opening, _ in turn))
        for entry, (_, end) in zip(opened, turn, strict=True):
            journal.settled(entry, end)
        if number <= 10_000:  # what is made once is no growth
            measured.memory_before = _memory()
    measured.filled_in = clock.monotonic() - began
    journal.write_what_was_kept()
    measured.memory_full, measured.file_full = _memory(), journal.file.path.stat().st_size
    measured.log_full = journal.file.path.with_name(f"{journal.file.path.name}-wal").stat().st_size
    async with _ledger(folder, book) as ledger:
        going_on = asyncio.create_task(_live(journal, coming, measured))
        began = clock.monotonic()
        shipper = Shipper(journal, Recorder(ledger, clock, NoTracer()), clock, NoMetrics(), 0.2)
        journal.many.set()
        await ledger.until(count)
        measured.caught_up_in = clock.monotonic() - began
        going_on.cancel()
        await ledger.until(count + measured.live)
        await asyncio.sleep(2.5)  # for the upkeep that gives space back
        measured.memory_after, measured.file_after = _memory(), journal.file.path.stat().st_size
        await shipper.close(10.0)
    await journal.close()
    measured.late.sort()
    return measured


async def _live(journal: SqliteJournal, coming: Iterator[Pair], measured: Measured) -> None:
    """Requests that come and go, `LIVE` a second, until it is cancelled; each says how late it came."""
    due = time.perf_counter()
    while True:
        due += 1 / LIVE
        if (wait := due - time.perf_counter()) > 0:
            await asyncio.sleep(wait)
        measured.late.append(max(0.0, time.perf_counter() - due))
        opened, end = next(coming)
        journal.settled(await journal.opened(opened), end)
        measured.live += 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--attempts", type=int, default=AN_HOUR, help="that come while the ledger is gone")
    parser.add_argument("--book", action="store_true", help="into a real ledger, in this process")
    parser.add_argument("--check", action="store_true", help="fail where a promise is not held")
    asked = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="tollway-backlog-") as folder,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        measured = runner.run(measure(Path(folder), asked.attempts, book=asked.book))
    print(measured.table())
    if asked.check and (failings := measured.failings()):
        sys.exit("\n".join(failings))


if __name__ == "__main__":
    main()
