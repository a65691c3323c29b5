"""Rules and strategies: what can be written, and everything that is told when it is wrong, with its place."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mesh.config.schema import Config

LoadText = Callable[..., Config]
Complaints = Callable[..., list[str]]

AROUND = """
providers: {openai: , azure: {dialect: openai}}
models:
  gpt: {deployments: [{provider: openai}]}
  "azure/*": {deployments: [{provider: azure}]}
  "mini-*": {deployments: [{provider: openai, model: "mini-*"}]}
"""


@pytest.fixture
def complain(complaints: Complaints) -> Callable[[str], list[str]]:
    """What is said about one rule; the places are cut off where they are the same for all."""

    def about(rule: str) -> list[str]:
        return [line.replace(" (tollway.yaml:7)", "") for line in complaints(f"{AROUND}rules: [{rule}]")]

    return about


def test_a_rule_may_say_all_there_is_to_say(load_text: LoadText) -> None:
    config = load_text(f"""{AROUND}
rules:
  - name: all
    when:
      model: [gpt, "mini-*"]
      key: local
      project: search
      tenant: [acme, "x-*"]
      tags: [ci, "team:*"]
      tokens: {{over: 10, under: 12}}
      needs: tools
      time: {{days: [mon-wed, fri, sat-sun], from: "8:05", to: "24:00", zone: Europe/Zurich}}
    then:
      choose: [openai, "azure/*", "azure/gpt-5", "openai/mini-x", "*"]
      exclude: azure/old
      rewrite: azure/gpt-5
      set: {{temperature: 0, stop: END, max_tokens: 5, parallel_tool_calls: false}}
