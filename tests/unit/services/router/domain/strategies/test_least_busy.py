from __future__ import annotations

from collections import Counter

from services.router.domain.fleet import Fleet
from services.router.domain.strategies import least_busy
from tests.unit.services.router.domain.questions import around, busy, deployments, pool, providers


def test_the_one_with_the_fewest_calls_under_way_is_first() -> None:
    fleet = Fleet()
    busy(fleet, a=3, b=1, c=2)
    assert providers(least_busy.order(pool(*deployments("a", "b", "c")), around(fleet))) == ["b", "c", "a"]


def test_a_weight_of_two_may_have_twice_as_many() -> None:
    fleet = Fleet()
    busy(fleet, a=2, b=4)
    assert providers(least_busy.order(pool(*deployments("a", "b", weights=(1, 2))), around(fleet))) == ["b", "a"]


def test_among_equals_it_is_chance() -> None:
    members, now = pool(*deployments("a", "b", "c")), around(seed=3)
    first = Counter(providers(least_busy.order(members, now))[0] for _ in range(300))
    assert min(first.values()) > 60
