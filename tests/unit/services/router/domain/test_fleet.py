"""How deployments stand: who is left alone, why, and for how long."""

from __future__ import annotations

from services.router.domain.breaker import BreakerPolicy
from services.router.domain.fleet import UNHINDERED, Fleet, Standing

POLICY = BreakerPolicy()
NOW = 1000.0


def fail(standing: Standing, times: int = 5, now: float = NOW) -> None:
    for _ in range(times):
        standing.fail(UNHINDERED, now, POLICY, "UPSTREAM_FAILED")


def test_whoever_has_done_nothing_wrong_is_asked() -> None:
    standing = Fleet().standing("a/m")
    assert standing.closed_to(NOW) is None
    assert standing.enter(NOW) is UNHINDERED


def test_the_first_call_after_a_hold_is_no_probe() -> None:
    standing = Standing()
    standing.fail(UNHINDERED, NOW, POLICY, "UPSTREAM_RATE_LIMITED", 2.0)
    assert standing.enter(NOW + 1) is None
    assert standing.enter(NOW + 2) is UNHINDERED


def test_whoever_failed_too_often_is_left_alone_and_says_why_and_for_how_long() -> None:
    standing = Fleet().standing("a/m")
    fail(standing)
    shut = standing.closed_to(NOW + 18)
    assert shut is not None
    assert shut.wait == 12
    assert shut.reason == ("is left alone for 12s: 5 of its last 5 calls failed, the last with UPSTREAM_FAILED")
    assert standing.enter(NOW + 18) is None


def test_whoever_is_being_tried_again_says_that() -> None:
    standing = Fleet().standing("a/m")
    fail(standing)
    assert standing.enter(NOW + 30) is not None
    shut = standing.closed_to(NOW + 31)
    assert shut is not None
    assert shut.reason.startswith("is being tried again: 5 of")


def test_other_deployments_of_the_provider_are_asked_all_the_same() -> None:
    fleet = Fleet()
    fail(fleet.standing("a/m"))
    assert fleet.standing("a/n").closed_to(NOW) is None


def test_a_credential_that_is_refused_leaves_all_deployments_of_its_provider_alone() -> None:
    fleet = Fleet()
    assert fleet.standing("a/m").refuse(UNHINDERED, NOW, POLICY, "UPSTREAM_CREDENTIALS")
    for name in ("a/m", "a/n"):
        shut = fleet.standing(name).closed_to(NOW)
        assert shut is not None
        assert "credential was refused" in shut.reason
    assert fleet.standing("b/m").closed_to(NOW) is None


def test_a_call_that_goes_well_shows_that_the_credential_is_taken_again() -> None:
    fleet = Fleet()
    fleet.standing("a/m").refuse(UNHINDERED, NOW, POLICY, "UPSTREAM_CREDENTIALS")
    passed = fleet.standing("a/n").enter(NOW + 30)
    assert passed is not None
    assert fleet.standing("a/m").enter(NOW + 30) is None
    assert fleet.standing("a/n").succeed(passed, NOW + 31, POLICY)
    assert fleet.standing("a/m").enter(NOW + 31) is UNHINDERED


def test_a_failure_says_nothing_about_the_credential() -> None:
    fleet = Fleet()
    fleet.standing("a/m").refuse(UNHINDERED, NOW, POLICY, "UPSTREAM_CREDENTIALS")
    standing = fleet.standing("a/m")
    passed = standing.enter(NOW + 30)
    assert passed is not None
    standing.fail(passed, NOW + 31, POLICY, "UPSTREAM_FAILED")
    assert standing.enter(NOW + 31) is not None


def test_both_places_of_a_probe_that_told_nothing_are_free_again() -> None:
    standing = Fleet().standing("a/m")
    fail(standing)
    standing.refuse(UNHINDERED, NOW, POLICY, "UPSTREAM_CREDENTIALS")
    passed = standing.enter(NOW + 30)
    assert passed is not None
    assert standing.enter(NOW + 30) is None
    standing.give_back(passed)
    assert standing.enter(NOW + 30) is not None


# -- how many are remembered -------------------------------------------------------------------------------------------


def test_the_least_recently_used_are_forgotten() -> None:
    fleet = Fleet(most=2)
    first = fleet.standing("a/1")
    fleet.standing("a/2")
    assert fleet.standing("a/1") is first
    fleet.standing("a/3")
    assert fleet.standing("a/1") is first
    assert [name for name, _ in fleet.breakers()] == ["a/3", "a/1", "a"]


def test_whoever_has_calls_under_way_is_not_forgotten() -> None:
    fleet = Fleet(most=1)
    busy = fleet.standing("a/1")
    busy.in_flight = 1
    fleet.standing("a/2")
    assert fleet.standing("a/1") is busy


def test_whoever_is_left_alone_is_forgotten_last() -> None:
    fleet = Fleet(most=2)
    shut = fleet.standing("a/1")
    fail(shut)
    fleet.standing("a/2")
    fleet.standing("a/3")
    assert fleet.standing("a/1") is shut


def test_without_a_credential_only_the_deployment_that_wants_one_is_left_alone() -> None:
    fleet = Fleet()
    assert fleet.standing("a/m").refuse(UNHINDERED, NOW, POLICY, "UPSTREAM_CREDENTIALS", has_credential=False)
    shut = fleet.standing("a/m").closed_to(NOW)
    assert shut is not None
    assert "wants a credential" in shut.reason
    assert fleet.standing("a/other").closed_to(NOW) is None
