from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tollway_cli.times import parse_time

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


def test_times_are_moments_or_how_long_ago() -> None:
    assert parse_time("2026-11-19", NOW) == datetime(2026, 11, 19, tzinfo=UTC)
    assert parse_time("2026-11-19T10:00+02:00", NOW) == datetime(2026, 11, 19, 8, tzinfo=UTC)
    assert parse_time("7d", NOW) == datetime(2026, 11, 13, 12, tzinfo=UTC)
    with pytest.raises(ValueError, match="'soon' is not a time"):
        parse_time("soon", NOW)


@pytest.mark.parametrize(
    "text", ["9999-12-31T23:59-14:00", "0001-01-01T00:00+14:00", "1969-12-31", "99999999999999999999d", "9" * 400 + "d"]
)
def test_a_time_is_one_that_the_book_can_hold(text: str) -> None:
    with pytest.raises(ValueError, match="is not between 1970 and 9999"):
        parse_time(text, NOW)
