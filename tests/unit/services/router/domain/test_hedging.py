"""When a second attempt is worth it, and how many there may be."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.router.domain.hedging import Hedge, HedgeBudget, HedgeBudgets, patience

BY_P95 = Hedge(None, 0.05)


def test_a_fixed_time_is_kept_whatever_is_usual() -> None:
    assert patience(Hedge(0.8, 0.05), [None]) == 0.8


def test_the_deployment_in_the_middle_says_what_is_usual() -> None:
    assert patience(BY_P95, [0.3, 9.0, 0.4]) == 0.4
    assert patience(BY_P95, [9.0, 0.3]) == 0.3
    assert patience(BY_P95, [None, 0.3, None]) == 0.3
    assert patience(BY_P95, [None, None]) is None


def test_every_question_adds_its_share_of_an_extra_call() -> None:
    budget = HedgeBudget()
    assert not budget.take()
    for _ in range(20):
        budget.note_question(0.05)
    assert budget.take()
    assert not budget.take()


def test_a_quiet_time_saves_up_ten_extra_calls_at_most() -> None:
    budget = HedgeBudget()
    for _ in range(10_000):
        budget.note_question(0.05)
    assert [budget.take() for _ in range(11)] == [True] * 10 + [False]


@given(st.floats(0, 1), st.lists(st.booleans(), max_size=300))
def test_extra_calls_are_at_no_time_more_than_their_share(share: float, slow: list[bool]) -> None:
    budget, taken = HedgeBudget(), 0
    for questions, is_slow in enumerate(slow, 1):
        budget.note_question(share)
        taken += is_slow and budget.take()
        assert taken <= share * questions + 1e-6


def test_each_entry_of_the_models_has_a_budget_of_its_own() -> None:
    budgets = HedgeBudgets()
    budgets.of("a").note_question(1.0)
    assert budgets.of("a").take()
    assert not budgets.of("b").take()
