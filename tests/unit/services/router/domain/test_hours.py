from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from services.router.domain.hours import EVERY_DAY, Hours

ZURICH = ZoneInfo("Europe/Zurich")
WEEKDAYS = frozenset(range(5))


def at(text: str, zone: ZoneInfo | None = None) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=zone or UTC).timestamp()


@pytest.mark.parametrize(
    ("moment", "included"),
    [
        ("2026-11-23T07:59", False),  # a Monday
        ("2026-11-23T08:00", True),
        ("2026-11-23T17:59:59", True),
        ("2026-11-23T18:00", False),
        ("2026-11-28T12:00", False),  # a Saturday
    ],
)
def test_working_hours_are_those_of_their_zone(moment: str, included: bool) -> None:
    hours = Hours(WEEKDAYS, 8 * 60, 18 * 60, ZURICH)
    assert hours.include(at(moment, ZURICH)) is included


def test_a_zone_keeps_its_hours_when_the_clocks_change() -> None:
    hours = Hours(EVERY_DAY, 8 * 60, 9 * 60, ZURICH)
    assert hours.include(at("2026-07-01T06:30"))
    assert not hours.include(at("2026-12-01T06:30"))
    assert hours.include(at("2026-12-01T07:30"))


@pytest.mark.parametrize(
    ("moment", "included"),
    [
        ("2026-11-27T21:59", False),  # a Friday
        ("2026-11-27T22:00", True),
        ("2026-11-28T05:59", True),
        ("2026-11-28T06:00", False),
        ("2026-11-28T23:00", False),
        ("2026-11-23T03:00", False),  # Monday's small hours belong to Sunday
    ],
)
def test_a_night_belongs_to_the_day_it_begins_on(moment: str, included: bool) -> None:
    assert Hours(WEEKDAYS, 22 * 60, 6 * 60).include(at(moment)) is included


def test_without_hours_it_is_always() -> None:
    assert all(Hours().include(at(f"2026-11-2{day}T{hour:02}:00")) for day in range(9) for hour in range(24))
