from __future__ import annotations

import asyncio
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.clock import VirtualClock
from mesh.errors import Reason, TollwayError
from mesh.mediator import Mediator, when
from services.router.domain.breaker import BreakerPolicy
from services.router.domain.fleet import UNHINDERED, Fleet
from services.router.domain.routes import Deployment, Route, Routes
from services.router.domain.rules import Action, Condition, Rule
from services.router.handlers.behaviors import Validation, has_question, is_question
from services.router.handlers.explain_route import ExplainRoute, explain_route
from tests.unit.services.router.bench import PARENT, Bench
from tests.unit.services.router.domain.questions import (
    QUESTIONS,
    configurations,
    deployments,
    offline,
    selection,
    with_picture,
)  # fmt: skip
from tests.unit.services.router.twins import chat, error
from tollway.chat.v1.chat_pb2 import ChatRequest
from tollway.router.v1.router_pb2 import (
    ExplainRouteResponse,
    PlannedCandidate,
    Preferences,
    RuleReport,
    SkippedCandidate,
)

explained = partial(explain_route, longest_wait=5.0)


def question(asked: ChatRequest | None = None, models: tuple[str, ...] = (), session: str = "") -> ExplainRoute:
    preferences = Preferences(models=models, session=session)
    return ExplainRoute(asked or chat(), "", ["ci"], PARENT, None, preferences, streamed=True)


async def test_it_tells_who_would_be_asked_in_which_order_and_why_nobody_else() -> None:
    fleet = Fleet()
    offline(fleet, "b")
    route = Route("gpt", (*deployments("a", "b"), Deployment("c", "m", can=frozenset()), Deployment("d", "m")))
    rules = [
        Rule("calm", Condition(), Action(exclude=("d",), parameters={"temperature": 0.0})),
        Rule("other", Condition(key=("ci",)), Action(deny="no")),
    ]
    told = await explained(
        question(with_picture()),
        selection=selection(route, rules=rules, fleet=fleet),
        clock=VirtualClock(),
    )
    assert told == ExplainRouteResponse(
        route="gpt",
        strategy="ordered",
        candidates=[PlannedCandidate(deployment="a/m", stands_for="gpt", reason="the only one")],
        skipped=[
            SkippedCandidate(deployment="d/m", stands_for="gpt", reason="the rule 'calm' excludes d"),
            SkippedCandidate(deployment="b/m", stands_for="gpt", reason="its provider is offline"),
            SkippedCandidate(deployment="c/m", stands_for="gpt", reason="cannot do vision"),
        ],
        rules=[
            RuleReport(name="calm", matched=True, effect="excludes d; sets temperature to 0"),
            RuleReport(name="other", matched=False),
        ],
        needs=["vision"],
        input_tokens=3,
    )


@pytest.mark.parametrize(
    ("rule", "refusal", "reported"),
    [
        (Action(deny="Not now."), "Not now.", RuleReport(name="r", matched=True, effect="denies: Not now.")),
        (Action(choose=("z",)), "The rule 'r' chooses z, and nobody who could answer is left.",
         RuleReport(name="r", matched=True, effect="chooses z",
                    error="chooses z, and nobody who could answer is left")),
    ],
)  # fmt: skip
async def test_what_is_refused_is_told_in_the_answer(rule: Action, refusal: str, reported: RuleReport) -> None:
    asking = selection(Route("gpt", deployments("a")), rules=[Rule("r", Condition(), rule)])
    told = await explained(question(), selection=asking, clock=VirtualClock())
    assert (told.refusal, list(told.candidates), list(told.rules)) == (refusal, [], [reported])


async def test_a_name_that_nobody_stands_for_is_an_error() -> None:
    with pytest.raises(TollwayError) as unknown:
        await explained(question(models=("nope",)), selection=selection(Route("gpt", deployments("a"))),
                            clock=VirtualClock())  # fmt: skip
    assert (unknown.value.reason, unknown.value.metadata["trace_id"]) == (Reason.MODEL_NOT_FOUND, PARENT.trace_id)


