from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from services.router.adapters.journal_lock import JournalLock


def test_a_lock_is_held_once(tmp_path: Path) -> None:
    lock = JournalLock.take(tmp_path / "j.lock")
    assert lock is not None
    assert JournalLock.take(tmp_path / "j.lock") is None
    lock.release(tmp_path / "j.db")
    again = JournalLock.take(tmp_path / "j.lock")
    assert again is not None
    again.release(tmp_path / "j.db")


def test_a_lock_file_goes_with_its_journal_and_stays_with_it(tmp_path: Path) -> None:
    journal, path = tmp_path / "j.db", tmp_path / "j.lock"
    journal.touch()
    lock = JournalLock.take(path)
    assert lock is not None
    lock.release(journal)
    assert path.exists()
    journal.unlink()
    lock = JournalLock.take(path)
    assert lock is not None
    lock.release(journal)
    assert not path.exists()


def test_a_hold_on_a_file_that_was_removed_is_none(tmp_path: Path, monkeypatch: object) -> None:
    path = tmp_path / "j.lock"
    first = JournalLock.take(path)
    assert first is not None
    path.unlink()  # as the holder would, before it lets go
    second = JournalLock.take(path)
    assert second is not None, "it is on a file of its own"
    first.release(tmp_path / "j.db")
    assert not path.exists()
    assert JournalLock.take(path) is not None


def test_a_lock_ends_with_the_process_that_holds_it_however_that_ends(tmp_path: Path) -> None:
    path = tmp_path / "j.lock"
    holding = (
        "import sys, pathlib\n"
        "from services.router.adapters.journal_lock import JournalLock\n"
        "assert JournalLock.take(pathlib.Path(sys.argv[1]))\n"
        "print('held', flush=True)\n"
        "sys.stdin.read()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", holding, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        assert JournalLock.take(path) is None
        process.kill()
        process.wait()
    assert JournalLock.take(path) is not None
