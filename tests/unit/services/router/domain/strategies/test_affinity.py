from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from services.router.domain.fleet import Fleet
from services.router.domain.strategies import affinity
from tests.unit.services.router.domain.questions import around, busy, deployments, pool, providers
from tests.unit.services.router.twins import chat
from tollway.chat.v1.chat_pb2 import ContentPart, Message, Role

FIVE = pool(*deployments("a", "b", "c", "d", "e"))


def first(question: str, members: object = FIVE, fleet: Fleet | None = None) -> str:
    assert isinstance(members, type(FIVE))
    return providers(affinity.order(members, around(fleet, asked=chat(words=question))))[0]


def test_a_conversation_stays_where_it_began() -> None:
    question = chat(words="Tell me about rivers.")
    began = affinity.order(FIVE, around(asked=question))[0]
    for turn in range(5):
        for role in (Role.ROLE_ASSISTANT, Role.ROLE_USER):
            question.messages.append(Message(role=role, content=[ContentPart(text=f"turn {turn}")]))
        assert affinity.order(FIVE, around(asked=question, seed=turn))[0] is began


def test_conversations_are_spread() -> None:
    counts = Counter(first(f"question {number}") for number in range(1000))
    assert min(counts.values()) > 140


def test_when_a_deployment_leaves_few_conversations_move() -> None:
    four = pool(*deployments("a", "b", "c", "d"))
    questions = [f"question {number}" for number in range(1000)]
    moved = [question for question in questions if first(question) != first(question, four)]
    assert all(first(question) == "e" for question in moved)
    assert len(moved) <= 1000 / 5 * 1.25


@given(st.dictionaries(st.sampled_from("abcde"), st.integers(0, 50)), st.text(max_size=8),
       st.lists(st.integers(1, 5), min_size=5, max_size=5))  # fmt: skip
def test_nobody_is_given_more_than_the_bound_allows(loads: dict[str, int], question: str, weights: list[int]) -> None:
    members, fleet = pool(*deployments(*"abcde", weights=weights)), Fleet()
    busy(fleet, **loads)
    now = around(fleet, asked=chat(words=question))
    chosen = affinity.order(members, now)[0]
    total = sum(loads.values()) + 1
    fair = total * chosen.deployment.weight / sum(weights)
    assert now.in_flight(chosen) + 1 < affinity.BOUND * fair + 1


def test_a_deployment_with_too_much_to_do_passes_on_to_the_next_and_comes_after_those_with_room() -> None:
    question = "Tell me about rivers."
    usual = providers(affinity.order(FIVE, around(asked=chat(words=question))))
    fleet = Fleet()
    busy(fleet, **{usual[0]: 5})
    assert providers(affinity.order(FIVE, around(fleet, asked=chat(words=question)))) == [*usual[1:], usual[0]]


def test_many_at_once_with_the_same_beginning_are_shared_out() -> None:
    fleet = Fleet()
    for _ in range(100):
        fleet.standing(affinity.order(FIVE, around(fleet))[0].name).in_flight += 1
    assert max(fleet.standing(each.name).in_flight for each in FIVE.candidates) <= 26
