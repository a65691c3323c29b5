from __future__ import annotations

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.router.domain.pace import DECAY, UNKNOWN, Pace, PeakEwma

SECONDS = st.floats(0, 1000, allow_nan=False)


@given(st.lists(st.tuples(SECONDS, SECONDS), min_size=1))
def test_the_average_never_leaves_what_was_seen(observations: list[tuple[float, float]]) -> None:
    average, now = PeakEwma(), 0.0
    for value, pause in observations:
        now += pause
        average.observe(value, now)
    values = [value for value, _ in observations]
    assert average.recent is not None
    assert min(values) - 1e-9 <= average.recent <= max(values) + 1e-9


@given(SECONDS, SECONDS)
def test_a_peak_is_believed_at_once_and_a_better_value_only_by_and_by(old: float, new: float) -> None:
    average = PeakEwma()
    average.observe(old, 0.0)
    average.observe(new, 1.0)
    assert average.recent is not None
    if new >= old:
        assert average.recent == new
    else:
        assert new <= average.recent <= old


@given(st.floats(0.001, 1000), SECONDS, SECONDS)
def test_what_is_not_seen_again_fades(value: float, sooner: float, later: float) -> None:
    average = PeakEwma()
    average.observe(value, 0.0)
    early, late = sorted((sooner, later))
    assert (average.at(late) or 0.0) <= (average.at(early) or 0.0) <= value
    assert average.at(DECAY) == pytest.approx(value / 2.71828, rel=1e-4)
    assert average.recent == value


def test_nothing_is_known_before_the_first_answer() -> None:
    assert PeakEwma().at(3.0) is None
    assert Pace().expected(3.0, streamed=True) is None


def answered(pace: Pace, took: float, at: float, *, streamed: bool = True) -> None:
    pace.began(0, at - took, streamed=streamed)
    pace.answered(0, at, streamed=streamed)


def test_streams_and_whole_answers_are_measured_apart() -> None:
    pace = Pace()
    answered(pace, 0.3, 1.0)
    answered(pace, 20.0, 21.0, streamed=False)
    assert pace.first_content.recent == pytest.approx(0.3)
    assert pace.whole_answer.recent == pytest.approx(20.0)


def test_a_whole_answer_that_takes_long_says_nothing_about_streams() -> None:
    pace = Pace()
    answered(pace, 0.3, 1.0)
    pace.began(1, 1.0, streamed=False)
    assert pace.expected(1.0, streamed=True) == pytest.approx(0.3)
    assert (pace.expected(31.0, streamed=True) or 0.0) < 0.3


def test_the_more_calls_are_under_way_the_more_it_costs() -> None:
    pace = Pace()
    answered(pace, 0.5, 1.0)
    costs = [pace.cost(1.0, in_flight, streamed=True) for in_flight in range(4)]
    assert costs == pytest.approx([0.5, 1.0, 1.5, 2.0])


def test_one_that_nobody_knows_is_tried_first_and_by_one_at_a_time() -> None:
    pace = Pace()
    assert pace.cost(0.0, 0, streamed=True) == 0.0
    pace.began(1, 0.0, streamed=True)
    assert pace.cost(0.0, 1, streamed=True) == 2 * UNKNOWN


def test_a_call_that_waits_shows_at_least_its_own_age() -> None:
    pace = Pace()
    answered(pace, 0.5, 1.0)
    pace.began(1, 1.0, streamed=True)
    assert pace.expected(1.1, streamed=True) == pytest.approx(0.5)
    assert pace.expected(9.0, streamed=True) == pytest.approx(8.0)


def test_while_one_question_finds_out_whether_it_is_fast_again_the_old_figure_stands() -> None:
    pace = Pace()
    answered(pace, 8.0, 10.0)
    assert (pace.expected(70.0, streamed=True) or inf) < 0.03
    pace.began(1, 70.0, streamed=True)
    assert pace.expected(70.0, streamed=True) == pytest.approx(8.0)
    pace.answered(1, 70.2, streamed=True)
    assert (pace.expected(70.2, streamed=True) or inf) < 0.3


def test_failures_cost_time_however_fast_they_come() -> None:
    fast, failing = Pace(), Pace()
    answered(fast, 0.5, 1.0)
    for call in range(3):
        failing.began(call, 1.0, streamed=True)
        failing.failed(call, 1.0, streamed=True)
    assert failing.cost(1.0, 0, streamed=True) > fast.cost(1.0, 0, streamed=True)
    assert 0.4 < failing.failing(1.0) < 0.6


@given(st.lists(st.booleans(), max_size=50))
def test_the_share_of_failures_is_a_share(outcomes: list[bool]) -> None:
    pace = Pace()
    for call, good in enumerate(outcomes):
        pace.began(call, float(call), streamed=True)
        pace.answered(call, call + 0.1, streamed=True) if good else pace.failed(call, call + 0.1, streamed=True)
    assert 0.0 <= pace.failing(float(len(outcomes))) <= 1.0
    assert pace.failing(float(len(outcomes)) + 100 * DECAY) < 1e-6


def test_a_call_that_is_given_up_took_at_least_that_long() -> None:
    pace = Pace()
    answered(pace, 0.5, 1.0)
    for call, until, expected in ((1, 1.1, 0.5), (2, 6.0, 5.0)):
        pace.began(call, 1.0, streamed=True)
        pace.left(call, until, streamed=True)
        assert pace.first_content.recent == pytest.approx(expected)
    assert pace.failing(6.0) == 0.0


def test_what_is_given_up_at_once_says_nothing_about_one_that_nobody_knows() -> None:
    pace = Pace()
    pace.began(1, 1.0, streamed=True)
    pace.left(1, 1.01, streamed=True)
    assert pace.expected(2.0, streamed=True) is None
