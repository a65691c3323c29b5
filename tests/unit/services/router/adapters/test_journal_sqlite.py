from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mesh.clock import VirtualClock
from mesh.errors import Reason, TollwayError
from services.router.adapters import journal_sqlite
from services.router.adapters.journal_file import BATCH, TOGETHER, Entry, JournalFile, lock_path
from services.router.adapters.journal_lock import JournalLock
from services.router.adapters.journal_sqlite import SqliteJournal
from tests.unit.services.router.twins import attempt, ended
from tollway.ledger.v1.ledger_pb2 import Attempt


@pytest.fixture
async def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
async def journal(tmp_path: Path, clock: VirtualClock) -> AsyncIterator[SqliteJournal]:
    made = SqliteJournal.create(tmp_path / "journal", clock, 1.0)
    yield made
    await made.close()


async def turns() -> None:
    """The few of the event loop within which everything is written."""
    for _ in range(15):
        await asyncio.sleep(0)


def fill_the_disk(journal: SqliteJournal) -> None:
    database = journal.file._database
    pages = database.execute("PRAGMA page_count").fetchone()[0]
    database.execute(f"PRAGMA max_page_count = {pages}")


def free_the_disk(journal: SqliteJournal) -> None:
    journal.file._database.execute("PRAGMA max_page_count = 1000000")


async def test_what_is_written_is_there_when_the_process_is_gone(journal: SqliteJournal) -> None:
    one, two = attempt(1), attempt(2)
    await journal.opened(one)
    journal.settled(await journal.opened(two), ended(two))
    await turns()
    other = JournalFile.adopt(journal.file.path)  # as after a kill: nothing was closed
    assert [Attempt.FromString(entry.attempt) for entry in other.opened()] == [one, two]
    assert [Attempt.FromString(entry.attempt) for entry in other.ended()] == [ended(two)]
    other._database.close()


async def test_each_process_has_a_journal_of_its_own_and_holds_it(tmp_path: Path, clock: VirtualClock) -> None:
    one, two = (SqliteJournal.create(tmp_path, clock, 1.0) for _ in range(2))
    assert one.file.path != two.file.path
    assert JournalLock.take(lock_path(one.file.path)) is None
    await one.close()
    await two.close()
    assert os.listdir(tmp_path) == []


async def test_a_journal_with_something_in_it_outlives_its_router(tmp_path: Path, clock: VirtualClock) -> None:
    journal = SqliteJournal.create(tmp_path, clock, 1.0)
    await journal.opened(attempt())
    await journal.close()
    assert journal.file.path.exists()
    lock = JournalLock.take(lock_path(journal.file.path))
    assert lock is not None, "the next router must be able to adopt it"
    lock.release(journal.file.path)


async def test_attempts_in_flight_are_known_with_their_age(journal: SqliteJournal, clock: VirtualClock) -> None:
    first = await journal.opened(attempt(1))
    await clock.advance(2)
    second = await journal.opened(attempt(2))
    assert journal.in_flight == {first: clock.monotonic() - 2, second: clock.monotonic()}
    journal.settled(first, ended(attempt(1)))
    assert list(journal.in_flight) == [second]


async def test_a_full_batch_wakes_whoever_ships(journal: SqliteJournal) -> None:
    for number in range(BATCH):
        assert not journal.many.is_set()
        journal.settled(await journal.opened(attempt(number)), ended(attempt(number)))
    assert journal.many.is_set()
    assert journal.pending == BATCH


async def test_a_call_that_cannot_be_written_down_must_not_leave(journal: SqliteJournal) -> None:
    fill_the_disk(journal)
    with pytest.raises(TollwayError) as refused:  # noqa: PT012 - which of them is refused depends on SQLite's pages
        for number in range(100):
            await journal.opened(attempt(number))
    assert refused.value.reason is Reason.SERVICE_UNAVAILABLE
    assert "database or disk is full" in refused.value.message
    free_the_disk(journal)
    await journal.opened(attempt(101))


