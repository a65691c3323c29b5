"""How long what was spent counts: windows of the calendar, where a budget is, and rolling ones, kept in parts.

A window is named by the moment it begins. Days, weeks and months begin at midnight in the budget's time zone, however
long that makes them when clocks are put forward or back. A rolling window is kept in parts, whole multiples of a 24th
of it since the epoch: what was spent counts until the end of the part it was spent in is as long ago as the window is
long, so that for a while a little more counts than has to, and never less.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import NamedTuple

from tollway.ledger.v1.budget_pb2 import (
    BUDGET_WINDOW_DAY,
    BUDGET_WINDOW_MONTH,
    BUDGET_WINDOW_ROLLING,
    BUDGET_WINDOW_TOTAL,
    BUDGET_WINDOW_WEEK,
    Budget,
)

PARTS = 24
"""Of a rolling window."""

_QUARTER = 900 * 1_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Window(NamedTuple):
    """From a moment on and before another, in microseconds since the epoch. `end` None: it never ends."""

    start: int
    end: int | None


_EVER = Window(0, None)


def window_at(budget: Budget, micros: int) -> Window:
    """The window, of a rolling budget its part, that a moment is in."""
    kind = budget.window
    if kind == BUDGET_WINDOW_TOTAL:
        return _EVER
    if kind == BUDGET_WINDOW_ROLLING:
        width = _width(budget)
        start = micros // width * width
        return Window(start, start + width)
    # Nearly all that are asked for are of the same few quarters of an hour.
    window = _calendar(kind, budget.time_zone, micros // _QUARTER * _QUARTER)
    if window.end is not None and micros >= window.end:  # where days do not begin at a quarter
        return _calendar(kind, budget.time_zone, micros)
    return window


def counted_at(budget: Budget, micros: int) -> Sequence[Window]:
    """The windows that count at a moment, oldest first: the one it is in, and of a rolling budget all parts of it."""
    window = window_at(budget, micros)
    if budget.window != BUDGET_WINDOW_ROLLING:
        return [window]
    width = _width(budget)
    starts = range(window.start - PARTS * width, window.start + 1, width)
    return [Window(start, start + width) for start in starts]


def counted_with(budget: Budget, start: int, micros: int) -> Sequence[Window]:
    """Of a rolling budget, the parts that ever count together with the one that begins at `start`, and those that count
    now; oldest first, as far as they have begun."""
    now = counted_at(budget, micros)
    width = _width(budget)
    latest = min(start + PARTS * width, now[-1].start)
    around = (Window(begin, begin + width) for begin in range(start - PARTS * width, latest + 1, width))
    return sorted({*around, *now})


def _width(budget: Budget) -> int:
    return budget.rolling.seconds * 1_000_000 // PARTS


@lru_cache(4096)
def _calendar(kind: int, zone_name: str, micros: int) -> Window:
    zone = _zone(zone_name)
    today = (_EPOCH + micros * _MICROSECOND).astimezone(zone).date()
    if kind == BUDGET_WINDOW_DAY:
        first = today
        after = first + timedelta(days=1)
    elif kind == BUDGET_WINDOW_WEEK:
        first = today - timedelta(days=today.weekday())
        after = first + timedelta(days=7)
    elif kind == BUDGET_WINDOW_MONTH:
        first = today.replace(day=1)
        after = (first + timedelta(days=31)).replace(day=1)
    else:
        raise ValueError(f"{kind} is no window")
    return Window(_midnight(first, zone), _midnight(after, zone))


def _midnight(day: date, zone: tzinfo) -> int:
    """The moment a day begins. Where clocks skip midnight, that is when they do; where there are two, the first."""
    return (datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC) - _EPOCH) // _MICROSECOND


@lru_cache(64)
def _zone(name: str) -> tzinfo:
    if not name:
        return UTC
    # Imported late: most budgets do without.
    from zoneinfo import ZoneInfo

    return ZoneInfo(name)
