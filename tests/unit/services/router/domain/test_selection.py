from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.errors import Reason, TollwayError
from services.router.domain.fleet import Fleet
from services.router.domain.needs import Needs
from services.router.domain.principal import LOCAL
from services.router.domain.routes import Deployment, Route
from services.router.domain.rules import Action, Condition, Rule
from services.router.domain.selection import Selected, Selection
from tests.unit.services.router.domain.questions import (
    NOW,
    QUESTIONS,
    configurations,
    deployments,
    inquiry,
    offline,
    providers,
    selection,
    used_up,
    with_picture,
    with_tools,
)
from tests.unit.services.router.twins import chat
from tollway.chat.v1.chat_pb2 import ChatRequest


def order(selected: Selected) -> list[str]:
    return providers(selected.plan.candidates)


def reasons(selected: Selected) -> dict[str, str]:
    return {skip.candidate.deployment.provider: skip.why for skip in selected.skipped}


def refused(selected: Selected) -> TollwayError:
    assert selected.refusal is not None
    assert selected.plan.candidates == ()
    return selected.refusal


# -- names -------------------------------------------------------------------------------------------------------------


def routed() -> Selection:
    return selection(
        Route("gpt", deployments("a"), ("last",)),
        Route("claude", deployments("b"), ("never",)),
        Route("last", deployments("c", "b")),
        Route("never", deployments("d")),
        Route("x/*", (Deployment("x"),)),
    )


def test_the_requests_own_names_come_after_the_model_and_before_its_fallbacks_without_repeats() -> None:
    selected = routed().select(inquiry(chat("gpt"), models=["claude", "gpt", "x/y"]))
    assert [candidate.name for candidate in selected.plan.candidates] == ["a/m", "b/m", "x/y", "c/m"]
    assert [candidate.stands_for for candidate in selected.plan.candidates] == ["gpt", "claude", "x/y", "last"]
    assert {candidate.columns.model_requested for candidate in selected.plan.candidates} == {"gpt"}


@pytest.mark.parametrize(("model", "models"), [("nope", []), ("nope", ["gpt"]), ("gpt", ["claude", "nope"])])
def test_a_name_that_nobody_stands_for_is_named(model: str, models: list[str]) -> None:
    with pytest.raises(TollwayError) as unknown:
        routed().select(inquiry(chat(model), models=models))
    assert unknown.value.reason is Reason.MODEL_NOT_FOUND
    assert "'nope'" in unknown.value.message


def test_each_name_is_ordered_by_its_own_strategy() -> None:
    many = selection(
        Route("gpt", deployments("a", "b"), ("last",)),
        Route("last", deployments("c", "d"), strategy="weighted"),
        seed=3,
    )
    orders = Counter(tuple(order(many.select(inquiry()))) for _ in range(100))
    assert set(orders) == {("a", "b", "c", "d"), ("a", "b", "d", "c")}


def test_where_nothing_excludes_anybody_the_plan_is_one_that_was_made_before() -> None:
    plain = selection(Route("gpt", deployments("a", "b")))
    assert plain.select(inquiry()).plan is plain.select(inquiry()).plan


# -- who can answer ----------------------------------------------------------------------------------------------------


def can(provider: str, *features: str, context: int | None = None) -> Deployment:
    return Deployment(provider, "m", can=frozenset(features), context=context)


def test_nobody_is_asked_for_what_it_cannot_do() -> None:
    route = Route("gpt", (can("a", "tools"), can("b", "vision"), Deployment("c", "m")))
    selected = selection(route).select(inquiry(with_picture()))
    assert order(selected) == ["b", "c"]
    assert reasons(selected) == {"a": "cannot do vision"}


def test_where_nobody_can_the_error_names_the_feature_and_who_lacks_it() -> None:
    route = Route("gpt", (can("a", "tools"), can("b")))
    refusal = refused(selection(route).select(inquiry(with_picture())))
    assert refusal.reason is Reason.UNSUPPORTED_FEATURE
    assert refusal.message == (
        "No deployment can do all that the question needs (vision). a/m: cannot do vision; b/m: cannot do vision"
    )
    assert refusal.metadata == {"candidate_1": "a/m: cannot do vision", "candidate_2": "b/m: cannot do vision"}


