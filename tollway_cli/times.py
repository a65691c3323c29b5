"""Reading the times people type."""

from __future__ import annotations

from datetime import UTC, datetime

from mesh.config.values import parse_duration, parse_moment

_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
_END = 253_402_300_800.0
"""The year 10000, in Unix time."""


def parse_time(text: str, now: datetime) -> datetime:
    """A moment from `2026-11-20`, `2026-11-20T10:00Z` (UTC where no zone is given) or `7d` (that long ago).

    Raises ValueError for anything else, and for a moment that is not between 1970 and 9999.
    """
    try:
        moment = _moment(text, now)
    except OverflowError:  # in another zone it may yet be of a year that there is, and in UTC no more
        moment = None
    if moment is None or moment < _BEGINNING:
        raise ValueError(f"{text!r} is not between 1970 and 9999")
    return moment


def parse_date(text: str) -> float:
    """Unix seconds of a moment as the configuration has it, which is never one ago.

    Raises ValueError for anything else, and for a moment that is not between 1970 and 9999.
    """
    seconds = parse_moment(text)
    if not 0 <= seconds < _END:
        raise ValueError("must be between 1970 and 9999")
    return seconds


def _moment(text: str, now: datetime) -> datetime:
    try:
        ago = parse_duration(text)
    except ValueError:
        pass
    else:
        return datetime.fromtimestamp(max(now.timestamp() - ago, -1.0), UTC)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a time such as 2026-11-20, 2026-11-20T10:00Z or 7d") from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
