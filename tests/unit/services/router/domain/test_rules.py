from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from services.router.domain.hours import Hours
from services.router.domain.principal import LOCAL, Principal
from services.router.domain.rules import Action, Asked, Condition, Parameter, Rule, Ruling, rule_on
from tests.unit.services.router.domain.questions import deployments, pool
from tests.unit.services.router.twins import chat
from tollway.chat.v1.chat_pb2 import ChatRequest, ToolDefinition

MONDAY_NOON = datetime(2026, 11, 23, 12, tzinfo=UTC).timestamp()
ALWAYS = Condition()
ACME = Principal("acme", "search", "ci", tags=("nightly",))


def asked(
    question: ChatRequest | None = None, *models: str, principal: Principal = LOCAL, tags: tuple[str, ...] = ()
) -> Asked:
    question = question or chat()
    return Asked(question, (question.model, *models), tags, principal, MONDAY_NOON)


def ruled(then: Action, when: Condition = ALWAYS, about: Asked | None = None) -> Ruling:
    return rule_on([Rule("r", when, then)], about or asked())


def matches(when: Condition, about: Asked) -> bool:
    (outcome,) = ruled(Action(deny="no"), when, about).outcomes
    return outcome.matched


WITH_TOOLS = chat()
WITH_TOOLS.tools.append(ToolDefinition(name="f"))
WITH_TOOLS.reasoning_effort = "low"


@pytest.mark.parametrize(
    ("when", "holds", "does_not"),
    [
        (Condition(model=("gpt",)), asked(chat("gpt")), asked(chat("gpt-5"))),
        (Condition(model=("x", "gp*")), asked(chat("gpt")), asked(chat("claude"))),
        (Condition(model=("claude",)), asked(chat("gpt"), "claude"), asked(chat("gpt"), "llama")),
        (Condition(key=("ci", "cd")), asked(principal=ACME), asked()),
        (Condition(key=("loc*",)), asked(), asked(principal=ACME)),
        (Condition(project=("search",)), asked(principal=ACME), asked()),
        (Condition(tenant=("acme",)), asked(principal=ACME), asked()),
        (Condition(tags=("team:red", "ci")), asked(tags=("ci", "team:red")), asked(tags=("ci",))),
        (Condition(tags=("team:*",)), asked(tags=("team:red",)), asked(tags=("ci",))),
        (Condition(tags=("nightly",)), asked(principal=ACME), asked()),
        (Condition(over=10), asked(chat(words="x" * 44)), asked(chat(words="x" * 40))),
        (Condition(under=10), asked(chat(words="x" * 36)), asked(chat(words="x" * 40))),
        (Condition(over=5, under=10), asked(chat(words="x" * 30)), asked(chat(words="x" * 4))),
        (Condition(needs=("tools",)), asked(WITH_TOOLS), asked()),
        (Condition(needs=("tools", "reasoning")), asked(WITH_TOOLS), asked()),
        (Condition(hours=Hours(frozenset({0}))), asked(), replace(asked(), unix=MONDAY_NOON + 86400)),
        (Condition(hours=Hours(start=700, end=721)), asked(), replace(asked(), unix=MONDAY_NOON + 3600)),
        (Condition(model=("gpt",), key=("ci",)), asked(principal=ACME), asked(chat("gpt"))),
    ],
)  # fmt: skip
def test_a_condition_holds_for_what_it_says_and_nothing_else(when: Condition, holds: Asked, does_not: Asked) -> None:
    assert matches(when, holds)
    assert not matches(when, does_not)


def test_of_needs_all_must_be_there() -> None:
    assert not matches(Condition(needs=("tools", "vision")), asked(WITH_TOOLS))


def test_without_conditions_a_rule_always_holds() -> None:
    assert matches(Condition(), asked())


def test_choosing_and_excluding_say_whom_they_let_through() -> None:
    ruling = ruled(Action(choose=("a", "b/m*"), exclude=("b/mini",)))
    keep, out = ruling.filters
    members = pool(*deployments("a", "b", "c")).candidates
    assert [keep.lets(member.name) for member in members] == [True, True, False]
    assert [out.lets(member.name) for member in members] == [True, True, True]
    assert ruling.outcomes[0].effect == "chooses a, b/m*; excludes b/mini"


