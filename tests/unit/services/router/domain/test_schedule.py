"""Design, section 4: each row of the table of failures, for a lone candidate and for one among several."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mesh.errors import Reason, TollwayError
from services.router.domain.failures import TABLE, backoff
from services.router.domain.routes import Candidate, Deployment, Plan, Route, Routes
from services.router.domain.schedule import Decision, GiveUp, NextCandidate, RetryAfter, Schedule, Tried

STEADY = Schedule(retry_after_wait=5.0, jitter=lambda: 0.5)
RETRIED = (
    Reason.UPSTREAM_RATE_LIMITED,
    Reason.UPSTREAM_FAILED,
    Reason.UPSTREAM_UNREACHABLE,
    Reason.UPSTREAM_CUT,
    Reason.UPSTREAM_MALFORMED,
    Reason.SERVICE_UNAVAILABLE,
)
PASSED_ON = (
    Reason.UPSTREAM_SILENT,
    Reason.UPSTREAM_MODEL_NOT_FOUND,
    Reason.UPSTREAM_CREDENTIALS,
    Reason.UPSTREAM_FORBIDDEN,
    Reason.PROVIDER_NOT_CONFIGURED,
    Reason.UNSUPPORTED_FEATURE,
    Reason.DEADLINE_EXCEEDED,
    Reason.INTERNAL,
)
FINAL = (Reason.CONTENT_FILTERED, Reason.UPSTREAM_REJECTED, Reason.INVALID_REQUEST)


def plan(*deployments: Deployment, fallback: Deployment | None = None) -> Plan:
    routes = [Route("gpt", deployments, ("other",) if fallback else ())]
    if fallback:
        routes.append(Route("other", (fallback,)))
    found = Routes(routes).plan("gpt")
    assert found is not None
    return found


ALONE = plan(Deployment("a", "x"))
TWO = plan(Deployment("a", "x"), Deployment("b", "x"))
WITH_FALLBACK = plan(Deployment("a", "x"), fallback=Deployment("c", "z"))


def decisions(plan: Plan, *failures: TollwayError, time_left: float | None = None) -> list[Decision]:
    """What is decided after each failure, following the decisions."""
    tried, made = Tried(), []
    for failure in failures:
        tried.note(plan, failure)
        decision = STEADY.decide(plan, tried, failure, time_left)
        made.append(decision)
        if isinstance(decision, NextCandidate):
            tried.move(decision.index)
    return made


def shown(reason: Reason, retry_after: float | None = None) -> TollwayError:
    return TollwayError(reason, "", retry_after=retry_after)


def test_every_reason_there_is_has_a_row() -> None:
    assert set(TABLE) == set(Reason)


@pytest.mark.parametrize("reason", RETRIED)
def test_the_last_candidate_is_asked_again_after_1_2_and_4_seconds(reason: Reason) -> None:
    assert decisions(ALONE, *[shown(reason)] * 4) == [RetryAfter(1), RetryAfter(2), RetryAfter(4), GiveUp()]


@pytest.mark.parametrize("reason", RETRIED)
def test_any_other_candidate_is_asked_again_once(reason: Reason) -> None:
    assert decisions(TWO, *[shown(reason)] * 3) == [RetryAfter(1), NextCandidate(1), RetryAfter(1)]


@pytest.mark.parametrize("reason", PASSED_ON)
def test_what_asking_again_cannot_change_goes_to_the_next_candidate_at_once(reason: Reason) -> None:
    assert decisions(TWO, shown(reason), shown(reason)) == [NextCandidate(1), GiveUp()]
    assert decisions(WITH_FALLBACK, shown(reason)) == [NextCandidate(1)]
    assert decisions(ALONE, shown(reason)) == [GiveUp()]


@pytest.mark.parametrize("reason", FINAL)
def test_what_is_the_clients_fault_is_nobody_elses_to_answer(reason: Reason) -> None:
    assert decisions(TWO, shown(reason)) == [GiveUp()]


def test_retries_are_a_setting_of_the_deployment() -> None:
    failure = shown(Reason.UPSTREAM_FAILED)
    assert decisions(plan(Deployment("a", "x", retries=0)), failure) == [GiveUp()]
    once = plan(Deployment("a", "x", retries=1))
    assert decisions(once, failure, failure) == [RetryAfter(1), GiveUp()]
    none_before_another = plan(Deployment("a", "x", retries=0), Deployment("b", "x"))
    assert decisions(none_before_another, failure) == [NextCandidate(1)]


def test_waits_double_up_to_half_a_minute() -> None:
    assert [backoff(tries) for tries in range(1, 8)] == [1, 2, 4, 8, 16, 30, 30]


def test_jitter_spreads_a_wait_by_a_quarter_both_ways() -> None:
    failure, tried = shown(Reason.UPSTREAM_FAILED), Tried(tries=1)
    waits = [Schedule(5.0, lambda j=j: j).decide(ALONE, tried, failure, None) for j in (0.0, 1.0)]  # type: ignore[misc]
    assert waits == [RetryAfter(0.75), RetryAfter(1.25)]


# -- Retry-After -------------------------------------------------------------------------------------------------------


def test_a_short_retry_after_is_waited_for_exactly() -> None:
    limited = shown(Reason.UPSTREAM_RATE_LIMITED, retry_after=3.5)
    assert decisions(ALONE, limited) == [RetryAfter(3.5)]
    assert decisions(WITH_FALLBACK, limited) == [RetryAfter(3.5)]


def test_a_long_retry_after_is_not_waited_for() -> None:
    limited = shown(Reason.UPSTREAM_RATE_LIMITED, retry_after=5.1)
    assert decisions(ALONE, limited) == [GiveUp()]
    assert decisions(WITH_FALLBACK, limited) == [NextCandidate(1)]


def test_a_retry_after_is_not_waited_for_while_another_deployment_of_the_model_is_ready() -> None:
    limited = shown(Reason.UPSTREAM_RATE_LIMITED, retry_after=1.0)
    assert decisions(TWO, limited, limited) == [NextCandidate(1), RetryAfter(1.0)]


def test_a_retry_after_beyond_the_deadline_is_not_waited_for() -> None:
    limited = shown(Reason.UPSTREAM_RATE_LIMITED, retry_after=2.0)
    assert decisions(ALONE, limited, time_left=1.5) == [GiveUp()]
    assert decisions(WITH_FALLBACK, limited, time_left=1.5) == [NextCandidate(1)]


def test_whoever_always_says_retry_after_is_not_asked_for_ever() -> None:
    limited = shown(Reason.UPSTREAM_RATE_LIMITED, retry_after=0.0)
    assert decisions(ALONE, *[limited] * 4)[-1] == GiveUp()
    assert decisions(WITH_FALLBACK, limited, limited)[-1] == NextCandidate(1)


def test_a_server_error_with_a_retry_after_is_believed_too() -> None:
    busy = shown(Reason.UPSTREAM_FAILED, retry_after=4.0)
    assert decisions(ALONE, busy) == [RetryAfter(4.0)]


# -- deadline ----------------------------------------------------------------------------------------------------------


def test_no_wait_ends_after_the_deadline() -> None:
    failure = shown(Reason.UPSTREAM_FAILED)
    assert decisions(ALONE, failure, time_left=1.0) == [GiveUp()]
    assert decisions(ALONE, failure, time_left=1.1) == [RetryAfter(1)]
    assert decisions(TWO, failure, time_left=0.5) == [NextCandidate(1)]


def test_nobody_is_asked_after_the_deadline() -> None:
    assert decisions(TWO, shown(Reason.UPSTREAM_SILENT), time_left=0.0) == [GiveUp()]


# -- context length ----------------------------------------------------------------------------------------------------


def test_a_question_too_long_goes_to_the_next_window_that_is_larger_or_unknown() -> None:
    sizes = (8_000, 4_000, 8_000, 32_000)
    candidates = plan(*(Deployment(f"p{n}", "x", context=size) for n, size in enumerate(sizes)), Deployment("q", "x"))
    too_long = shown(Reason.CONTEXT_LENGTH_EXCEEDED)
    assert decisions(candidates, too_long, too_long, too_long) == [NextCandidate(3), NextCandidate(4), GiveUp()]


def test_a_window_of_unknown_size_that_is_too_small_rules_nobody_out() -> None:
    candidates = plan(Deployment("a", "x"), Deployment("b", "x", context=4_000))
    assert decisions(candidates, shown(Reason.CONTEXT_LENGTH_EXCEEDED)) == [NextCandidate(1)]


def test_a_window_that_was_too_small_stays_so_whatever_fails_next() -> None:
    candidates = plan(Deployment("a", "x", context=8_000), Deployment("b", "x"), Deployment("c", "x", context=8_000))
    made = decisions(candidates, shown(Reason.CONTEXT_LENGTH_EXCEEDED), shown(Reason.UPSTREAM_SILENT))
    assert made == [NextCandidate(1), GiveUp()]


# -- who is to be left alone -------------------------------------------------------------------------------------------


def left_alone(**seconds: float) -> Callable[[Candidate], float]:
    """How long each provider is to be left alone for; the others are ready."""
    return lambda candidate: seconds.get(candidate.deployment.provider, 0.0)


THREE = plan(Deployment("a", "x"), Deployment("b", "x"), Deployment("c", "x"))


def after_one(reason: Reason, among: Plan, wait: Callable[[Candidate], float], **told: float) -> Decision:
    tried, failure = Tried(), shown(reason, **told)
    tried.note(among, failure)
    return STEADY.decide(among, tried, failure, None, wait)


def test_who_is_left_alone_is_passed_over() -> None:
    assert after_one(Reason.UPSTREAM_SILENT, THREE, left_alone(b=30)) == NextCandidate(2)
    assert after_one(Reason.UPSTREAM_SILENT, TWO, left_alone(b=30)) == GiveUp()


def test_where_no_other_is_ready_a_candidate_is_asked_as_often_as_the_last() -> None:
    tried, made = Tried(), []
    for _ in range(4):
        tried.note(TWO, shown(Reason.UPSTREAM_FAILED))
        made.append(STEADY.decide(TWO, tried, shown(Reason.UPSTREAM_FAILED), None, left_alone(b=30)))
    assert made == [RetryAfter(1), RetryAfter(2), RetryAfter(4), GiveUp()]


def test_a_retry_after_is_waited_for_where_no_other_deployment_is_ready() -> None:
    busy = {"retry_after": 3.0}
    assert after_one(Reason.UPSTREAM_RATE_LIMITED, TWO, left_alone(a=3, b=30), **busy) == RetryAfter(3.0)
    assert after_one(Reason.UPSTREAM_RATE_LIMITED, TWO, left_alone(a=3), **busy) == NextCandidate(1)


def test_a_candidate_whose_breaker_has_opened_is_not_asked_again() -> None:
    assert after_one(Reason.UPSTREAM_FAILED, ALONE, left_alone(a=30)) == GiveUp()
    assert after_one(Reason.UPSTREAM_FAILED, TWO, left_alone(a=30)) == NextCandidate(1)
    assert after_one(Reason.UPSTREAM_FAILED, TWO, left_alone(a=3)) == NextCandidate(1)


def test_but_for_a_short_while_that_is_waited_for() -> None:
    assert after_one(Reason.UPSTREAM_FAILED, ALONE, left_alone(a=3)) == RetryAfter(3)


def test_who_was_passed_over_is_asked_once_ready() -> None:
    tried = Tried()
    assert STEADY.step_aside(TWO, tried, None, 0.0, left_alone(a=30)) == NextCandidate(1)
    tried.move(1)
    tried.note(TWO, shown(Reason.UPSTREAM_SILENT))
    assert STEADY.decide(TWO, tried, shown(Reason.UPSTREAM_SILENT), None, left_alone()) == NextCandidate(0)


def test_who_has_had_a_turn_is_not_asked_again() -> None:
    tried = Tried()
    for index in (1, 2):
        tried.note(THREE, shown(Reason.UPSTREAM_SILENT))
        assert STEADY.decide(THREE, tried, shown(Reason.UPSTREAM_SILENT), None) == NextCandidate(index)
        tried.move(index)
    tried.note(THREE, shown(Reason.UPSTREAM_SILENT))
    assert STEADY.decide(THREE, tried, shown(Reason.UPSTREAM_SILENT), None) == GiveUp()


def test_where_all_are_left_alone_the_first_that_comes_back_is_waited_for_within_reason() -> None:
    def aside(time_left: float | None, waited: float, **seconds: float) -> Decision:
        return STEADY.step_aside(TWO, Tried(), time_left, waited, left_alone(**seconds))

    assert aside(None, 0.0, a=30, b=4) == RetryAfter(4)
    assert aside(None, 0.0, a=30, b=5.5) == GiveUp()
    assert aside(None, 2.0, a=4, b=4) == GiveUp()
    assert aside(3.0, 0.0, a=4, b=4) == GiveUp()
    assert aside(4.5, 0.0, a=4, b=4) == RetryAfter(4)
