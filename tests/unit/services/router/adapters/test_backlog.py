"""An hour without a ledger: what piles up is in the file and nowhere else, and it goes without being in anybody's way.

Journals are filled by statements of our own, as many attempts at a time as fit: what wrote them is tested elsewhere.
"""

from __future__ import annotations

import asyncio
import os
import time
import tracemalloc
from collections.abc import AsyncIterator, Sequence
from itertools import pairwise
from pathlib import Path

import pytest

from mesh.clock import SystemClock, VirtualClock
from mesh.errors import Reason
from mesh.tracing import NoTracer, TraceContext
from services.router.adapters.adoption import Adoption
from services.router.adapters.journal_file import BATCH, LARGE, JournalFile, lock_path
from services.router.adapters.journal_sqlite import SqliteJournal
from services.router.adapters.recording import LONGEST_REST, Recorder
from services.router.adapters.shipper import ANNOUNCED_AFTER, Shipper
from tests.unit.services.router.twins import FakeLedger, SeeingMetrics, attempt, ended, error
from tollway.ledger.v1.ledger_pb2 import (
    ATTEMPT_STATE_OPENED,
    RECORD_OUTCOME_RECORDED,
    RECORD_OUTCOME_REFUSED,
    RecordAttemptsRequest,
    RecordedAttempt,
)

MANY = 60_000
"""Attempts; two minutes at 500 a second."""
MIB = 2**20


class CountingLedger:
    """Answers after `takes` seconds, and keeps nothing but numbers and times."""

    def __init__(self, clock: VirtualClock | SystemClock, takes: float = 0.0) -> None:
        self._clock, self._takes = clock, takes
        self.gone = False
        self.refuses = False
        self.recorded = 0
        self.opened: list[float] = []
        """When it was told of calls under way."""
        self.busy: list[tuple[float, float]] = []

    async def record(
        self, request: RecordAttemptsRequest, timeout: float, trace: TraceContext
    ) -> Sequence[RecordedAttempt]:
        began = self._clock.monotonic()
        if self._takes:
            await self._clock.sleep(self._takes)
        if self.gone:
            raise error(Reason.SERVICE_UNAVAILABLE)
        if request.attempts[0].state == ATTEMPT_STATE_OPENED:
            self.opened.append(self._clock.monotonic())
        else:
            self.recorded += len(request.attempts)
            self.busy.append((began, self._clock.monotonic()))
        outcome = RECORD_OUTCOME_REFUSED if self.refuses else RECORD_OUTCOME_RECORDED
        return [RecordedAttempt(attempt_id=each.attempt_id, outcome=outcome) for each in request.attempts]

    @property
    def share(self) -> float:
        """Of the time from its first batch to its last, how much of it they took."""
        return sum(end - began for began, end in self.busy) / (self.busy[-1][1] - self.busy[0][0])


def fill(file: JournalFile, pairs: int, *, first: int = 1) -> None:
    """As many attempts that have come and gone."""
    one = attempt(1, deployment="provider/" + "m" * 150)  # as large as a call's
    opening, ending = one.SerializeToString(), ended(one).SerializeToString()
    words = (
        "WITH RECURSIVE pair(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM pair WHERE n < ? - 1) "
        "INSERT INTO entries SELECT ? + 2 * n{}, {}, ? FROM pair"
    )
    file._execute("BEGIN")
    file._execute(words.format("", "NULL"), (pairs, first, opening))
    file._execute(words.format(" + 1", f"{first} + 2 * n"), (pairs, first, ending))
    file._execute("COMMIT")
    file._execute("PRAGMA wal_checkpoint(TRUNCATE)")
    file.pending += pairs
    file.writes += 2 * pairs


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[SqliteJournal]:
    made = SqliteJournal.create(tmp_path, SystemClock(), 1.0)
    yield made
    await made.close()


def shipping(
    journal: SqliteJournal, ledger: CountingLedger, clock: VirtualClock | SystemClock
) -> tuple[Shipper, SeeingMetrics]:
    metrics = SeeingMetrics()
    return Shipper(journal, Recorder(ledger, clock, NoTracer()), clock, metrics, 0.05), metrics  # type: ignore[arg-type] # the part that is used


