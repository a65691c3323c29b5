"""What holds for every strategy, whatever stands behind a name and however that stands."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.router.domain.circumstances import Circumstances
from services.router.domain.fleet import Fleet
from services.router.domain.routes import Deployment, Pool
from services.router.domain.strategies import STRATEGIES
from tests.unit.services.router.domain.questions import NOW, around, pool
from tests.unit.services.router.twins import chat
from tollway.ledger.v1.ledger_pb2 import Price

NAMES = "abcdef"


@st.composite
def situations(draw: st.DrawFn) -> tuple[Pool, Fleet, dict[str, Price], int]:
    """A pool, how its deployments stand, some prices, and a seed."""
    names = draw(st.lists(st.sampled_from(NAMES), min_size=1, unique=True))
    fleet = Fleet()
    for name in draw(st.sets(st.sampled_from(names))):
        standing = fleet.standing(f"{name}/m")
        for call in range(draw(st.integers(0, 5))):
            standing.pace.began(call, NOW - draw(st.floats(0, 60)), streamed=True)
            if draw(st.booleans()):
                standing.pace.answered(call, NOW, streamed=True)
            elif draw(st.booleans()):
                standing.pace.failed(call, NOW, streamed=True)
            else:
                standing.in_flight += 1
    members = [Deployment(name, "m", weight=draw(st.integers(1, 9))) for name in names]
    priced = draw(st.sets(st.sampled_from(names)))
    prices = {name: Price(input_nanos_per_1m=draw(st.integers(0, 10**10))) for name in priced}
    bound = draw(st.none() | st.floats(0.01, 10))
    return pool(*members, latency_bound=bound), fleet, prices, draw(st.integers(0, 2**32))


def circumstances(fleet: Fleet, prices: dict[str, Price], seed: int) -> Circumstances:
    return around(fleet, seed=seed, prices=prices, asked=chat(words=f"question {seed % 7}"))


@pytest.mark.parametrize("name", STRATEGIES)
@given(situation=situations())
def test_everybody_who_can_answer_has_a_place_and_nobody_else(
    name: str, situation: tuple[Pool, Fleet, dict[str, Price], int]
) -> None:
    members, fleet, prices, seed = situation
    ordered = STRATEGIES[name].order(members, circumstances(fleet, prices, seed))
    assert sorted(each.name for each in ordered) == sorted(each.name for each in members.candidates)


@pytest.mark.parametrize("name", STRATEGIES)
@given(situation=situations())
def test_the_same_chance_at_the_same_time_gives_the_same_order(
    name: str, situation: tuple[Pool, Fleet, dict[str, Price], int]
) -> None:
    members, fleet, prices, seed = situation
    once, twice = (STRATEGIES[name].order(members, circumstances(fleet, prices, seed)) for _ in range(2))
    assert once == twice


@pytest.mark.parametrize("name", STRATEGIES)
@given(situation=situations())
def test_every_place_has_a_reason(name: str, situation: tuple[Pool, Fleet, dict[str, Price], int]) -> None:
    members, fleet, prices, seed = situation
    strategy, now = STRATEGIES[name], circumstances(fleet, prices, seed)
    assert all(strategy.why(candidate, members, now) for candidate in members.candidates)


@pytest.mark.parametrize("name", STRATEGIES)
@given(situation=situations())
def test_asking_for_an_order_changes_nothing(name: str, situation: tuple[Pool, Fleet, dict[str, Price], int]) -> None:
    members, fleet, prices, seed = situation
    before = list(fleet)
    STRATEGIES[name].order(members, circumstances(fleet, prices, seed))
    assert list(fleet) == before
