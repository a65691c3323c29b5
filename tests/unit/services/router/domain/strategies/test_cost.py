from __future__ import annotations

from services.router.domain.strategies import cost
from tests.unit.services.router.domain.questions import around, busy, deployments, pool, providers
from tests.unit.services.router.domain.strategies.test_latency import measured
from tests.unit.services.router.twins import chat
from tollway.ledger.v1.ledger_pb2 import Price


def price(input: float, output: float) -> Price:
    """In dollars for each million tokens."""
    return Price(input_nanos_per_1m=round(input * 1e9), output_nanos_per_1m=round(output * 1e9))


def test_the_cheapest_is_first_and_one_without_a_price_last() -> None:
    prices = {"a": price(3, 9), "c": price(1, 3)}
    assert providers(cost.order(pool(*deployments("a", "b", "c")), around(prices=prices))) == ["c", "a", "b"]


def test_what_is_cheapest_depends_on_how_much_is_said_and_asked_for() -> None:
    prices = {"reads": price(1, 60), "writes": price(5, 5)}
    two = pool(*deployments("reads", "writes"))
    assert providers(cost.order(two, around(prices=prices)))[0] == "writes"
    assert providers(cost.order(two, around(prices=prices, asked=chat(words="x" * 80_000))))[0] == "reads"
    short = chat()
    short.sampling.max_tokens = 1
    assert providers(cost.order(two, around(prices={"reads": price(1, 5), "writes": price(5, 1)}, asked=short)))


def test_whoever_is_expected_to_take_longer_than_the_bound_comes_last_the_fastest_first() -> None:
    members = pool(*deployments("a", "b", "c", "d"), latency_bound=2.0)
    prices = {name: price(number, number) for number, name in enumerate("abcd", 1)}
    fleet = measured(a=9.0, b=4.0, c=1.0)
    assert providers(cost.order(members, around(fleet, prices=prices))) == ["c", "d", "b", "a"]


def test_without_a_bound_time_does_not_matter() -> None:
    prices = {"a": price(1, 1), "b": price(2, 2)}
    assert providers(cost.order(pool(*deployments("b", "a")), around(measured(a=60.0), prices=prices))) == ["a", "b"]


def test_the_best_is_thought_of_one_that_was_not_measured() -> None:
    members = pool(*deployments("a", "b"), latency_bound=2.0)
    prices = {"a": price(1, 1), "b": price(2, 2)}
    assert providers(cost.order(members, around(measured(b=0.1), prices=prices))) == ["a", "b"]


def test_among_equals_the_one_with_the_least_to_do_is_first() -> None:
    fleet = measured()
    busy(fleet, a=2, b=1)
    prices = {"a": price(1, 1), "b": price(1, 1)}
    assert providers(cost.order(pool(*deployments("a", "b")), around(fleet, prices=prices))) == ["b", "a"]


def test_the_reason_names_price_and_time() -> None:
    members = pool(*deployments("a", "b"), latency_bound=2.0)
    now = around(measured(a=4.0), prices={"a": price(1, 1)})
    assert [cost.why(candidate, members, now) for candidate in members.candidates] == [
        "about $0.000515, about 4 s, beyond the bound",
        "no price is known, not measured yet",
    ]
