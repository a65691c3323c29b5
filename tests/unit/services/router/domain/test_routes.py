from __future__ import annotations

import pytest

from services.router.domain.routes import Deployment, Route, Routes


def names(routes: Routes, asked: str) -> list[str] | None:
    plan = routes.plan(asked)
    return None if plan is None else [candidate.name for candidate in plan.candidates]


def route(name: str, *deployments: str, fallbacks: tuple[str, ...] = ()) -> Route:
    pairs = [deployment.partition("/") for deployment in deployments]
    return Route(name, tuple(Deployment(provider, model) for provider, _, model in pairs), fallbacks)


def test_an_alias_leads_to_its_deployments_in_order() -> None:
    assert names(Routes([route("gpt", "a/x", "b/y")]), "gpt") == ["a/x", "b/y"]


def test_a_deployment_without_a_model_of_its_own_is_asked_for_the_name() -> None:
    assert names(Routes([route("gpt", "a")]), "gpt") == ["a/gpt"]


def test_an_exact_name_wins_over_patterns_and_a_longer_pattern_over_a_shorter_one() -> None:
    routes = Routes([route("*", "any"), route("sim/*", "sim"), route("sim/e*", "e"), route("sim/echo", "exact/m")])
    assert names(routes, "sim/echo") == ["exact/m"]
    assert names(routes, "sim/else") == ["e/lse"]
    assert names(routes, "sim/text") == ["sim/text"]
    assert names(routes, "gpt-4o") == ["any/gpt-4o"]


def test_a_pattern_with_a_model_of_its_own_answers_every_name_with_it() -> None:
    assert names(Routes([route("gpt-*", "a/one")]), "gpt-5") == ["a/one"]


def test_the_beginning_of_a_pattern_alone_names_no_model() -> None:
    assert names(Routes([route("sim/*", "sim")]), "sim/") is None


def test_a_name_that_nothing_stands_for_has_no_plan() -> None:
    assert names(Routes([route("gpt", "a")]), "gpt-4") is None


def test_fallbacks_come_after_all_deployments_in_order_and_are_not_followed_further() -> None:
    routes = Routes(
        [
            route("gpt", "a/x", fallbacks=("claude", "sim/echo")),
            route("claude", "b/y", "c/y", fallbacks=("last",)),
            route("sim/*", "sim"),
            route("last", "z"),
        ]
    )
    assert names(routes, "gpt") == ["a/x", "b/y", "c/y", "sim/echo"]


def test_nobody_is_asked_twice() -> None:
    routes = Routes([route("gpt", "a/x", "b/y", "a/x", fallbacks=("other",)), route("other", "b/y", "c/z")])
    assert names(routes, "gpt") == ["a/x", "b/y", "c/z"]


def test_a_candidate_knows_which_name_it_stands_for() -> None:
    plan = Routes([route("gpt", "a/x", fallbacks=("claude",)), route("claude", "b/y")]).plan("gpt")
    assert plan is not None
    assert [candidate.stands_for for candidate in plan.candidates] == ["gpt", "claude"]


def test_a_fallback_that_names_nothing_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match=r"models\.gpt\.fallbacks: no model is called 'nope'"):
        Routes([route("gpt", "a/x", fallbacks=("nope",))])


def test_the_row_of_an_attempt_has_the_columns_its_candidate_settles() -> None:
    plan = Routes([Route("gpt", (Deployment("a", "x", model_provider="openai"),))]).plan("gpt")
    assert plan is not None
    columns = plan.candidates[0].columns
    assert (columns.model_requested, columns.model_used, columns.deployment) == ("gpt", "x", "a/x")
    assert (columns.provider_name, columns.model_provider) == ("a", "openai")