async def test_it_is_checked_like_a_question_and_counts_for_none() -> None:
    assert has_question(question())
    assert not is_question(question())

    async def handler(query: ExplainRoute) -> ExplainRouteResponse:
        raise AssertionError

    mediator = Mediator([(ExplainRoute, handler)], behaviors=[when(has_question, Validation(max_messages=2048))])
    with pytest.raises(TollwayError) as refused:
        await mediator.send(question(ChatRequest()))
    assert refused.value.reason is Reason.INVALID_REQUEST


@given(configurations(), QUESTIONS, st.sampled_from(["", "s"]), st.sampled_from([(), ("two",)]), st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_when_all_fail_they_were_tried_in_the_order_that_was_explained(
    configuration: tuple[list[Route], Fleet, list[Rule]],
    asked: ChatRequest,
    session: str,
    models: tuple[str, ...],
    seed: int,
) -> None:
    routes, fleet, rules = configuration

    async def explained_and_tried() -> None:
        bench = Bench()
        bench.routes, bench.rules, bench.fleet = Routes(routes), rules, fleet
        names = {f"{provider}/{model}" for provider in "abcd" for model in "mn"}
        bench.providers.scripts = {name: [error(Reason.UPSTREAM_SILENT)] for name in names}
        bench.chance.seed(seed)
        told = await explained(question(asked, models, session), selection=bench.selection, clock=bench.clock)
        assert bench.providers.calls == []
        bench.chance.seed(seed)
        reader = bench.stream(request=asked, preferences=Preferences(models=models, session=session))
        failure = await bench.failure(reader.task)
        tried = list(dict.fromkeys(bench.providers.asked()))
        assert tried == [candidate.deployment for candidate in told.candidates]
        assert (failure.message == told.refusal) is bool(told.refusal)

    asyncio.run(explained_and_tried())


async def test_one_whose_breaker_is_open_would_not_be_asked() -> None:
    fleet, clock = Fleet(), VirtualClock()
    fleet.standing("a/m").fail(UNHINDERED, clock.monotonic(), BreakerPolicy(failures=1), "UPSTREAM_FAILED")
    route = Route("gpt", deployments("a", "b"))
    told = await explained(question(), selection=selection(route, fleet=fleet), clock=clock)
    assert [candidate.deployment for candidate in told.candidates] == ["b/m"]
    assert [skip.deployment for skip in told.skipped] == ["a/m"]
    assert "left alone" in told.skipped[0].reason


async def test_where_all_are_left_alone_for_a_moment_the_first_that_comes_back_would_be_waited_for() -> None:
    fleet, clock = Fleet(), VirtualClock()
    for name, retry_after in (("a/m", 20.0), ("b/m", 3.0), ("c/m", 4.0)):
        fleet.standing(name).fail(UNHINDERED, clock.monotonic(), BreakerPolicy(), "UPSTREAM_RATE_LIMITED", retry_after)
    asking = selection(Route("gpt", deployments("a", "b", "c")), fleet=fleet)
    told = await explain_route(question(), selection=asking, clock=clock, longest_wait=5.0)
    assert [candidate.deployment for candidate in told.candidates] == ["b/m"]
    assert "it would be waited for: it is left alone for 3s" in told.candidates[0].reason
    assert [skip.deployment for skip in told.skipped] == ["a/m", "c/m"]
    assert told.refusal == ""
    told = await explain_route(question(), selection=asking, clock=clock, longest_wait=2.0)
    assert (list(told.candidates), told.refusal) == ([], "No deployment can be asked now.")


async def test_where_every_breaker_is_open_it_says_that_nobody_would_be_asked() -> None:
    fleet, clock = Fleet(), VirtualClock()
    fleet.standing("a/m").fail(UNHINDERED, clock.monotonic(), BreakerPolicy(failures=1), "UPSTREAM_FAILED")
    told = await explained(question(), selection=selection(Route("gpt", deployments("a")), fleet=fleet), clock=clock)
    assert told.refusal == "No deployment can be asked now."
