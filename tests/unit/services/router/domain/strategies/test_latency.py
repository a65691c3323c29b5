from __future__ import annotations

from collections import Counter
from random import Random

from services.router.domain.fleet import Fleet
from services.router.domain.strategies import latency
from tests.unit.services.router.domain.questions import NOW, around, busy, deployments, pool, providers

THREE = pool(*deployments("a", "b", "c"))


def measured(streamed: bool = True, **seconds: float) -> Fleet:
    """A fleet that answered so fast just now."""
    fleet = Fleet()
    for provider, took in seconds.items():
        pace = fleet.standing(f"{provider}/m").pace
        pace.began(0, NOW - took, streamed=streamed)
        pace.answered(0, NOW, streamed=streamed)
    return fleet


def test_of_two_the_faster_is_first() -> None:
    two = pool(*deployments("a", "b"))
    assert all(
        providers(latency.order(two, around(measured(a=0.9, b=0.3), seed=seed))) == ["b", "a"] for seed in range(20)
    )


def test_the_slowest_of_three_is_never_first_and_no_herd_runs_to_the_fastest() -> None:
    now = around(measured(a=0.3, b=0.5, c=6.0), seed=5)
    first = Counter(providers(latency.order(THREE, now))[0] for _ in range(600))
    assert first["c"] == 0
    assert first["a"] > first["b"] > 100


def test_those_who_were_not_drawn_follow_from_the_fastest_on() -> None:
    now = around(measured(a=3.0, b=1.0, c=2.0), seed=5)
    for _ in range(20):
        order = providers(latency.order(THREE, now))
        assert order[1:] == sorted(order[1:], key="bca".index)


def test_a_fast_one_that_has_much_to_do_is_slow() -> None:
    fleet = measured(a=0.3, b=0.5)
    busy(fleet, a=3)
    assert providers(latency.order(pool(*deployments("a", "b")), around(fleet))) == ["b", "a"]


def test_whole_answers_are_compared_with_whole_answers() -> None:
    fleet = measured(a=0.1, b=0.9)
    for provider, took in (("a", 9.0), ("b", 1.0)):
        pace = fleet.standing(f"{provider}/m").pace
        pace.began(1, NOW - took, streamed=False)
        pace.answered(1, NOW, streamed=False)
    two = pool(*deployments("a", "b"))
    assert providers(latency.order(two, around(fleet))) == ["a", "b"]
    assert providers(latency.order(two, around(fleet, streamed=False))) == ["b", "a"]


def test_a_new_deployment_is_tried_soon_but_not_by_everybody_at_once() -> None:
    fleet, chance, asked = measured(a=0.5, b=0.5), Random(11), []
    for _ in range(60):  # all at the same moment, and nobody has been answered yet
        now = around(fleet)
        now.chance = chance
        first = latency.order(THREE, now)[0]
        standing = fleet.standing(first.name)
        standing.in_flight += 1
        standing.begun += 1
        standing.pace.began(standing.begun, NOW, streamed=True)
        asked.append(first.deployment.provider)
    assert "c" in asked[:5]
    assert asked.count("c") < 15


def test_a_slow_deployment_gets_another_chance_after_a_while() -> None:
    fleet = measured(c=6.0)
    later = NOW + 45
    for provider in "ab":
        pace = fleet.standing(f"{provider}/m").pace
        pace.began(1, later - 0.5, streamed=True)
        pace.answered(1, later, streamed=True)
    now = around(fleet, seed=2, now=later)
    assert "c" in {providers(latency.order(THREE, now))[0] for _ in range(20)}


def test_one_that_fails_fast_is_not_taken_for_a_fast_one() -> None:
    fleet = measured(a=0.5, b=0.5)
    pace = fleet.standing("b/m").pace
    for call in range(3):
        pace.began(call, NOW, streamed=True)
        pace.failed(call, NOW, streamed=True)
    assert providers(latency.order(pool(*deployments("a", "b")), around(fleet)))[0] == "a"
