from __future__ import annotations

from collections import Counter

import pytest

from services.router.domain.strategies import weighted
from tests.unit.services.router.domain.questions import around, deployments, pool, providers


@pytest.mark.parametrize("weights", [(1, 1), (1, 3), (5, 3, 2), (1, 100)])
def test_each_is_first_as_often_as_its_weight_says(weights: tuple[int, ...]) -> None:
    members, now, turns = pool(*deployments(*"abc"[: len(weights)], weights=weights)), around(seed=7), 6000
    first = Counter(providers(weighted.order(members, now))[0] for _ in range(turns))
    for name, weight in zip("abc", weights, strict=False):
        assert first[name] / turns == pytest.approx(weight / sum(weights), abs=0.02)


def test_when_the_first_fails_the_others_are_next_by_their_weights() -> None:
    members, now = pool(*deployments("a", "b", "c", weights=(6, 3, 1))), around(seed=7)
    second = Counter(order[1] for _ in range(6000) if (order := providers(weighted.order(members, now)))[0] == "a")
    assert second["b"] / second.total() == pytest.approx(0.75, abs=0.03)
