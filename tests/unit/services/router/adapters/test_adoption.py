from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mesh.clock import VirtualClock
from services.router.adapters.adoption import SWEEP_EVERY, Adoption
from services.router.adapters.journal_file import BATCH, Entry, JournalFile, lock_path
from services.router.adapters.journal_lock import JournalLock
from services.router.adapters.journal_sqlite import SqliteJournal
from services.router.adapters.recording import Recorder
from tests.unit.services.router.twins import FakeLedger, SeeingTracer, attempt, ended
from tollway.ledger.v1.ledger_pb2 import AttemptState, Provenance

UNSETTLED, SETTLED = AttemptState.ATTEMPT_STATE_UNSETTLED, AttemptState.ATTEMPT_STATE_SETTLED


class Sweeps:
    """A router's own journal, and its adoption of others."""

    def __init__(self, directory: Path, ledger: FakeLedger) -> None:
        self.clock, self.ledger = VirtualClock(), ledger
        self.own = SqliteJournal.create(directory, self.clock, 1.0)
        self.adoption = Adoption(
            self.own.file, Recorder(ledger, self.clock, SeeingTracer()), ledger.give_back, self.clock
        )

    async def close(self) -> None:
        await self.adoption.close()
        await self.own.close()


@pytest.fixture
async def sweeps(tmp_path: Path) -> AsyncIterator[Sweeps]:
    made = Sweeps(tmp_path, FakeLedger())
    yield made
    await made.close()


def left_behind(path: Path, *entries: Entry) -> JournalFile:
    """A journal whose process was killed: nothing was closed, but nobody has its lock."""
    file = JournalFile.create(path)
    for entry in entries:
        file.append(entry)
    file._database.close()
    lock_path(path).touch()
    return file


def opening(number: int) -> Entry:
    return Entry(number, None, attempt(number).SerializeToString())


async def test_what_had_ended_is_shipped_and_what_had_not_is_unsettled(sweeps: Sweeps, tmp_path: Path) -> None:
    over, lost = attempt(1), attempt(2)
    left_behind(
        tmp_path / "old.db",
        Entry(1, None, over.SerializeToString()),
        Entry(2, None, lost.SerializeToString()),
        Entry(3, 1, ended(over).SerializeToString()),
    )
    await sweeps.clock.advance(SWEEP_EVERY)
    assert sweeps.ledger.rows[over.attempt_id] == ended(over)
    row = sweeps.ledger.rows[lost.attempt_id]
    assert (row.state, row.provenance) == (UNSETTLED, Provenance.PROVENANCE_UNSETTLED)
    assert row.request_id == lost.request_id
    assert sorted(os.listdir(tmp_path)) == sorted(_files_of(sweeps.own))


async def test_a_journal_whose_router_lives_is_left_alone(sweeps: Sweeps, tmp_path: Path) -> None:
    other = Sweeps(tmp_path, sweeps.ledger)
    await other.own.opened(attempt(1))
    await sweeps.clock.advance(3 * SWEEP_EVERY)
    assert sweeps.ledger.rows == {}
    other.own.settled(1, ended(attempt(1)))
    await other.close()
    await sweeps.clock.advance(SWEEP_EVERY)
    assert len(sweeps.ledger.rows) == 1, "now it is nobody's"


async def test_a_router_that_dies_later_is_swept_later(sweeps: Sweeps, tmp_path: Path) -> None:
    await sweeps.clock.advance(SWEEP_EVERY)
    left_behind(tmp_path / "old.db", opening(1))
    await sweeps.clock.advance(SWEEP_EVERY)
    assert len(sweeps.ledger.rows) == 1


async def test_large_journals_are_brought_home_in_batches(sweeps: Sweeps, tmp_path: Path) -> None:
    left_behind(tmp_path / "old.db", *(opening(number) for number in range(2 * BATCH + 1)))
    while (tmp_path / "old.db").exists():
        await sweeps.clock.advance(SWEEP_EVERY)
        await asyncio.to_thread(bool)  # its log is copied back in a thread, which knows no virtual time
    assert [len(request.attempts) for request in sweeps.ledger.requests] == [BATCH, BATCH, 1]


