"""The breaker: by example, and as a state machine beside one that keeps everything it ever saw."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, precondition, rule

from services.router.domain.breaker import ORDINARY, PROBE_WAIT, Breaker, BreakerPolicy

POLICY = BreakerPolicy()
NOW = 1000.0


def failing(breaker: Breaker, times: int, now: float = NOW, policy: BreakerPolicy = POLICY) -> list[bool]:
    return [breaker.fail(ORDINARY, now, policy, "UPSTREAM_FAILED") for _ in range(times)]


def opened(now: float = NOW, policy: BreakerPolicy = POLICY) -> Breaker:
    breaker = Breaker()
    failing(breaker, policy.failures, now, policy)
    assert not breaker.closed
    return breaker


def ticket(breaker: Breaker, now: float) -> int:
    given = breaker.enter(now)
    assert given is not None
    return given


# -- opening -----------------------------------------------------------------------------------------------------------


def test_so_many_failures_open_it_for_so_long() -> None:
    breaker = Breaker()
    assert failing(breaker, 5) == [False, False, False, False, True]
    assert breaker.enter(NOW) is None
    assert breaker.wait(NOW + 10) == 20
    assert breaker.reason == "5 of its last 5 calls failed, the last with UPSTREAM_FAILED"


def test_successes_between_them_do_not_erase_failures() -> None:
    breaker = Breaker()
    for _ in range(4):
        failing(breaker, 1)
        breaker.succeed(ORDINARY, NOW, POLICY)
    assert failing(breaker, 1) == [True]


def test_age_does() -> None:
    breaker = Breaker()
    failing(breaker, 4, NOW)
    assert failing(breaker, 4, NOW + 60) == [False] * 4
    assert failing(breaker, 1, NOW + 61) == [True]


def test_a_few_failures_among_many_calls_do_not_open_it() -> None:
    breaker = Breaker()
    for call in range(200):
        if call % 20:
            breaker.succeed(ORDINARY, NOW, POLICY)
        else:
            failing(breaker, 1)
    assert breaker.closed
    assert (breaker.failures, breaker.calls) == (10, 200)


def test_failures_that_follow_one_another_open_it_however_many_calls_went_well_before() -> None:
    breaker = Breaker()
    for _ in range(1000):
        breaker.succeed(ORDINARY, NOW, POLICY)
    assert failing(breaker, 5)[-1]


def test_the_share_of_failures_opens_it_where_they_do_not_follow_one_another() -> None:
    policy = replace(POLICY, rate=0.5, calls=4)
    breaker = Breaker()
    for _ in range(9):
        breaker.succeed(ORDINARY, NOW, policy)
        failing(breaker, 1, NOW, policy)
        if not breaker.closed:
            break
    assert not breaker.closed
    assert (breaker.failures, breaker.calls) == (5, 10)


def test_with_a_rate_of_nothing_the_number_alone_counts() -> None:
    policy = replace(POLICY, rate=0.0)
    breaker = Breaker()
    for _ in range(5):
        for _ in range(1000):
            breaker.succeed(ORDINARY, NOW, policy)
        failing(breaker, 1, NOW, policy)
    assert not breaker.closed


def test_a_refusal_opens_it_at_once() -> None:
    breaker = Breaker()
    assert breaker.trip(ORDINARY, NOW, POLICY, "refused")
    assert breaker.wait(NOW) == 30
    assert not breaker.trip(ORDINARY, NOW + 1, POLICY, "refused again, by a call from before")
    assert breaker.wait(NOW) == 30


# -- Retry-After -------------------------------------------------------------------------------------------------------


def test_who_says_when_to_come_back_is_left_alone_until_then() -> None:
    breaker = Breaker()
    assert breaker.fail(ORDINARY, NOW, POLICY, "UPSTREAM_RATE_LIMITED", 7.0)
    assert breaker.wait(NOW) == 7
    assert breaker.enter(NOW + 6) is None
    assert [breaker.enter(NOW + 7) for _ in range(100)] == [ORDINARY] * 100


def test_what_failed_before_a_hold_counts_after_it() -> None:
    breaker = Breaker()
    failing(breaker, 2)
    breaker.fail(ORDINARY, NOW, POLICY, "429", 7.0)
    assert failing(breaker, 2, NOW + 7) == [False, True]
    assert breaker.wait(NOW + 7) == 30


def test_a_later_hold_that_is_shorter_never_shortens_and_one_that_is_longer_lengthens() -> None:
    breaker = Breaker()
    breaker.fail(ORDINARY, NOW, POLICY, "429", 60.0)
    assert not breaker.fail(ORDINARY, NOW + 1, POLICY, "429", 5.0)
    assert breaker.wait(NOW) == 60
    assert breaker.fail(ORDINARY, NOW + 2, POLICY, "429", 100.0)
    assert breaker.wait(NOW) == 102
    assert breaker.enter(NOW + 102) == ORDINARY


def test_failures_that_open_it_hold_it_only_until_the_provider_said() -> None:
    breaker = Breaker()
    failing(breaker, 4)
    breaker.fail(ORDINARY, NOW, POLICY, "429", 2.0)
    assert breaker.wait(NOW) == 2
    assert breaker.enter(NOW + 2) == ORDINARY
    assert failing(breaker, 1, NOW + 2) == [True]
    assert breaker.wait(NOW + 2) == 30


def test_nobody_is_taken_at_their_word_for_longer_than_an_hour() -> None:
    breaker = Breaker()
    breaker.fail(ORDINARY, NOW, POLICY, "429", 1e9)
    assert breaker.wait(NOW) == 3600


# -- half-open ---------------------------------------------------------------------------------------------------------


def test_after_that_one_probe_is_let_through_at_a_time() -> None:
    breaker = opened()
    assert ticket(breaker, NOW + 30) != ORDINARY
    assert breaker.enter(NOW + 30) is None
    assert breaker.wait(NOW + 30) == PROBE_WAIT


def test_a_probe_that_goes_well_closes_it_and_what_was_is_forgotten() -> None:
    breaker = opened()
    assert breaker.succeed(ticket(breaker, NOW + 30), NOW + 31, POLICY)
    assert breaker.enter(NOW + 31) == ORDINARY
    assert failing(breaker, 4, NOW + 31) == [False] * 4


def test_a_probe_that_fails_opens_it_anew() -> None:
    breaker = opened()
    assert breaker.fail(ticket(breaker, NOW + 30), NOW + 35, POLICY, "UPSTREAM_SILENT")
    assert breaker.wait(NOW + 35) == 30
    assert breaker.reason == "it was tried again, and showed UPSTREAM_SILENT"


def test_several_probes_may_be_asked_for_and_all_have_to_go_well() -> None:
    policy = replace(POLICY, probes=2)
    breaker = opened(policy=policy)
    first, second = ticket(breaker, NOW + 30), ticket(breaker, NOW + 30)
    assert breaker.enter(NOW + 30) is None
    assert not breaker.succeed(first, NOW + 31, policy)
    assert breaker.enter(NOW + 31) is None
    assert breaker.succeed(second, NOW + 32, policy)


def test_the_place_of_a_probe_that_told_nothing_is_free_again() -> None:
    breaker = opened()
    breaker.give_back(ticket(breaker, NOW + 30))
    assert ticket(breaker, NOW + 31) != ORDINARY


def test_calls_from_before_it_opened_have_no_say_in_whether_it_closes() -> None:
    breaker = opened()
    assert not breaker.succeed(ORDINARY, NOW + 31, POLICY)
    assert not breaker.fail(ORDINARY, NOW + 31, POLICY, "late")
    assert ticket(breaker, NOW + 31) != ORDINARY
    breaker.give_back(ORDINARY)
    assert breaker.enter(NOW + 31) is None


def test_a_probe_of_an_opening_that_is_over_has_no_say_in_the_next() -> None:
    policy = replace(POLICY, probes=2)
    breaker = opened(policy=policy)
    first, second = ticket(breaker, NOW + 30), ticket(breaker, NOW + 30)
    breaker.fail(first, NOW + 31, policy, "bad")
    third = ticket(breaker, NOW + 61)
    breaker.give_back(second)
    assert not breaker.succeed(second, NOW + 61, policy)
    fourth = ticket(breaker, NOW + 61)
    assert breaker.enter(NOW + 61) is None
    assert not breaker.succeed(third, NOW + 62, policy)
    assert breaker.succeed(fourth, NOW + 62, policy)


def test_a_probe_that_may_be_made_a_moment_early_is_made() -> None:
    assert opened().enter(NOW + 29.9999) is not None


# -- as a state machine ------------------------------------------------------------------------------------------------


@dataclass
class Model:
    """What a breaker is, written for reading: it keeps every outcome."""

    policy: BreakerPolicy
    outcomes: list[tuple[float, bool]] = field(default_factory=list)
    until: float | None = None
    opening: int = 0
    probing: int = 0
    succeeded: int = 0
    held: bool = False

    def lapse(self, now: float) -> None:
        if self.held and self.until is not None and now >= self.until:
            self.until, self.held = None, False

    def may_enter(self, now: float) -> bool:
        if self.until is None:
            return True
        return now >= self.until and self.probing + self.succeeded < self.policy.probes

    def open(self, until: float, *, held: bool = False) -> None:
        self.until, self.probing, self.succeeded, self.held = until, 0, 0, held
        self.opening += 1

    def note(self, now: float, failed: bool) -> None:
        self.outcomes.append((now, failed))

    def certainly_recent(self, now: float) -> list[bool]:
        """What is in the window whichever slice it is in."""
        age = self.policy.window * 11 / 12
        return [failed for at, failed in self.outcomes if now - at < age]

    def certainly_enough(self, now: float) -> bool:
        recent = self.certainly_recent(now)
        run = recent[-self.policy.failures :]
        return len(run) == self.policy.failures and all(run)

    def possibly_enough(self, now: float) -> bool:
        return sum(failed for at, failed in self.outcomes if now - at < self.policy.window) >= self.policy.failures


class BreakerMachine(RuleBasedStateMachine):
    tickets = Bundle("tickets")

    def __init__(self) -> None:
        super().__init__()
        self.policy = BreakerPolicy(failures=3, rate=0.5, calls=4, window=12.0, open_for=6.0, probes=2)
        self.breaker, self.model, self.now = Breaker(), Model(self.policy), 100.0
        self.used: set[int] = set()
        self.serial = 0

    @rule(seconds=st.sampled_from([0.0, 0.5, 1.0, 2.0, 6.0, 13.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        self.model.lapse(self.now)

    @rule(target=tickets)
    def a_call_asks_to_leave(self) -> tuple[int, int | None]:
        expected = self.model.may_enter(self.now)
        given = self.breaker.enter(self.now)
        assert (given is not None) == expected
        if given is not None and self.model.until is not None:
            self.model.probing += 1
        self.serial += 1
        return self.serial, given

    def _use(self, held: tuple[int, int | None]) -> int | None:
        serial, given = held
        if given is None or serial in self.used:
            return None
        self.used.add(serial)
        return given

    def _is_probe(self, given: int) -> bool:
        return self.model.until is not None and given == self.breaker.opening and given != ORDINARY

    @rule(held=tickets)
    def a_call_goes_well(self, held: tuple[int, int | None]) -> None:
        given = self._use(held)
        if given is None:
            return
        probe = self._is_probe(given)
        closed = self.breaker.succeed(given, self.now, self.policy)
        if self.model.until is None:
            self.model.note(self.now, failed=False)
        elif probe:
            self.model.probing -= 1
            self.model.succeeded += 1
            if self.model.succeeded == self.policy.probes:
                assert closed
                self.model = Model(self.policy)

    @rule(held=tickets, retry_after=st.sampled_from([None, None, 1.0, 20.0]))
    def a_call_fails(self, held: tuple[int, int | None], retry_after: float | None) -> None:
        given = self._use(held)
        if given is None:
            return
        probe, model = self._is_probe(given), self.model
        self.breaker.fail(given, self.now, self.policy, "X", retry_after)
        hold = None if retry_after is None else self.now + retry_after
        if model.until is None:
            model.note(self.now, failed=True)
            if hold is not None:
                model.open(hold, held=True)
            elif model.certainly_enough(self.now):
                assert not self.breaker.closed
                model.open(self.now + self.policy.open_for)
            elif not self.breaker.closed:
                assert model.possibly_enough(self.now)
                model.open(self.now + self.policy.open_for)
        elif probe:
            model.open(max(model.until, hold or self.now + self.policy.open_for))
        elif hold is not None and hold > model.until:
            model.open(hold, held=model.held)

    @rule(held=tickets)
    def a_call_tells_nothing(self, held: tuple[int, int | None]) -> None:
        given = self._use(held)
        if given is None:
            return
        if self._is_probe(given):
            self.model.probing -= 1
        self.breaker.give_back(given)

    @precondition(lambda self: self.model.until is not None and self.now < self.model.until)
    @rule()
    def nobody_is_let_through_while_it_is_open(self) -> None:
        assert self.breaker.enter(self.now) is None

    @invariant()
    def they_agree(self) -> None:
        waits = self.breaker.wait(self.now)
        assert self.breaker.until == self.model.until
        if waits == 0:
            assert self.model.may_enter(self.now)
        assert 0 <= self.model.probing <= self.policy.probes
        assert 0 <= self.breaker.failures <= self.breaker.calls


BreakerMachine.TestCase.settings = settings(max_examples=200, stateful_step_count=60, deadline=None)
TestBreakerMachine = BreakerMachine.TestCase


@pytest.mark.parametrize("calls", [10, 100_000])
def test_it_costs_the_same_however_many_calls_there_are(calls: int) -> None:
    breaker = Breaker()
    for call in range(calls):
        breaker.succeed(ORDINARY, NOW + call * 59 / calls, POLICY)
    assert breaker.calls == calls
    assert len(breaker._slices) <= 13
