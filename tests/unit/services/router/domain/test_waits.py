"""What 19 of 20 waits are not longer than."""

from __future__ import annotations

from services.router.domain.waits import Waits


def noted(*seconds: float, now: float = 100.0) -> Waits:
    waits = Waits()
    for each in seconds:
        waits.note(now, each)
    return waits


def test_nothing_is_usual_until_enough_is_known() -> None:
    assert Waits().p95(100) is None
    assert noted(*[1.0] * 19).p95(100) is None
    assert noted(*[1.0] * 20).p95(100) == 1.0


def test_it_is_the_wait_that_19_of_20_are_not_longer_than() -> None:
    assert noted(*[float(wait) for wait in range(1, 101)]).p95(100) == 95.0
    assert noted(*[1.0] * 19, 50.0).p95(100) == 1.0
    assert noted(*[1.0] * 18, 50.0, 60.0).p95(100) == 50.0


def test_it_follows_what_is_noted_later() -> None:
    waits = noted(*[1.0] * 40)
    assert waits.p95(100) == 1.0
    for _ in range(128):
        waits.note(100, 3.0)
    assert waits.p95(100) == 3.0


def test_what_was_long_ago_is_not_usual_any_more() -> None:
    waits = noted(*[1.0] * 40, now=100)
    assert waits.p95(100) == 1.0
    assert waits.p95(1101) is None
    assert waits.p95(1102) is None


def test_it_keeps_a_bounded_number_of_waits() -> None:
    waits = noted(*[1.0] * 10_000)
    assert waits._waits is not None
    assert len(waits._waits) == 128