async def until_shipped(journal: SqliteJournal, limit: float = 60.0) -> None:
    end = time.monotonic() + limit
    while journal.pending:
        assert time.monotonic() < end, f"{journal.pending} are left"
        await asyncio.sleep(0.02)


async def test_a_backlog_is_in_the_file_and_not_in_memory_and_all_of_it_arrives(journal: SqliteJournal) -> None:
    clock = SystemClock()
    ledger = CountingLedger(clock)
    fill(journal.file, 200)
    tracemalloc.start()
    try:
        shipper, _ = shipping(journal, ledger, clock)
        await until_shipped(journal)
        few = tracemalloc.get_traced_memory()[1]
        fill(journal.file, MANY, first=1000)
        assert journal.file.path.stat().st_size > 20 * MIB
        tracemalloc.reset_peak()
        journal.many.set()
        await until_shipped(journal)
        many = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert ledger.recorded == 200 + MANY
    assert many < few + 4 * MIB, "what a batch takes, however many there are"
    await shipper.close(1.0)


async def test_while_the_ledger_is_gone_waiting_costs_no_more_the_more_there_is(
    journal: SqliteJournal,
) -> None:
    clock = VirtualClock()
    ledger = CountingLedger(clock)
    ledger.gone = True
    fill(journal.file, MANY)
    shipper, metrics = shipping(journal, ledger, clock)
    tracemalloc.start()
    try:
        await clock.advance(3600)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8 * MIB
    assert metrics.values("tollway.journal.pending")[-1] == MANY
    closing = asyncio.get_running_loop().create_task(shipper.close(1.0))
    while not closing.done():
        await clock.advance(0.5)


@pytest.mark.parametrize("takes", [0.02, 0.08])
async def test_catching_up_leaves_at_least_half_of_the_time_to_requests(journal: SqliteJournal, takes: float) -> None:
    clock = VirtualClock()
    ledger = CountingLedger(clock, takes)
    fill(journal.file, 40 * BATCH)
    shipper, _ = shipping(journal, ledger, clock)
    await clock.advance(0.05 + 40 * 2 * takes)
    assert ledger.recorded == 40 * BATCH
    assert ledger.share < 0.52
    await shipper.close(1.0)


async def test_a_ledger_that_is_slow_to_answer_is_not_waited_for_twice(journal: SqliteJournal) -> None:
    """Where a batch takes longer than it works, resting as long would only make the backlog grow."""
    clock = VirtualClock()
    ledger = CountingLedger(clock, 2.0)
    fill(journal.file, 10 * BATCH)
    shipper, _ = shipping(journal, ledger, clock)
    await clock.advance(0.05 + 10 * (2.0 + LONGEST_REST))
    assert ledger.recorded == 10 * BATCH
    await shipper.close(1.0)


async def test_the_journal_of_a_router_that_is_no_more_takes_turns_with_the_own(
    journal: SqliteJournal, tmp_path: Path
) -> None:
    clock = VirtualClock()
    left = JournalFile.create(tmp_path / "left.db")
    fill(left, 20 * BATCH)
    left._database.close()
    lock_path(left.path).touch()
    ledger = CountingLedger(clock, 0.05)
    recorder = Recorder(ledger, clock, NoTracer())  # type: ignore[arg-type] # the part that is used
    fill(journal.file, 20 * BATCH)
    shipper = Shipper(journal, recorder, clock, SeeingMetrics(), 0.05)
    adoption = Adoption(journal.file, recorder, FakeLedger().give_back, clock)
    for _ in range(1000):
        await clock.advance(0.1)
        await asyncio.sleep(0.005)  # for the thread that copies the log back
        if ledger.recorded == 40 * BATCH:
            break
    assert ledger.recorded == 40 * BATCH
    assert all(before[1] <= after[0] for before, after in pairwise(sorted(ledger.busy))), "one batch at a time"
    assert ledger.share < 0.52
    for _ in range(1000):
        await clock.advance(0.1)
        await asyncio.sleep(0.005)  # for that thread, which may be late
        if not left.path.exists():
            break
    await adoption.close()
    assert not left.path.exists()
    await shipper.close(1.0)


