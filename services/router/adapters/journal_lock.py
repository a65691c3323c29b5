"""Holding a journal, so that nobody else adopts it while its router lives.

The lock is the kernel's (`flock`) on a file beside the journal: it ends with the process that holds it, whatever ends
that, and not with the file. It is not on the journal itself, because SQLite locks that in ways of its own.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


class JournalLock:
    """A hold on the lock file at `path`. To be released once."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path, self._descriptor = path, descriptor

    @classmethod
    def take(cls, path: Path) -> JournalLock | None:
        """The hold, or None where somebody has it. Raises OSError where there cannot be a file."""
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        if not _is_at(descriptor, path):  # whoever had it has removed the file: this is a hold on nothing
            os.close(descriptor)
            return None
        return cls(path, descriptor)

    def release(self, journal: Path) -> None:
        """Ends the hold; removes the lock file first where the journal it is for is there no more."""
        if not journal.exists():
            self._path.unlink(missing_ok=True)
        os.close(self._descriptor)


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    held = os.fstat(descriptor)
    return (held.st_ino, held.st_dev) == (there.st_ino, there.st_dev)
