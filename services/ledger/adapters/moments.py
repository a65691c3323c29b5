"""Moments as budgets count them, in microseconds since the epoch, and as columns keep them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from sqlalchemy import Dialect

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def from_micros(micros: int) -> datetime:
    return EPOCH + micros * _MICROSECOND


def to_micros(moment: datetime) -> int:
    return (moment - EPOCH) // _MICROSECOND


def from_seconds(unix_seconds: float) -> datetime:
    """A Unix time, cut to whole microseconds."""
    return from_micros(int(unix_seconds * 1_000_000))


def micros_writer(dialect: Dialect) -> Callable[[int | None], str | datetime | None]:
    """Makes of microseconds the driver's own parameter; None is NULL."""

    def write(micros: int | None) -> str | datetime | None:
        if micros is None:
            return None
        made = from_micros(micros)
        return made.strftime("%Y-%m-%d %H:%M:%S.%f") if dialect.name == "sqlite" else made

    return write
