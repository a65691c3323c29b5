"""Laws of the algorithm, beside a model that is too simple to be wrong."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from mesh.state import gcra
from mesh.state.gcra import MICROS, micros
from mesh.state.store import Draw, Rate

rates = st.builds(Rate, st.integers(1, 1_000_000_000), st.sampled_from([0.001, 1.0, 7.5, 60.0, 3600.0, 86_400.0]))
small_rates = st.builds(Rate, st.integers(1, 20), st.sampled_from([1.0, 7.0, 60.0]))
START = 1_800_000_000 * MICROS


@dataclass
class LeakyBucket:
    """A bucket of `limit` that leaks evenly over the period, replayed in fractions: nothing is ever rounded."""

    rate: Rate
    level: Fraction = Fraction(0)
    at: int = START

    def _leak(self, now: int) -> None:
        leaked = Fraction((now - self.at) * self.rate.limit, micros(self.rate.period))
        self.level, self.at = max(self.level - leaked, Fraction(0)), now

    def admits(self, now: int, amount: int) -> bool:
        self._leak(now)
        if self.level + amount > self.rate.limit:
            return False
        self.level += amount
        return True

    def adjust(self, now: int, amount: int) -> None:
        self._leak(now)
        self.level = max(self.level + amount, Fraction(0))


@dataclass
class Cell:
    """The algorithm, with its one moment."""

    rate: Rate
    full: int = 0

    def wait(self, now: int, amount: int = 1) -> int | None:
        return gcra.wait(self.full, now, Draw("k", self.rate, amount))

    def admits(self, now: int, amount: int = 1) -> bool:
        if self.wait(now, amount) != 0:
            return False
        self.adjust(now, amount)
        return True

    def adjust(self, now: int, amount: int) -> None:
        self.full = gcra.after(self.full, now, Draw("k", self.rate, amount))


def steps(most: int) -> st.SearchStrategy[list[tuple[int, int, bool]]]:
    """Microseconds that pass, an amount, and whether it is adjusted rather than asked for."""
    return st.lists(st.tuples(st.integers(0, 30 * MICROS), st.integers(-most, most), st.booleans()), max_size=60)


@given(small_rates, steps(25))
def test_it_decides_as_a_leaky_bucket_does(rate: Rate, steps: list[tuple[int, int, bool]]) -> None:
    cell, bucket, now = Cell(rate), LeakyBucket(rate), START
    for passed, amount, adjusted in steps:
        now += passed
        if adjusted:
            cell.adjust(now, amount)
            bucket.adjust(now, amount)
        else:
            assert cell.admits(now, abs(amount)) == bucket.admits(now, abs(amount))
        left = gcra.left(cell.full, now, rate)
        assert left.remaining == max((rate.limit - bucket.level).__floor__(), 0)


@given(small_rates)
def test_a_fresh_rate_lets_its_limit_through_at_once_and_not_one_more(rate: Rate) -> None:
    cell = Cell(rate)
    assert [cell.admits(START) for _ in range(rate.limit + 1)] == [True] * rate.limit + [False]


@given(rates)
def test_then_it_lets_one_through_each_share_of_the_period(rate: Rate) -> None:
    cell = Cell(rate)
    assert cell.admits(START, rate.limit)
    interval = -(-micros(rate.period) // rate.limit)
    assert cell.wait(START) == interval
    assert not cell.admits(START + interval - 1)
    assert cell.admits(START + interval)


@given(small_rates, st.lists(st.tuples(st.integers(0, 5 * MICROS), st.integers(1, 20)), max_size=80))
def test_never_more_than_the_limit_and_what_has_come_back_since(rate: Rate, asked: list[tuple[int, int]]) -> None:
    cell, now, let_through = Cell(rate), START, 0
    for passed, amount in asked:
        now += passed
        let_through += amount if cell.admits(now, amount) else 0
        assert let_through <= rate.limit + Fraction((now - START) * rate.limit, micros(rate.period))


@given(rates, st.data())
def test_the_wait_is_exact_and_minimal(rate: Rate, data: st.DataObject) -> None:
    cell = Cell(rate)
    for amount in data.draw(st.lists(st.integers(-rate.limit, 2 * rate.limit), max_size=5)):
        cell.adjust(START, amount)
    amount = data.draw(st.integers(1, rate.limit))
    wait = cell.wait(START, amount)
    assert wait is not None
    assert cell.wait(START + wait, amount) == 0
    assert wait == 0 or cell.wait(START + wait - 1, amount) == 1


@given(rates)
def test_more_than_the_limit_can_never_pass(rate: Rate) -> None:
    cell = Cell(rate)
    assert cell.wait(START, rate.limit + 1) is None
    assert cell.wait(START + 10**15, rate.limit + 1) is None


@given(small_rates, st.integers(1, 100))
def test_an_adjustment_may_go_over_and_is_then_recovered_from(rate: Rate, over: int) -> None:
    cell = Cell(rate)
    cell.adjust(START, rate.limit + over)
    assert gcra.left(cell.full, START, rate).remaining == 0
    wait = cell.wait(START)
    assert wait == -(-(over + 1) * micros(rate.period) // rate.limit)
    assert cell.admits(START + wait)


@given(rates, st.data())
def test_what_is_given_back_was_never_taken(rate: Rate, data: st.DataObject) -> None:
    amount = data.draw(st.integers(1, rate.limit))
    cell = Cell(rate)
    assert cell.admits(START, amount)
    cell.adjust(START, -amount)
    assert gcra.left(cell.full, START, rate).remaining == rate.limit
    assert cell.admits(START, rate.limit)


@given(rates, st.integers(1, 10**9))
def test_giving_back_never_makes_more_than_the_limit(rate: Rate, amount: int) -> None:
    cell = Cell(rate)
    cell.adjust(START, -amount)
    assert cell.admits(START, rate.limit)
    assert not cell.admits(START)


@given(small_rates, st.integers(0, 20))
def test_all_is_there_again_after_the_reset(rate: Rate, amount: int) -> None:
    cell = Cell(rate)
    cell.adjust(START, amount)
    left = gcra.left(cell.full, START, rate)
    assert gcra.left(cell.full, START + micros(left.reset), rate).remaining == rate.limit
    assert gcra.left(cell.full, START + micros(left.reset), rate).reset == 0


@given(rates, st.integers(1, 1000))
def test_a_moment_that_is_kept_is_the_moment_that_is_read(rate: Rate, amount: int) -> None:
    full = gcra.after(0, START, Draw("k", rate, amount))
    whole, rest = divmod(full, rate.limit)
    assert 0 <= rest < rate.limit
    assert whole * rate.limit + rest == full
