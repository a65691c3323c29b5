"""Values that are there until a moment, in memory."""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

T = TypeVar("T")


class Lapsing(Generic[T]):
    """What has lapsed goes when it is met, or when its turn comes to be looked at. Moments are whatever `now` is.

    Whenever one is added, the one that was left alone for longest is looked at, so that none pile up.
    """

    def __init__(self) -> None:
        self._entries: OrderedDict[str, tuple[T, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: str, now: int) -> T | None:
        """The value; None where there is none (any more)."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        if entry[1] <= now:
            del self._entries[key]
            return None
        return entry[0]

    def put(self, key: str, value: T, until: int, now: int) -> None:
        """Keeps a value, whatever was there."""
        entries = self._entries
        if key in entries:
            entries[key] = value, until
            entries.move_to_end(key)
            return
        for oldest, (_, lapses) in entries.items():
            if lapses > now:
                entries.move_to_end(oldest)
            else:
                del entries[oldest]
            break
        entries[key] = value, until

    def pop(self, key: str) -> None:
        """Forgets a value, if there is one."""
        self._entries.pop(key, None)

    def beginning(self, prefix: str, now: int) -> dict[str, T]:
        """The values whose keys begin so."""
        return {key: value for key, (value, until) in self._entries.items() if until > now and key.startswith(prefix)}