async def test_an_end_that_cannot_be_written_down_is_kept_until_it_can(
    journal: SqliteJournal, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    opened = [await journal.opened(attempt(number)) for number in range(50)]
    fill_the_disk(journal)
    for number, entry in enumerate(opened):
        journal.settled(entry, ended(attempt(number)))
    await turns()
    assert journal.pending == 50
    assert len(journal.file.ended()) < 50
    assert len(caplog.records) == 1
    free_the_disk(journal)
    await clock.advance(1)
    assert len(journal.file.ended()) == 50
    assert journal.pending == 50


async def test_a_journal_that_could_not_be_written_finds_out_by_itself_when_it_can(
    journal: SqliteJournal, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    assert not journal.failing
    fill_the_disk(journal)
    with pytest.raises(TollwayError):  # noqa: PT012 - which of them is refused depends on SQLite's pages
        for number in range(100):
            await journal.opened(attempt(number))
    assert journal.failing
    assert journal.denies, "nobody may call, so that nobody else finds out"
    free_the_disk(journal)
    await clock.advance(1)
    assert not journal.failing
    assert not journal.denies
    assert len(caplog.records) == 1


async def test_where_it_is_allowed_calls_leave_on_a_full_disk_and_are_written_down_when_there_is_room(
    tmp_path: Path, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_sqlite, "MOST_KEPT", 150)
    journal = SqliteJournal.create(tmp_path, clock, 1.0, full_allowed=True)
    fill_the_disk(journal)
    opened = [await journal.opened(attempt(number)) for number in range(100)]
    for number, entry in enumerate(opened[:40]):
        journal.settled(entry, ended(attempt(number)))
    await turns()
    assert journal.failing
    assert not journal.denies
    assert journal.pending == 40
    assert list(journal.in_flight) == opened[40:]
    with pytest.raises(TollwayError) as refused:  # noqa: PT012 - memory is bounded, too
        for number in range(100, 300):
            await journal.opened(attempt(number))
    assert refused.value.reason is Reason.SERVICE_UNAVAILABLE
    free_the_disk(journal)
    await clock.advance(1)
    assert not journal.failing
    assert journal.pending == 40
    assert len(journal.file.ended()) == 40
    assert {entry.number for entry in journal.file.opened()} >= set(opened)
    assert journal.file.ended() == sorted(journal.file.ended())
    await journal.close()


async def test_a_call_that_was_kept_in_memory_and_is_given_up_is_not_written_down(
    tmp_path: Path, clock: VirtualClock
) -> None:
    journal = SqliteJournal.create(tmp_path, clock, 1.0, full_allowed=True)
    fill_the_disk(journal)
    before = [await journal.opened(attempt(number)) for number in range(50)]
    opening = asyncio.create_task(journal.opened(attempt(50)))
    for _ in range(10):  # until it is kept, and has not gone on yet
        if len(journal.in_flight) > len(before):
            break
        await asyncio.sleep(0)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    free_the_disk(journal)
    await clock.advance(1)
    assert [entry.number for entry in journal.file.opened()] == before == list(journal.in_flight)
    await journal.close()


async def test_what_opens_and_ends_within_a_few_turns_is_written_in_one_commit(
    journal: SqliteJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    commits: list[int] = []
    append = journal.file.append

    def counted(*entries: Entry) -> None:
        commits.append(len(entries))
        append(*entries)

    monkeypatch.setattr(journal.file, "append", counted)
    opened = await asyncio.gather(*(journal.opened(attempt(number)) for number in range(3)))
    assert commits == [3]
    for number, entry in enumerate(opened):
        journal.settled(entry, ended(attempt(number)))
    assert journal.file.ended() == []
    await journal.opened(attempt(3))
    assert commits == [3, 4]
    assert len(journal.file.ended()) == journal.pending == 3


async def turns_until_written(journal: SqliteJournal, number: int) -> int:
    opening, passed = asyncio.create_task(journal.opened(attempt(number))), 0
    while not opening.done():
        await asyncio.sleep(0)
        passed += 1
    return passed


async def test_the_more_calls_are_under_way_the_more_are_waited_for(journal: SqliteJournal) -> None:
    alone = await turns_until_written(journal, 1)
    await asyncio.gather(*(journal.opened(attempt(number)) for number in range(2, 10)))
    among_some = await turns_until_written(journal, 10)
    await asyncio.gather(*(journal.opened(attempt(number)) for number in range(11, 200)))
    among_many = await turns_until_written(journal, 200)
    assert alone < among_some < among_many < 20


async def test_more_than_a_statement_holds_is_written_in_several(journal: SqliteJournal) -> None:
    opened = await asyncio.gather(*(journal.opened(attempt(number)) for number in range(2 * TOGETHER + 5)))
    for number, entry in enumerate(opened):
        journal.settled(entry, ended(attempt(number)))
    await journal.opened(attempt(1000))
    assert len(journal.file.opened()) == len(opened) + 1
    assert len(journal.file.ended()) == len(opened)


@pytest.mark.parametrize("after", range(5))
async def test_a_call_that_is_given_up_before_it_leaves_leaves_nothing_behind(
    journal: SqliteJournal, after: int
) -> None:
    stays = attempt(2)
    opening = asyncio.create_task(journal.opened(attempt(1)))
    beside = asyncio.create_task(journal.opened(stays))
    for _ in range(after):
        await asyncio.sleep(0)
    assert not opening.done()
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    number = await beside
    assert list(journal.in_flight) == [number]
    assert [Attempt.FromString(entry.attempt) for entry in journal.file.opened()] == [stays]


async def test_ends_that_could_never_be_written_down_are_told_at_the_end(
    tmp_path: Path, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    journal = SqliteJournal.create(tmp_path, clock, 1.0)
    opened = [await journal.opened(attempt(number)) for number in range(50)]
    fill_the_disk(journal)
    for number, entry in enumerate(opened):
        journal.settled(entry, ended(attempt(number)))
    await journal.close()
    assert "will be unsettled" in caplog.text


# -- the disk ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    calls: list[int] = []
    monkeypatch.setattr(os, "fsync", calls.append)
    return calls


async def test_the_log_is_synced_once_in_the_interval_and_only_if_something_was_written(
    journal: SqliteJournal, synced: list[int]
) -> None:
    upkeep = journal._upkeep
    await upkeep.run(100.0)
    assert synced == []
    await journal.opened(attempt(1))
    await upkeep.run(101.0)
    assert len(synced) == 1
    await journal.opened(attempt(2))
    await upkeep.run(101.5)
    assert len(synced) == 1
    await upkeep.run(102.0)
    await upkeep.run(103.5)
    assert len(synced) == 2


async def test_without_an_interval_every_write_waits_for_the_disk(tmp_path: Path, clock: VirtualClock) -> None:
    journal = SqliteJournal.create(tmp_path, clock, 0.0)
    full = 2
    assert journal.file._database.execute("PRAGMA synchronous").fetchone() == (full,)
    await journal.close()


async def test_the_log_is_copied_back_in_a_thread(journal: SqliteJournal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_sqlite, "CHECKPOINT_AFTER", 100)
    for number in range(100):
        await journal.opened(attempt(number))
    empty = journal.file.path.stat().st_size
    await journal._upkeep.run(100.0)
    assert journal.file.path.stat().st_size > empty


async def test_a_log_that_never_rests_begins_anew_all_the_same(
    journal: SqliteJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_sqlite, "CHECKPOINT_AFTER", 100)
    monkeypatch.setattr(journal_sqlite, "_MOST_PAGES", 50)
    wal = journal.file.path.with_name(journal.file.path.name + "-wal")
    sizes = []
    for round_ in range(10):
        for number in range(100):
            await journal.opened(attempt(round_ * 100 + number))
        await journal._upkeep.run(100.0 + round_)
        sizes.append(wal.stat().st_size)
    assert max(sizes) < 3 * sizes[0]


async def test_trouble_with_the_disk_is_told_and_does_not_end_the_upkeep(
    journal: SqliteJournal, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_: int) -> None:
        raise OSError("input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    await journal.opened(attempt(1))
    await journal._upkeep.run(100.0)
    assert "input/output error" in caplog.text
    monkeypatch.undo()
    await journal._upkeep.run(100.0)
    assert journal._upkeep._synced == journal.file.writes


async def test_a_directory_that_cannot_be_written_is_told_at_the_start(tmp_path: Path, clock: VirtualClock) -> None:
    (tmp_path / "journal").write_text("a file in the way")
    with pytest.raises(OSError, match="journal"):
        SqliteJournal.create(tmp_path / "journal", clock, 1.0)


async def test_a_name_that_is_being_swept_away_is_not_taken(
    tmp_path: Path, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = iter(["swept", "free"])
    monkeypatch.setattr(journal_sqlite, "uuid7", lambda _: next(names))
    sweeping = JournalLock.take(tmp_path / "swept.lock")
    assert sweeping is not None
    journal = SqliteJournal.create(tmp_path, clock, 1.0)
    assert journal.file.id == "free"
    await journal.close()
    sweeping.release(tmp_path / "swept.db")


async def test_a_failed_start_leaves_no_lock_behind(
    tmp_path: Path, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: Path, *, every_write_to_disk: bool) -> JournalFile:
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(JournalFile, "create", fail)
    with pytest.raises(OSError, match="There cannot be an attempt journal"):
        SqliteJournal.create(tmp_path, clock, 1.0)
    assert os.listdir(tmp_path) == []
