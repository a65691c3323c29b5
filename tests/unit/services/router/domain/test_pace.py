"""What 19 of 20 waits are not longer than."""

from __future__ import annotations

from services.router.domain.pace import Pace


def noted(*waits: float, now: float = 100.0) -> Pace:
    pace = Pace()
    for wait in waits:
        pace.note(now, wait)
    return pace


def test_nothing_is_usual_until_enough_is_known() -> None:
    assert Pace().p95(100) is None
    assert noted(*[1.0] * 19).p95(100) is None
    assert noted(*[1.0] * 20).p95(100) == 1.0


def test_it_is_the_wait_that_19_of_20_are_not_longer_than() -> None:
    assert noted(*[float(wait) for wait in range(1, 101)]).p95(100) == 95.0
    assert noted(*[1.0] * 19, 50.0).p95(100) == 1.0
    assert noted(*[1.0] * 18, 50.0, 60.0).p95(100) == 50.0


def test_it_follows_what_is_noted_later() -> None:
    pace = noted(*[1.0] * 40)
    assert pace.p95(100) == 1.0
    for _ in range(128):
        pace.note(100, 3.0)
    assert pace.p95(100) == 3.0


def test_what_was_long_ago_is_not_usual_any_more() -> None:
    pace = noted(*[1.0] * 40, now=100)
    assert pace.p95(100) == 1.0
    assert pace.p95(1101) is None
    assert pace.p95(1102) is None


def test_it_keeps_a_bounded_number_of_waits() -> None:
    pace = noted(*[1.0] * 10_000)
    assert pace._waits is not None
    assert len(pace._waits) == 128