async def test_while_it_catches_up_calls_under_way_are_announced_and_the_figures_move(journal: SqliteJournal) -> None:
    clock = VirtualClock()
    journal._clock = clock
    await journal.opened(attempt(7))
    fill(journal.file, 200 * BATCH, first=1000)
    ledger = CountingLedger(clock, 0.05)
    shipper, metrics = shipping(journal, ledger, clock)
    await clock.advance(ANNOUNCED_AFTER + 1)
    assert 0 < ledger.recorded < 200 * BATCH
    assert len(ledger.opened) == 1
    pending = metrics.values("tollway.journal.pending")
    assert len(pending) > 10
    assert pending == sorted(pending, reverse=True)
    journal.settled(1, ended(attempt(7)))
    await clock.advance(30)
    await shipper.close(60.0)


async def test_live_requests_are_hardly_held_up_while_a_backlog_is_shipped(journal: SqliteJournal) -> None:
    clock = SystemClock()
    ledger = CountingLedger(clock)
    fill(journal.file, 40_000, first=1_000_000)
    shipper, _ = shipping(journal, ledger, clock)
    late: list[float] = []
    while journal.pending > BATCH:
        began = time.perf_counter()
        await asyncio.sleep(0.001)
        late.append(time.perf_counter() - began - 0.001)
        journal.settled(await journal.opened(attempt(1)), ended(attempt(1)))
    await until_shipped(journal)
    late.sort()
    # Half of the moments fall into a rest; a batch, as long as this machine takes for it, is the rest of it.
    assert late[len(late) // 2] < 0.02
    await shipper.close(1.0)


async def test_when_it_is_shipped_the_file_gives_its_space_back_and_what_is_in_it_stays(
    journal: SqliteJournal,
) -> None:
    fill(journal.file, MANY, first=1_000)
    last = await journal.opened(attempt(7))
    size = journal.file.path.stat().st_size
    assert size > LARGE
    while entries := journal.file.ended():
        journal.file.remove(entries, [], 0.0)
    assert journal.file.path.stat().st_size >= size, "free pages stay in a file by themselves"
    await journal._upkeep.run(100.0)
    assert journal.file.path.stat().st_size < MIB
    assert [entry.number for entry in journal.file.opened()] == [last]
    journal.settled(last, ended(attempt(7)))
    assert journal.pending == 1
    journal.write_what_was_kept()
    assert _log_of(journal).stat().st_size <= LARGE


async def test_what_the_ledger_refused_stays_when_space_is_given_back_and_is_counted_once(
    journal: SqliteJournal,
) -> None:
    fill(journal.file, 10 * BATCH)
    clock = SystemClock()
    ledger = CountingLedger(clock)
    ledger.refuses = True
    shipper, metrics = shipping(journal, ledger, clock)
    await until_shipped(journal)
    await shipper.close(1.0)
    counted = journal.file._execute("SELECT count(*) FROM dead_letters").fetchone()[0]
    assert journal.file.dead_letters() == counted == 1, "all of them say the same"
    assert metrics.values("tollway.journal.dead_letters")[-1] == 1


async def test_a_large_file_that_is_in_use_is_left_as_it_is(journal: SqliteJournal) -> None:
    fill(journal.file, MANY)
    for _ in range(MANY // BATCH // 2):
        journal.file.remove(journal.file.ended(), [], 0.0)
    size = journal.file.path.stat().st_size
    journal.file.pending = 0  # as if all that is left in it had not ended
    await journal._upkeep.run(100.0)
    assert journal.file.path.stat().st_size == size
    journal.file.pending = MANY // 2
    os.unlink(journal.file.path)  # so that closing it does not take long


def _log_of(journal: SqliteJournal) -> Path:
    return journal.file.path.with_name(f"{journal.file.path.name}-wal")