""")
    (rule,) = config.rules
    assert rule.when.model == ("gpt", "mini-*")
    assert (rule.when.key, rule.when.needs) == (("local",), ("tools",))
    time = rule.when.time
    assert time is not None
    assert (time.days, time.from_, time.to, time.zone) == (frozenset({0, 1, 2, 4, 5, 6}), 485, 1440, "Europe/Zurich")
    assert rule.then.set is not None
    assert rule.then.set.model_dump(exclude_unset=True) == {
        "temperature": 0.0, "stop": ("END",), "max_tokens": 5, "parallel_tool_calls": False,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("rule", "line"),
    [
        ("{then: {deny: no}}", "rules[0].name: must be given"),
        ('{name: "", then: {deny: no}}', "rules[0].name: must not be empty"),
        ("{name: r}", "rules[0].then: must be given"),
        ("{name: r, then: {}}", "rules[0].then: must say what to do: choose, exclude, rewrite, set or deny"),
        ("{name: r, then: {deny: no, choose: openai}}", "rules[0].then: cannot deny and do something else"),
        ("{name: r, then: {deny: no, set: {seed: 1}}}", "rules[0].then: cannot deny and do something else"),
        ("{name: r, then: {choose: [openai, azure/x], exclude: [azure, openai]}}",
         "rules[0].then: excludes all that it chooses; to refuse, say deny"),
        ('{name: r, then: {deny: ""}}', "rules[0].then.deny: must not be empty"),
        ("{name: r, then: {denny: no}}", "rules[0].then.denny: unknown key; did you mean deny?"),
        ("{name: r, then: {choose: []}}", "rules[0].then.choose: must have at least one entry"),
        ("{name: r, then: {choose: opnai}}",
         "rules[0].then.choose: no provider is called opnai; did you mean openai?"),
        ("{name: r, then: {exclude: [openai, azur/x]}}",
         "rules[0].then.exclude[1]: no provider is called azur; did you mean azure?"),
        ("{name: r, then: {choose: openai/gtp}}",
         "rules[0].then.choose: no deployment is called openai/gtp; did you mean openai/gpt?"),
        ('{name: r, then: {choose: "op*ai"}}', "rules[0].then.choose: may have a * at its end only"),
        ("{name: r, then: {rewrite: gtp}}", "rules[0].then.rewrite: no model is called gtp; did you mean gpt?"),
        ('{name: r, then: {rewrite: "azure/*"}}',
         "rules[0].then.rewrite: must be the name of one model, which the question is then asked of"),
        ("{name: r, then: {rewrite: azure/}}",
         "rules[0].then.rewrite: must be the name of one model, which the question is then asked of"),
        ("{name: r, then: {set: {}}}", "rules[0].then.set: must set at least one parameter"),
        ("{name: r, then: {set: {temprature: 0}}}",
         "rules[0].then.set.temprature: unknown key; did you mean temperature?"),
        ("{name: r, then: {set: {temperature: 3}}}", "rules[0].then.set.temperature: must be at most 2, not 3"),
        ("{name: r, then: {set: {top_k: many}}}", "rules[0].then.set.top_k: must be a whole number, not many"),
        ("{name: r, then: {set: {max_tokens: 0}}}", "rules[0].then.set.max_tokens: must be at least 1, not 0"),
        ('{name: r, then: {set: {service_tier: ""}}}', "rules[0].then.set.service_tier: must not be empty"),
        ("{name: r, when: {model: gtp}, then: {deny: no}}",
         "rules[0].when.model: no model is called gtp; did you mean gpt?"),
        ("{name: r, when: {model: []}, then: {deny: no}}", "rules[0].when.model: must have at least one entry"),
        ("{name: r, when: {key: lokal}, then: {deny: no}}",
         "rules[0].when.key: no key is called lokal; did you mean local?"),
        ('{name: r, when: {tags: "a*b"}, then: {deny: no}}', "rules[0].when.tags: may have a * at its end only"),
        ("{name: r, when: {needs: [tool]}, then: {deny: no}}",
         "rules[0].when.needs[0]: must be 'tools', 'vision', 'json_schema', 'audio', 'files' or 'reasoning', not tool"),
        ("{name: r, when: {tokens: {}}, then: {deny: no}}", "rules[0].when.tokens: must have over or under"),
        ("{name: r, when: {tokens: {over: 5, under: 6}}, then: {deny: no}}",
         "rules[0].when.tokens: must leave a number between over and under"),
        ("{name: r, when: {tokens: {over: few}}, then: {deny: no}}",
         "rules[0].when.tokens.over: must be a whole number, not few"),
        ("{name: r, when: {time: {days: [mon, day]}}, then: {deny: no}}",
         "rules[0].when.time.days: must be a list of days such as [mon-fri, sun], of mon, tue, wed, thu, fri, sat, "
         "sun"),
        ("{name: r, when: {time: {days: []}}, then: {deny: no}}",
         "rules[0].when.time.days: must be a list of days such as [mon-fri, sun]"),
        ('{name: r, when: {time: {from: "25:00"}}, then: {deny: no}}',
         'rules[0].when.time.from: must be a time of the day such as "08:00", in quotes, not 25:00'),
        ('{name: r, when: {time: {to: "24:01"}}, then: {deny: no}}',
         'rules[0].when.time.to: must be a time of the day such as "08:00", in quotes, not 24:01'),
        ("{name: r, when: {time: {zone: Europe/Zurch}}, then: {deny: no}}",
         "rules[0].when.time.zone: no time zone is called Europe/Zurch; did you mean Europe/Zurich?"),
        ("{name: r, when: {time: {zone: ../etc}}, then: {deny: no}}",
         "rules[0].when.time.zone: must be a time zone such as Europe/Zurich, not ../etc"),
        ("{name: r, when: {time: {form: \"8:00\"}}, then: {deny: no}}",
         "rules[0].when.time.form: unknown key; did you mean from?"),
    ],
)  # fmt: skip
def test_a_bad_rule_is_refused_when_the_file_is_read(
    complain: Callable[[str], list[str]], rule: str, line: str
) -> None:
    assert complain(rule) == [line]


def test_two_rules_cannot_have_one_name(complain: Callable[[str], list[str]]) -> None:
    assert complain("{name: r, then: {deny: no}}, {name: s, then: {deny: no}}, {name: r, then: {deny: no}}") == [
        "rules[2].name: is the name of rules[0] as well"
    ]


def test_a_rule_about_a_key_names_one_that_is_configured(complain: Callable[[str], list[str]]) -> None:
    assert complain('{name: r, when: {key: ["lo*", local]}, then: {deny: no}}') == []


def test_where_no_models_are_configured_every_name_and_every_model_of_a_provider_will_do(
    complaints: Complaints,
) -> None:
    rule = "{name: r, when: {model: anything}, then: {choose: openai/whatever, rewrite: openai/other}}"
    assert complaints(f"providers: {{openai: }}\nrules: [{rule}]") == []
    (line,) = complaints("rules: [{name: r, then: {choose: opnai}}]", {"OPENAI_API_KEY": "k"})
    assert line.endswith("no provider is called opnai; did you mean openai?")


def test_a_key_called_from_can_be_set_by_a_variable(load_text: LoadText) -> None:
    text = f"{AROUND}rules: [{{name: r, when: {{time: {{days: mon}}}}, then: {{deny: no}}}}]"
    config = load_text(text, {"TOLLWAY_RULES__0__WHEN__TIME__FROM": "09:30"})
    time = config.rules[0].when.time
    assert time is not None
    assert time.from_ == 570


def test_a_bound_on_latency_is_for_the_strategy_that_keeps_to_it(complaints: Complaints) -> None:
    text = "models: {m: {strategy: latency, latency_bound: 2s, deployments: [{provider: sim}]}}"
    assert complaints(text) == ["models.m (tollway.yaml:1): has a latency_bound, which only the strategy cost keeps to"]
    assert complaints(text.replace("strategy: latency", "strategy: cost")) == []
    (line,) = complaints("models: {m: {strategy: cost, latency_bound: 0s, deployments: [{provider: sim}]}}")
    assert line.endswith("must be more than 0, not 0s")


def test_what_keeps_questions_together_is_one_of_three(complaints: Complaints) -> None:
    (line,) = complaints("models: {m: {sticky: ip, deployments: [{provider: sim}]}}")
    assert line.endswith("must be 'key', 'session' or 'none', not ip")
