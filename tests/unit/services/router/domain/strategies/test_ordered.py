from __future__ import annotations

from services.router.domain.strategies import ordered
from tests.unit.services.router.domain.questions import around, deployments, pool, providers


def test_it_is_the_order_of_the_configuration() -> None:
    assert providers(ordered.order(pool(*deployments("c", "a", "b")), around())) == ["c", "a", "b"]