def test_nobody_is_asked_whose_window_is_certainly_too_small() -> None:
    route = Route("gpt", (replace(Deployment("a", "m"), context=100), Deployment("b", "m")))
    selected = selection(route).select(inquiry(chat(words="x" * 808)))
    assert (order(selected), reasons(selected)) == (["b"], {"a": "its window of 100 tokens is too small"})


def test_whoever_may_be_too_small_is_asked_last() -> None:
    route = Route("gpt", (replace(Deployment("a", "m"), context=100), Deployment("b", "m")), ("last",))
    selected = selection(route, Route("last", deployments("c"))).select(inquiry(chat(words="x" * 600)))
    assert order(selected) == ["b", "c", "a"]
    assert selected.why(selected.plan.candidates[-1]) == "last, because its window of 100 tokens may be too small"


def test_the_answer_needs_room_too() -> None:
    question = chat(words="x" * 40)
    question.sampling.max_tokens = 96
    route = Route("gpt", (replace(Deployment("a", "m"), context=100),))
    refusal = refused(selection(route).select(inquiry(question)))
    assert refusal.reason is Reason.CONTEXT_LENGTH_EXCEEDED
    assert "about 10 tokens, with 96 asked for as the answer, fit into no deployment's window" in refusal.message
    assert "a/m: its window of 100 tokens is too small" in refusal.message


# -- how they stand ----------------------------------------------------------------------------------------------------


def test_whoever_is_offline_is_left_out() -> None:
    fleet = Fleet()
    offline(fleet, "a")
    selected = selection(Route("gpt", deployments("a", "b")), fleet=fleet).select(inquiry())
    assert (order(selected), reasons(selected)) == (["b"], {"a": "its provider is offline"})


def test_when_all_are_offline_the_client_is_told_when_to_come_back_and_why_of_each() -> None:
    fleet = Fleet()
    offline(fleet, "a")
    offline(fleet, "b", wait=7.0)
    route = Route("gpt", (*deployments("a", "b"), can("c")))
    refusal = refused(selection(route, fleet=fleet).select(inquiry(with_tools())))
    assert (refusal.reason, refusal.row.http_status, refusal.retry_after) == (Reason.NO_DEPLOYMENT_READY, 503, 4.0)
    assert refusal.message == (
        "No deployment can be asked now. a/m: its provider is offline; "
        "b/m: its provider is offline; c/m: cannot do tools"
    )
    assert list(refusal.metadata) == ["candidate_1", "candidate_2", "candidate_3"]


def test_a_client_is_never_told_to_come_back_at_once() -> None:
    fleet = Fleet()
    offline(fleet, "a", wait=-1.0)
    assert refused(selection(Route("gpt", deployments("a")), fleet=fleet).select(inquiry())).retry_after == 1.0


def test_whoever_has_no_quota_left_is_asked_last_and_again_when_it_is_back() -> None:
    fleet = Fleet()
    used_up(fleet, "a")
    asking = selection(Route("gpt", deployments("a", "b"), ("last",)), Route("last", deployments("c")), fleet=fleet)
    selected = asking.select(inquiry())
    assert order(selected) == ["b", "c", "a"]
    assert selected.why(selected.plan.candidates[-1]) == "last, because its provider's limit on requests is used up"
    assert order(asking.select(inquiry(now=NOW + 11))) == ["a", "b", "c"]


def test_the_only_one_is_asked_whatever_its_quota() -> None:
    fleet = Fleet()
    used_up(fleet, "a")
    assert order(selection(Route("gpt", deployments("a")), fleet=fleet).select(inquiry())) == ["a"]


# -- sessions ----------------------------------------------------------------------------------------------------------


def sticky(by: str = "session", strategy: str = "weighted", *names: str) -> Selection:
    return selection(Route("gpt", deployments(*(names or "abcd")), strategy=strategy, sticky=by))


