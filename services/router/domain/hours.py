"""The hours of a rule: which days, from when to when, in which part of the world."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

EVERY_DAY = frozenset(range(7))
_DAY = 24 * 60


@dataclass(frozen=True, slots=True)
class Hours:
    """`days` count from Monday, 0; `start` and `end` are minutes since midnight, `end` not included.

    Hours that end before they start, or when they start, go on past midnight, and belong to the day they start on.
    """

    days: frozenset[int] = EVERY_DAY
    start: int = 0
    end: int = _DAY
    zone: tzinfo = UTC

    def include(self, unix: float) -> bool:
        """Whether that Unix time is among them."""
        local = datetime.fromtimestamp(unix, self.zone)
        minute = local.hour * 60 + local.minute
        if self.start < self.end:
            return local.weekday() in self.days and self.start <= minute < self.end
        if minute >= self.start:
            return local.weekday() in self.days
        return minute < self.end and (local - timedelta(days=1)).weekday() in self.days
