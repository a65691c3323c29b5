"""Reading the times people type."""

from __future__ import annotations

from datetime import UTC, datetime

from mesh.config.values import parse_duration


def parse_time(text: str, now: datetime) -> datetime:
    """A moment from `2026-11-20`, `2026-11-20T10:00Z` (UTC where no zone is given) or `7d` (that long ago).

    Raises ValueError for anything else.
    """
    try:
        return datetime.fromtimestamp(now.timestamp() - parse_duration(text), UTC)
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a time such as 2026-11-20, 2026-11-20T10:00Z or 7d") from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