def test_a_session_stays_with_one_deployment_and_sessions_are_spread() -> None:
    asking = sticky()
    homes = {
        session: {order(asking.select(inquiry(session=session)))[0] for _ in range(10)}
        for session in (f"session {number}" for number in range(200))
    }
    assert all(len(home) == 1 for home in homes.values())
    assert min(Counter(home.pop() for home in homes.values()).values()) > 25


def test_another_replica_comes_to_the_same_deployment() -> None:
    assert (
        order(sticky().select(inquiry(session="s")))[0]
        == order(sticky("session", "latency").select(inquiry(session="s")))[0]
    )


def test_when_a_deployment_leaves_only_its_own_sessions_move() -> None:
    for session in (f"session {number}" for number in range(50)):
        before = order(sticky().select(inquiry(session=session)))[0]
        after = order(sticky("session", "weighted", "a", "b", "c").select(inquiry(session=session)))[0]
        assert after == before or before == "d"


def test_a_session_whose_deployment_cannot_answer_goes_to_another_and_comes_back() -> None:
    fleet = Fleet()
    asking = selection(Route("gpt", deployments("a", "b", "c"), strategy="weighted", sticky="session"), fleet=fleet)
    home = order(asking.select(inquiry(session="s")))[0]
    offline(fleet, home)
    away = {order(asking.select(inquiry(session="s")))[0] for _ in range(10)}
    assert len(away) == 1
    assert home not in away
    fleet.outages.reached(home)
    assert order(asking.select(inquiry(session="s")))[0] == home


def test_a_key_can_be_what_is_kept_to_a_deployment() -> None:
    asking = sticky("key")
    keys = [replace(LOCAL, key=f"key {number}") for number in range(50)]
    homes = [{order(asking.select(inquiry(principal=key, session=str(turn))))[0] for turn in range(5)} for key in keys]
    assert all(len(home) == 1 for home in homes)
    assert set.union(*homes) == set("abcd")


def test_without_a_session_or_where_none_is_wanted_the_strategy_decides() -> None:
    plain, unwanted = sticky(), sticky("none")
    assert len({order(plain.select(inquiry()))[0] for _ in range(50)}) > 1
    assert len({order(unwanted.select(inquiry(session="s")))[0] for _ in range(50)}) > 1


# -- rules -------------------------------------------------------------------------------------------------------------


def test_a_rule_says_who_may_be_asked_fallbacks_included() -> None:
    rules = [Rule("eu", Condition(), Action(choose=("b", "c")))]
    asking = selection(
        Route("gpt", deployments("a", "b"), ("last",)), Route("last", deployments("c", "d")), rules=rules
    )
    selected = asking.select(inquiry())
    assert order(selected) == ["b", "c"]
    assert reasons(selected) == {"a": "the rule 'eu' chooses b, c", "d": "the rule 'eu' chooses b, c"}


@pytest.mark.parametrize(
    "then", [Action(choose=("z",)), Action(exclude=("*",)), Action(choose=("a",), exclude=("a/m",))]
)
def test_a_rule_that_leaves_nobody_has_matched_and_failed_and_the_question_goes_nowhere(then: Action) -> None:
    rules = [Rule("eu", Condition(), then), Rule("next", Condition(), Action(exclude=("q",)))]
    selected = selection(Route("gpt", deployments("a", "b")), rules=rules).select(inquiry())
    refusal = refused(selected)
    assert (refusal.reason, refusal.row.http_status) == (Reason.DENIED_BY_RULE, 403)
    assert refusal.message.startswith("The rule 'eu' ")
    assert refusal.message.endswith(", and nobody who could answer is left.")
    assert refusal.metadata == {"rule": "eu"}
    eu, following = selected.outcomes
    assert (eu.matched, bool(eu.error), following.matched, following.error) == (True, True, True, "")


def test_of_two_rules_that_leave_nobody_together_the_second_is_to_blame() -> None:
    rules = [Rule("one", Condition(), Action(choose=("a",))), Rule("two", Condition(), Action(exclude=("a",)))]
    selected = selection(Route("gpt", deployments("a", "b")), rules=rules).select(inquiry())
    assert refused(selected).metadata == {"rule": "two"}