async def test_while_the_ledger_is_gone_a_journal_stays_and_anybody_may_adopt_it_later(
    sweeps: Sweeps, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    left_behind(tmp_path / "old.db", opening(1))
    sweeps.ledger.gone = True
    await sweeps.clock.advance(3 * SWEEP_EVERY)
    assert (tmp_path / "old.db").exists()
    assert caplog.text.count("waits until the ledger answers") == 1
    lock = JournalLock.take(tmp_path / "old.lock")
    assert lock is not None
    lock.release(tmp_path / "old.db")
    sweeps.ledger.gone = False
    await sweeps.clock.advance(SWEEP_EVERY)
    assert len(sweeps.ledger.rows) == 1
    assert not (tmp_path / "old.db").exists()


async def test_two_routers_that_sweep_at_once_bring_home_each_attempt_once(tmp_path: Path) -> None:
    ledger = FakeLedger()
    for number in range(20):
        left_behind(tmp_path / f"old-{number}.db", opening(number))
    one, two = Sweeps(tmp_path, ledger), Sweeps(tmp_path, ledger)
    for _ in range(5):
        await one.clock.advance(SWEEP_EVERY)
        await two.clock.advance(SWEEP_EVERY)
    assert len(ledger.rows) == 20
    assert sum(len(request.attempts) for request in ledger.requests) == 20
    assert sorted(os.listdir(tmp_path)) == sorted([*_files_of(one.own), *_files_of(two.own)])
    await one.close()
    await two.close()


async def test_a_journal_that_cannot_be_read_is_set_aside_and_the_others_go_on(
    sweeps: Sweeps, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "a.db").write_bytes(b"rubbish" * 1000)
    left_behind(tmp_path / "b.db", opening(1))
    await sweeps.clock.advance(SWEEP_EVERY)
    assert len(sweeps.ledger.rows) == 1
    assert (tmp_path / "a.corrupt").exists()
    assert not (tmp_path / "a.db").exists()
    assert "Journal a.db cannot be read" in caplog.text


async def test_a_journal_damaged_in_the_middle_is_set_aside_too(sweeps: Sweeps, tmp_path: Path) -> None:
    file = left_behind(tmp_path / "a.db", *(opening(number) for number in range(200)))
    content = bytearray(file.path.read_bytes())
    content[1024 * 6 :] = os.urandom(len(content) - 1024 * 6)
    file.path.write_bytes(content)
    await sweeps.clock.advance(2 * SWEEP_EVERY)
    assert (tmp_path / "a.corrupt").exists()


async def test_a_journal_of_a_later_version_is_left_where_it_is(
    sweeps: Sweeps, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = JournalFile.create(tmp_path / "new.db")
    file.append(opening(1))
    file._database.execute("PRAGMA user_version = 9")
    file._database.close()
    await sweeps.clock.advance(3 * SWEEP_EVERY)
    assert (tmp_path / "new.db").exists()
    assert caplog.text.count("version 9") == 1
    assert sweeps.ledger.rows == {}


async def test_dead_letters_find_a_new_home_and_are_not_sent_again(sweeps: Sweeps, tmp_path: Path) -> None:
    file = JournalFile.create(tmp_path / "old.db")
    file.append(Entry(1, None, b"\xff"))
    file.append(Entry(2, 1, b"\xff"))
    file.remove([], [(file.ended()[0], "cannot be read")], 0.0)
    file._database.close()
    await sweeps.clock.advance(SWEEP_EVERY)
    assert not (tmp_path / "old.db").exists()
    assert sweeps.own.file.dead_letters() == 1
    assert sweeps.ledger.requests == []


async def test_a_lock_without_a_journal_is_swept_away(sweeps: Sweeps, tmp_path: Path) -> None:
    (tmp_path / "old.lock").touch()
    held = JournalLock.take(tmp_path / "held.lock")
    await sweeps.clock.advance(SWEEP_EVERY)
    assert not (tmp_path / "old.lock").exists()
    assert (tmp_path / "held.lock").exists()
    assert held is not None
    held.release(tmp_path / "held.db")


async def test_a_lock_that_cannot_be_had_at_all_does_not_end_the_sweeping(
    sweeps: Sweeps, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    left_behind(tmp_path / "a.db", opening(1))
    (tmp_path / "a.lock").unlink()
    (tmp_path / "a.lock").mkdir()
    left_behind(tmp_path / "b.db", opening(2))
    await sweeps.clock.advance(2 * SWEEP_EVERY)
    assert len(sweeps.ledger.rows) == 1
    assert caplog.text.count("Journal a.db cannot be adopted") == 1


def _files_of(journal: SqliteJournal) -> list[str]:
    name = journal.file.path.name
    return [name, f"{name}-wal", f"{name}-shm", lock_path(journal.file.path).name]


async def test_the_leases_of_a_lost_router_are_closed_once_its_journal_is_home(sweeps: Sweeps, tmp_path: Path) -> None:
    left_behind(tmp_path / "old.db", opening(1))
    await sweeps.clock.advance(SWEEP_EVERY)
    assert len(sweeps.ledger.rows) == 1
    assert [(each.journal_id, each.journal_closed) for each in sweeps.ledger.given_back] == [("old", True)]


async def test_the_journal_stays_until_they_are(sweeps: Sweeps, tmp_path: Path) -> None:
    """Even an empty one: its router may have held leases and written nothing."""
    left_behind(tmp_path / "old.db")
    sweeps.ledger.gone = True
    await sweeps.clock.advance(SWEEP_EVERY)
    assert (tmp_path / "old.db").exists()
    sweeps.ledger.gone = False
    await sweeps.clock.advance(SWEEP_EVERY)
    assert not (tmp_path / "old.db").exists()
    assert [each.journal_id for each in sweeps.ledger.given_back] == ["old"]


async def test_they_stay_charged_where_the_ledger_refused_what_was_spent_of_them(
    sweeps: Sweeps, tmp_path: Path
) -> None:
    bad = attempt(1)
    sweeps.ledger.refused.add(bad.attempt_id)
    left_behind(
        tmp_path / "old.db", Entry(1, None, bad.SerializeToString()), Entry(2, 1, ended(bad).SerializeToString())
    )
    await sweeps.clock.advance(SWEEP_EVERY)
    assert sweeps.own.file.dead_letters() == 1
    assert not sweeps.ledger.given_back
