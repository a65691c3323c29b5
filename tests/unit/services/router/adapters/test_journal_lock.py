from __future__ import annotations

import fcntl
import subprocess
import sys
from pathlib import Path

import pytest

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


@pytest.mark.parametrize("replaced", [False, True])
def test_a_hold_on_a_file_that_was_removed_meanwhile_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, replaced: bool
) -> None:
    path = tmp_path / "j.lock"

    def flock_late(descriptor: int, how: int) -> None:
        path.unlink()  # whoever had the lock goes just before we get it
        if replaced:
            path.touch()

    monkeypatch.setattr(fcntl, "flock", flock_late)
    assert JournalLock.take(path) is None


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