def test_whoever_a_rule_chooses_and_cannot_answer_is_not_replaced_by_anybody_else() -> None:
    fleet = Fleet()
    offline(fleet, "b")
    rules = [Rule("eu", Condition(), Action(choose=("b",)))]
    refusal = refused(selection(Route("gpt", deployments("a", "b")), rules=rules, fleet=fleet).select(inquiry()))
    assert refusal.reason is Reason.NO_DEPLOYMENT_READY


def test_a_denial_is_told_in_the_rules_own_words() -> None:
    rules = [Rule("night", Condition(), Action(deny="Come back at night."))]
    refusal = refused(selection(Route("gpt", deployments("a")), rules=rules).select(inquiry()))
    assert (refusal.reason, refusal.message) == (Reason.DENIED_BY_RULE, "Come back at night.")


def test_a_rewritten_question_is_booked_under_the_name_that_was_asked_for() -> None:
    rules = [Rule("cheap", Condition(model=("gpt",)), Action(rewrite="small"))]
    asking = selection(
        Route("gpt", deployments("a"), ("last",)), Route("small", deployments("b")), Route("last", deployments("c")),
        rules=rules,
    )  # fmt: skip
    selected = asking.select(inquiry())
    (candidate,) = selected.plan.candidates
    assert (candidate.name, candidate.stands_for, candidate.columns.model_requested) == ("b/m", "small", "gpt")
    assert (selected.plan.route.name, selected.chat.model) == ("small", "small")


def test_a_name_that_only_a_rule_knows_is_found() -> None:
    rules = [Rule("old names", Condition(), Action(rewrite="gpt"))]
    assert order(selection(Route("gpt", deployments("a")), rules=rules).select(inquiry(chat("gone")))) == ["a"]


def test_what_a_rule_sets_can_be_more_than_a_deployment_can() -> None:
    rules = [Rule("think", Condition(), Action(parameters={"reasoning_effort": "high"}))]
    asking = selection(Route("gpt", (can("a", "tools"), Deployment("b", "m"))), rules=rules)
    assert order(asking.select(inquiry())) == ["b"]


# -- laws --------------------------------------------------------------------------------------------------------------


@given(configurations(), QUESTIONS, st.sampled_from(["", "s", "t"]), st.sampled_from([(), ("two",)]))
def test_everybody_is_asked_who_can_answer_and_nobody_else_whatever_the_strategy(
    configuration: tuple[list[Route], Fleet, list[Rule]], question: ChatRequest, session: str, models: tuple[str, ...]
) -> None:
    routes, fleet, rules = configuration
    asking = selection(*routes, rules=rules, fleet=fleet)
    selected = asking.select(inquiry(question, session=session, models=models))
    asked = [candidate.name for candidate in selected.plan.candidates]
    skipped = [skip.candidate.name for skip in selected.skipped]
    assert len(set(asked)) == len(asked)
    assert not set(asked) & set(skipped)
    assert bool(asked) is (selected.refusal is None)
    assert all(fleet.outages.of(candidate.deployment.provider) is None for candidate in selected.plan.candidates)
    needs = set(Needs(selected.chat).features)
    abilities = [candidate.deployment.can for candidate in selected.plan.candidates]
    assert all(can is None or needs <= can for can in abilities)
    assert all(selected.why(candidate) for candidate in selected.plan.candidates)
    if not any(rule.then.rewrite for rule in rules):
        everybody = selection(*routes).select(inquiry(question, models=models))
        known = {
            *(each.name for each in everybody.plan.candidates),
            *(each.candidate.name for each in everybody.skipped),
        }
        assert selected.refusal is not None or set(asked) | set(skipped) == known


@given(configurations(), QUESTIONS)
def test_the_same_chance_gives_the_same_plan(
    configuration: tuple[list[Route], Fleet, list[Rule]], question: ChatRequest
) -> None:
    routes, fleet, rules = configuration
    plans = [selection(*routes, rules=rules, fleet=fleet, seed=5).select(inquiry(question)).plan for _ in range(2)]
    assert [each.name for each in plans[0].candidates] == [each.name for each in plans[1].candidates]
