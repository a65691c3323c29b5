from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ledger.domain.windows import PARTS, counted_at, counted_with, window_at
from tests.unit.services.ledger.budgeting import budget
from tollway.ledger.v1.budget_pb2 import (
    BUDGET_WINDOW_DAY,
    BUDGET_WINDOW_MONTH,
    BUDGET_WINDOW_ROLLING,
    BUDGET_WINDOW_TOTAL,
    BUDGET_WINDOW_WEEK,
    Budget,
)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
CALENDAR = [BUDGET_WINDOW_DAY, BUDGET_WINDOW_WEEK, BUDGET_WINDOW_MONTH]
ZONES = [
    "",
    "Europe/Zurich",
    "America/New_York",
    "Australia/Lord_Howe",
    "Asia/Kathmandu",
    "Pacific/Apia",
    "Asia/Beirut",
]


def micros(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1)


def at(text: str, zone: str = "UTC") -> int:
    return micros(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)))


def window(budget: Budget, text: str, zone: str = "UTC") -> tuple[str, str]:
    """The window around a local time, in that zone's time."""
    found = window_at(budget, at(text, zone))
    assert found.end is not None
    ends = (EPOCH + timedelta(microseconds=each) for each in (found.start, found.end))
    first, after = (end.astimezone(ZoneInfo(zone)).strftime("%Y-%m-%d %H:%M") for end in ends)
    return first, after


def test_a_day_lasts_from_midnight_to_midnight_where_the_budget_is() -> None:
    assert window(budget(window=BUDGET_WINDOW_DAY), "2026-11-24T23:59") == ("2026-11-24 00:00", "2026-11-25 00:00")
    zurich = budget(window=BUDGET_WINDOW_DAY, time_zone="Europe/Zurich")
    assert window(zurich, "2026-11-24T23:59", "Europe/Zurich") == ("2026-11-24 00:00", "2026-11-25 00:00")
    assert window_at(zurich, at("2026-11-24T23:30")).start == at("2026-11-24T23:00")


def test_a_week_begins_on_monday() -> None:
    weekly = budget(window=BUDGET_WINDOW_WEEK)
    for day in range(23, 30):
        assert window(weekly, f"2026-11-{day}T12:00") == ("2026-11-23 00:00", "2026-11-30 00:00")


def test_a_month_begins_on_the_first_also_of_another_year() -> None:
    monthly = budget(window=BUDGET_WINDOW_MONTH)
    assert window(monthly, "2028-02-29T12:00") == ("2028-02-01 00:00", "2028-03-01 00:00")
    assert window(monthly, "2026-12-31T23:59:59") == ("2026-12-01 00:00", "2027-01-01 00:00")


@pytest.mark.parametrize(
    ("day", "hours"), [("2026-03-29T12:00", 23), ("2026-10-25T12:00", 25), ("2026-10-26T12:00", 24)]
)
def test_a_day_on_which_clocks_are_changed_is_shorter_or_longer(day: str, hours: int) -> None:
    found = window_at(budget(window=BUDGET_WINDOW_DAY, time_zone="Europe/Zurich"), at(day))
    assert found.end is not None
    assert (found.end - found.start) / 3.6e9 == hours


def test_a_day_without_a_midnight_begins_when_clocks_skip_it() -> None:
    beirut = budget(window=BUDGET_WINDOW_DAY, time_zone="Asia/Beirut")  # 2022-03-27 00:00 became 01:00
    assert window(beirut, "2022-03-27T12:00", "Asia/Beirut") == ("2022-03-27 01:00", "2022-03-28 00:00")
    assert window(beirut, "2022-03-26T12:00", "Asia/Beirut") == ("2022-03-26 00:00", "2022-03-27 01:00")


@given(
    kind=st.sampled_from(CALENDAR),
    zone=st.sampled_from(ZONES),
    moment=st.integers(1_577_836_800_000_000, 2_200_000_000_000_000),
)
def test_every_moment_is_in_one_window_and_windows_leave_no_gap(kind: int, zone: str, moment: int) -> None:
    its = budget(window=kind, time_zone=zone)
    found = window_at(its, moment)
    assert found.end is not None
    assert found.start <= moment < found.end
    assert window_at(its, found.start) == window_at(its, found.end - 1) == found
    assert window_at(its, found.end).start == found.end
    assert counted_at(its, moment) == [found]


def test_a_total_never_ends() -> None:
    assert window_at(budget(window=BUDGET_WINDOW_TOTAL), at("2026-11-24T00:00")) == (0, None)


@given(seconds=st.integers(60, 10 * 365 * 86_400), moment=st.integers(0, 4_000_000_000_000_000), ago=st.floats(0, 1.5))
def test_what_was_spent_counts_for_as_long_as_a_rolling_window_and_at_most_a_part_more(
    seconds: int, moment: int, ago: float
) -> None:
    rolling = budget(window=BUDGET_WINDOW_ROLLING, rolling={"seconds": seconds})
    length = seconds * 1_000_000
    spent = max(moment - int(ago * length), 0)
    counted = counted_at(rolling, moment)
    assert len(counted) == PARTS + 1
    assert counted[-1] == window_at(rolling, moment)
    assert all(one.end == after.start for one, after in pairwise(counted))
    counts = window_at(rolling, spent) in counted
    if moment - spent < length:
        assert counts
    if moment - spent > length + 2 * length // PARTS:
        assert not counts


@given(
    seconds=st.integers(60, 10 * 365 * 86_400),
    moment=st.integers(1_000_000_000_000_000, 4_000_000_000_000_000),
    ago=st.floats(0, 100),
    at_share=st.floats(-1, 1),
)
def test_every_part_that_ever_counts_with_another_is_among_those_counted_with_it(
    seconds: int, moment: int, ago: float, at_share: float
) -> None:
    rolling = budget(window=BUDGET_WINDOW_ROLLING, rolling={"seconds": seconds})
    length = seconds * 1_000_000
    its = window_at(rolling, max(moment - int(ago * length), 0))
    together = counted_with(rolling, its.start, moment)
    assert list(together) == sorted(set(together))
    assert {its, *counted_at(rolling, moment)} <= {*together}
    assert len(together) <= 3 * PARTS + 2, "however long ago it was"
    then = max(its.start + int(at_share * length), 0)
    if then <= moment and its in counted_at(rolling, then):
        assert {*counted_at(rolling, then)} <= {*together}
