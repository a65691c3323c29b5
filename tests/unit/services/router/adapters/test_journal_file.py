from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.router.adapters.journal_file import BATCH, MOST_BYTES, Entry, JournalFile, is_corrupt, set_aside

NOW = 1_700_000_000.0


@pytest.fixture
def file(tmp_path: Path) -> Iterator[JournalFile]:
    journal = JournalFile.create(tmp_path / "j.db")
    yield journal
    journal.close()


def pairs(file: JournalFile, count: int, body: bytes = b"x") -> None:
    for number in range(1, 2 * count, 2):
        file.append(Entry(number, None, body))
        file.append(Entry(number + 1, number, body))


def test_what_has_ended_is_read_oldest_first_and_in_batches(file: JournalFile) -> None:
    pairs(file, BATCH + 10)
    batch = file.ended()
    assert [entry.number for entry in batch] == list(range(2, 2 * BATCH + 1, 2))
    assert [entry.opening for entry in batch] == [entry.number - 1 for entry in batch]


def test_a_batch_is_bounded_in_bytes_too(file: JournalFile) -> None:
    pairs(file, 10, bytes(MOST_BYTES // 4))
    assert len(file.ended()) == 5


def test_both_entries_of_an_attempt_are_removed_together(file: JournalFile) -> None:
    file.append(Entry(1, None, b"still open"))
    file.append(Entry(2, None, b"opened"))
    file.append(Entry(3, 2, b"ended"))
    file.remove(file.ended(), [], NOW)
    assert file.ended() == []
    assert file.opened() == [Entry(1, None, b"still open")]


def test_a_removal_that_fails_removes_nothing(file: JournalFile) -> None:
    pairs(file, 2)
    good, bad = file.ended()
    with pytest.raises(sqlite3.Error):
        file.remove([good], [(bad, None)], NOW)  # type: ignore[list-item]  # what the table does not take
    assert file.ended() == [good, bad]
    assert len(file.opened()) == 2
    assert file.pending == 2


def test_what_the_ledger_refuses_becomes_a_dead_letter(file: JournalFile) -> None:
    pairs(file, 2, b"one")
    good, bad = file.ended()
    file.remove([good], [(bad, "tags: are too many")], NOW)
    assert file.ended() == file.opened() == []
    assert file.dead_letters() == 1
    assert not file.empty


def test_pending_counts_what_has_ended_and_is_there(file: JournalFile) -> None:
    file.append(Entry(0, None, b""))
    pairs(file, 3)
    assert file.pending == 3
    file.remove(file.ended()[:2], [], NOW)
    assert file.pending == 1


def test_a_closed_journal_is_removed_only_where_it_is_empty(tmp_path: Path) -> None:
    file = JournalFile.create(tmp_path / "j.db")
    file.append(Entry(1, None, b"x"))
    file.close()
    assert (tmp_path / "j.db").exists()
    file = JournalFile.adopt(tmp_path / "j.db")
    file.remove(file.opened(), [], NOW)
    file.close()
    assert list(tmp_path.iterdir()) == []


def test_an_adopted_journal_has_what_was_written(tmp_path: Path) -> None:
    written = JournalFile.create(tmp_path / "j.db")
    pairs(written, 2)
    written.close()
    adopted = JournalFile.adopt(tmp_path / "j.db")
    assert len(adopted.ended()) == 2
    adopted.close()


@pytest.mark.parametrize("content", [b"", None])
def test_a_journal_that_was_never_finished_making_is_an_empty_one(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "j.db").write_bytes(content)
    adopted = JournalFile.adopt(tmp_path / "j.db")
    assert adopted.empty
    adopted.close()
    assert list(tmp_path.iterdir()) == []


def test_a_journal_of_a_later_version_is_left_alone(tmp_path: Path) -> None:
    file = JournalFile.create(tmp_path / "j.db")
    file.append(Entry(1, None, b"x"))
    file.close()
    with sqlite3.connect(tmp_path / "j.db") as database:
        database.execute("PRAGMA user_version = 9")
    database.close()
    with pytest.raises(sqlite3.NotSupportedError, match="version 9") as refused:
        JournalFile.adopt(tmp_path / "j.db")
    assert not is_corrupt(refused.value)


def test_what_is_no_database_is_corrupt_and_can_be_set_aside(tmp_path: Path) -> None:
    path = tmp_path / "j.db"
    path.write_bytes(b"rubbish" * 1000)
    with pytest.raises(sqlite3.DatabaseError) as failed:
        JournalFile.adopt(path)
    assert is_corrupt(failed.value)
    assert set_aside(path) == tmp_path / "j.corrupt"
    assert [each.name for each in tmp_path.iterdir()] == ["j.corrupt"]


def test_dead_letters_move_from_one_journal_to_another_once(tmp_path: Path, file: JournalFile) -> None:
    other = JournalFile.create(tmp_path / "other.db")
    pairs(other, 1, b"dead")
    other.remove([], [(other.ended()[0], "no")], NOW)
    other.move_dead_letters(file)
    other.move_dead_letters(file)
    assert (other.dead_letters(), file.dead_letters()) == (0, 1)
    other.close()


def test_a_file_does_not_grow_with_what_has_passed_through_it(tmp_path: Path, file: JournalFile) -> None:
    sizes = []
    for round_ in range(30):
        base = round_ * 2000
        for number in range(base + 1, base + 1000, 2):
            file.append(Entry(number, None, bytes(300)))
            file.append(Entry(number + 1, number, bytes(400)))
        file.remove(file.ended(), [], NOW)
        with sqlite3.connect(tmp_path / "j.db") as other:
            other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        other.close()
        sizes.append(sum(path.stat().st_size for path in tmp_path.iterdir()))
    assert max(sizes) <= 1.2 * sizes[2]