def test_rewriting_asks_for_another_name_in_a_copy_of_the_question() -> None:
    question = chat("gpt")
    ruling = ruled(Action(rewrite="small"), about=asked(question))
    assert (ruling.names, ruling.chat.model, question.model) == (("small",), "small", "gpt")
    assert ruling.chat.messages == question.messages
    assert ruling.outcomes[0].effect == "rewrites gpt to small"


def test_rewriting_covers_every_name_that_the_condition_covers_so_that_none_is_a_way_around() -> None:
    about = asked(chat("gpt-5"), "claude", "gpt-4")
    assert ruled(Action(rewrite="small"), Condition(model=("gpt-*",)), about).names == ("small", "claude")
    assert ruled(Action(rewrite="small"), Condition(key=("local",)), about).names == ("small",)


def test_parameters_are_set_in_a_copy_whatever_the_client_said() -> None:
    question = chat()
    question.sampling.temperature = 1.5
    question.sampling.stop.append("END")
    given = question.SerializeToString(deterministic=True)
    parameters: dict[str, Parameter] = {
        "temperature": 0.0, "top_p": 0.5, "top_k": 3, "seed": 7, "frequency_penalty": 1.0, "presence_penalty": -1.0,
        "stop": ("a", "b"), "max_tokens": 9, "reasoning_effort": "low", "service_tier": "flex",
        "parallel_tool_calls": False,
    }  # fmt: skip
    ruling = ruled(Action(parameters=parameters), about=asked(question))
    sampling = ruling.chat.sampling
    assert (sampling.temperature, sampling.top_p, sampling.top_k, sampling.seed) == (0.0, 0.5, 3, 7)
    assert (sampling.frequency_penalty, sampling.presence_penalty, list(sampling.stop)) == (1.0, -1.0, ["a", "b"])
    assert (ruling.chat.reasoning_effort, ruling.chat.service_tier) == ("low", "flex")
    assert ruling.chat.HasField("parallel_tool_calls")
    assert not ruling.chat.parallel_tool_calls
    assert (sampling.max_output_tokens, sampling.HasField("max_tokens")) == (9, False)
    assert question.SerializeToString(deterministic=True) == given


def test_the_cap_on_tokens_keeps_the_name_that_the_client_used() -> None:
    question = chat()
    question.sampling.max_tokens = 100
    sampling = ruled(Action(parameters={"max_tokens": 9}), about=asked(question)).chat.sampling
    assert (sampling.max_tokens, sampling.HasField("max_output_tokens")) == (9, False)


def test_what_was_set_is_told() -> None:
    parameters: dict[str, Parameter] = {
        "temperature": 0.0,
        "stop": ("a",),
        "parallel_tool_calls": True,
        "service_tier": "flex",
    }
    assert ruled(Action(parameters=parameters)).outcomes[0].effect == (
        "sets temperature to 0, stop to 'a', parallel_tool_calls to true, service_tier to flex"
    )


def test_a_question_that_no_rule_changes_is_not_copied() -> None:
    question = chat()
    for then in (Action(choose=("a",)), Action(rewrite="gpt"), Action(deny="no")):
        assert ruled(then, about=asked(question)).chat is question
    assert ruled(Action(rewrite="x"), Condition(model=("y",)), asked(question)).chat is question


def test_a_denial_is_the_last_word() -> None:
    rules = [
        Rule("first", Condition(), Action(parameters={"temperature": 0.0})),
        Rule("second", Condition(), Action(deny="Not here.")),
        Rule("third", Condition(), Action(rewrite="x")),
    ]
    ruling = rule_on(rules, asked())
    assert (ruling.denied_by, ruling.denial, ruling.names) == ("second", "Not here.", ("gpt",))
    assert [(outcome.rule, outcome.effect) for outcome in ruling.outcomes] == [
        ("first", "sets temperature to 0"),
        ("second", "denies: Not here."),
    ]


def test_each_rule_sees_what_those_before_it_made_of_the_question() -> None:
    rules = [
        Rule("rewrite", Condition(model=("gpt",)), Action(rewrite="small")),
        Rule("old name", Condition(model=("gpt",)), Action(deny="never")),
        Rule("think", Condition(model=("small",)), Action(parameters={"reasoning_effort": "high"})),
        Rule("thinking", Condition(needs=("reasoning",)), Action(choose=("a",))),
    ]
    ruling = rule_on(rules, asked())
    assert [outcome.matched for outcome in ruling.outcomes] == [True, False, True, True]
    assert ruling.needs.features == ("reasoning",)
