"""What only shows when parts of a configuration are held against each other."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mesh.config.schema import Config

LoadText = Callable[..., Config]
Complaints = Callable[..., list[str]]


def test_a_deployment_must_name_a_provider_that_is_configured(complaints: Complaints) -> None:
    text = "providers: {openai: }\nmodels:\n  m: {deployments: [{provider: openai}, {provider: opnai}]}"
    assert complaints(text) == [
        "models.m.deployments[1].provider (tollway.yaml:3): no provider is called opnai; did you mean openai?"
    ]


def test_with_no_providers_configured_the_default_ones_can_be_named(complaints: Complaints) -> None:
    text = "models: {m: {deployments: [{provider: sim}, {provider: groq}]}}"
    assert complaints(text, {"GROQ_API_KEY": "gsk"}) == []
    assert complaints(text) == [
        "models.m.deployments[1].provider (tollway.yaml:1): no provider is called groq; there are sim"
    ]


def test_a_fallback_must_name_a_model_or_fit_a_pattern(complaints: Complaints) -> None:
    text = """
models:
  a: {deployments: [{provider: sim}], fallbacks: [b, sim/x, bb]}
  b: {deployments: [{provider: sim}], fallbacks: [a]}
  "sim/*": {deployments: [{provider: sim}]}
"""
    assert complaints(text) == ["models.a.fallbacks[2] (tollway.yaml:3): no model is called bb; did you mean b?"]


def test_models_that_fall_back_on_each_other_are_fine(load_text: LoadText) -> None:
    config = load_text("models: {a: {deployments: [{provider: sim}], fallbacks: [a]}}")
    assert config.models["a"].fallbacks == ("a",)


@pytest.mark.parametrize("name", ["a*b", "*a", "**", "a*b*"])
def test_a_name_may_have_an_asterisk_at_its_end_only(complaints: Complaints, name: str) -> None:
    (line,) = complaints(f'models: {{"{name}": {{deployments: [{{provider: sim, model: x}}]}}}}')
    assert line == f'models."{name}" (tollway.yaml:1): may have a * at its end only'


@pytest.mark.parametrize("name", ["", " a", "a\\n", "a\\u0007b"])
def test_a_name_that_nobody_could_type_is_refused(complaints: Complaints, name: str) -> None:
    (line,) = complaints(f'models: {{"{name}": {{deployments: [{{provider: sim}}]}}}}')
    assert line.endswith("must be a name without surrounding white space or control characters")


@pytest.mark.parametrize("name", ["a/b", "a b", "", "-a", "é", "a*"])
def test_a_provider_has_a_name_that_fits_before_a_slash(complaints: Complaints, name: str) -> None:
    (line,) = complaints(f'providers: {{"{name}": {{}}}}')
    assert line.endswith("must be a name of letters, digits, dots, hyphens and underscores")


@pytest.mark.parametrize("name", ["x y", "", "x:y", "é"])
def test_a_header_must_have_a_header_name(complaints: Complaints, name: str) -> None:
    (line,) = complaints(f'providers: {{a: {{headers: {{"{name}": v}}}}}}')
    assert line.endswith("is not a header name")


@pytest.mark.parametrize("name", ["Content-Length", "transfer-encoding", "Traceparent", "x-client-request-id"])
def test_headers_that_tollway_sets_cannot_be_configured(complaints: Complaints, name: str) -> None:
    (line,) = complaints(f"providers: {{a: {{headers: {{{name}: v}}}}}}")
    assert line == f"providers.a.headers.{name} (tollway.yaml:1): is a header that Tollway sets itself"


def test_a_header_value_must_be_fit_for_a_header(complaints: Complaints) -> None:
    (line,) = complaints('providers: {a: {headers: {x: "a\\r\\nb: c"}}}')
    assert line == "providers.a.headers.x (tollway.yaml:1): must be a header value: printable ASCII, on one line"


def test_a_pattern_without_a_slash_must_say_which_model_is_meant(complaints: Complaints) -> None:
    text = 'models: {"gpt-*": {deployments: [{provider: sim}, {provider: sim, model: "gpt-*"}]}}'
    assert complaints(text) == [
        'models."gpt-*".deployments[0] (tollway.yaml:1): must say which model to ask for: gpt-* passes on what the * '
        'stands for; write model: "gpt-*" to pass on the whole name'
    ]


def test_an_asterisk_in_a_deployments_model_needs_one_in_the_name(complaints: Complaints) -> None:
    text = 'models: {m: {deployments: [{provider: sim, model: "x-*"}]}}'
    assert complaints(text) == [
        "models.m.deployments[0].model (tollway.yaml:1): has a *, which stands for nothing: m does not end in one"
    ]


def test_one_model_of_a_provider_has_one_price(complaints: Complaints) -> None:
    price = "input: 1, output: 1"
    text = (
        f"prices:\n  - {{provider: a, {price}}}\n  - {{provider: a, model: m, {price}}}\n"
        f'  - {{provider: b, {price}}}\n  - {{provider: a, model: "*", {price}}}'
    )
    assert complaints(text) == [
        "prices[3] (tollway.yaml:5): prices the same provider and model as prices[0]",
    ]


def test_a_price_may_have_an_asterisk_at_the_end_of_its_model_only(complaints: Complaints) -> None:
    text = 'prices: [{provider: a, model: "*-large", input: 1, output: 1}]'
    assert complaints(text) == ["prices[0].model (tollway.yaml:1): may have a * at its end only"]


def test_what_has_the_wrong_shape_is_complained_about_once(complaints: Complaints) -> None:
    text = "providers: x\nmodels: {m: {deployments: [1, {provider: [x]}], fallbacks: [[]]}, n: 1}\nprices: [1]"
    assert complaints(text) == [
        "providers (tollway.yaml:1): must be a mapping of names to values, not x",
        "models.m.deployments[0] (tollway.yaml:2): must be a mapping of keys to values, not 1",
        "models.m.deployments[1].provider (tollway.yaml:2): must be text",
        "models.m.fallbacks[0] (tollway.yaml:2): must be text",
        "models.n (tollway.yaml:2): must be a mapping of keys to values, not 1",
        "prices[0] (tollway.yaml:3): must be a mapping of keys to values, not 1",
    ]


def test_a_scope_is_limited_once(complaints: Complaints) -> None:
    text = """
limits:
  - {scope: "key:*", requests: 1/s}
  - {scope: "key:ci", requests: 1/s}
  - {scope: "key:*", tokens: 1/s}
"""
    assert complaints(text) == ["limits[2].scope (tollway.yaml:5): is the scope of limits[0], too"]


def test_a_model_that_is_limited_must_be_one(complaints: Complaints) -> None:
    text = """
models: {gpt-4o: {deployments: [{provider: sim}]}, "sim/*": {deployments: [{provider: sim}]}}
limits:
  - {scope: "model:gpt-4o", requests: 1/s}
  - {scope: "model:sim/echo", requests: 1/s}
  - {scope: "model:*", requests: 1/s}
  - {scope: "model:gpt-40", requests: 1/s}
"""
    (line,) = complaints(text)
    assert line == "limits[3].scope (tollway.yaml:7): no model is called gpt-40; did you mean gpt-4o?"
    assert complaints('limits: [{scope: "model:anything", requests: 1/s}]') == []


def test_who_is_limited_must_have_a_key_where_there_are_keys(complaints: Complaints) -> None:
    limits = """
limits:
  - {scope: "key:ci", requests: 1/s}
  - {scope: "key:nightyl", requests: 1/s}
  - {scope: "project:serach", requests: 1/s}
  - {scope: "project:default", requests: 1/s}
  - {scope: "tenant:acme", requests: 1/s}
  - {scope: "tenant:default", requests: 1/s}
  - {scope: "tenant:*", requests: 1/s}
  - {scope: "tag:anything", requests: 1/s}
"""
    keys = """
keys:
  - {name: ci, key: tw-0123456789abcdef, project: search, tenant: acme}
  - {name: nightly, key: tw-fedcba9876543210, tenant: acme}
"""
    assert complaints(limits + keys) == [
        "limits[1].scope (tollway.yaml:4): no key is called nightyl; did you mean nightly?",
        "limits[2].scope (tollway.yaml:5): no key is of a project serach; did you mean search?",
        "limits[5].scope (tollway.yaml:8): no key is of a tenant default; there are acme",
    ]
    assert complaints(limits) == []


def test_whom_a_rule_is_about_must_have_a_key_where_there_are_keys(complaints: Complaints) -> None:
    rules = """
rules:
  - {name: a, when: {project: [search, "sea*", serach]}, then: {deny: no}}
  - {name: b, when: {tenant: "amce*"}, then: {deny: no}}
"""
    keys = "keys: [{name: ci, key: tw-0123456789abcdef, project: search, tenant: acme}]\n"
    assert complaints(rules + keys) == [
        "rules[0].when.project[2] (tollway.yaml:3): no key is of a project serach; did you mean search?",
        "rules[1].when.tenant (tollway.yaml:4): no key is of a tenant amce*; did you mean acme?",
    ]
    assert complaints(rules) == []


def test_a_limit_must_limit_something(complaints: Complaints) -> None:
    assert complaints('limits: [{scope: "key:*"}]') == [
        "limits[0] (tollway.yaml:1): must limit something: requests, tokens or concurrency"
    ]


@pytest.mark.parametrize(
    ("scope", "problem"),
    [
        ("key", "must be a scope such as key:ci or key:*, of tenant, project, key, tag, model"),
        ("key:", "must be a scope such as key:ci or key:*, of tenant, project, key, tag, model"),
        ("user:x", "must be a scope such as key:ci or key:*, of tenant, project, key, tag, model"),
        ("key:c*", "must have a name, or a * alone for every one on its own"),
        ("key: ci", "must have a name without surrounding white space or control characters"),
    ],
)
def test_a_scope_that_is_none_is_refused(complaints: Complaints, scope: str, problem: str) -> None:
    assert complaints(f'\nlimits:\n  - {{scope: "{scope}", requests: 1/s}}') == [
        f"limits[0].scope (tollway.yaml:3): {problem}, not {scope}"
    ]


@pytest.mark.parametrize("rate", ["600", "600/min", "0/m", "-1/s", "1.5/s", "/s", "1000000000001/s"])
def test_a_rate_that_is_none_is_refused(complaints: Complaints, rate: str) -> None:
    (line,) = complaints(f'limits: [{{scope: "key:*", requests: "{rate}"}}]')
    assert line.startswith("limits[0].requests (tollway.yaml:1): must be a rate ")
    assert line.endswith(f"not {rate}")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "memory",
        "redis://",
        "sqlite:///",
        "sqlite:///{home}/x.db",
        "http://x",
        "redis://a b",
        "redis://h:port",
        "redis://[::1",
    ],
)
def test_a_url_of_shared_state_that_is_none_is_refused_without_being_repeated(complaints: Complaints, url: str) -> None:
    (line,) = complaints(f'state: {{url: "{url}"}}')
    assert line.startswith("state.url (tollway.yaml:1): must be ")
    assert not url or f"not {url}" not in line


@pytest.mark.parametrize(
    "url", ["memory://", "sqlite:////var/x.db", "redis://u:p@h:6379/0", "rediss://h", "unix:///run/redis.sock"]
)
def test_a_url_of_shared_state_is_taken_as_it_is(load_text: LoadText, url: str) -> None:
    assert load_text(f'state: {{url: "{url}"}}').state.url == url


PRICED = """
providers: {a: {base_url: "https://a.example.com"}, b: {base_url: "https://b.example.com"}}
models:
  m: {deployments: [{provider: a, price: {input: 1, output: 2}, markup: 5%}]}
  alias: {deployments: [{provider: a, model: m, price: {input: 1, output: 2}, markup: 5%}]}
"""


def test_a_deployment_costs_the_same_under_every_name(complaints: Complaints) -> None:
    assert complaints(PRICED) == []
    assert complaints(PRICED.replace("model: m, price: {input: 1", "model: m, price: {input: 3")) == [
        "models.alias.deployments[0].price (tollway.yaml:5): is another one than models.m.deployments[0].price for the "
        "same deployment a/m"
    ]
    (complaint,) = complaints(PRICED.replace("output: 2}, markup: 5%}]}\n", "output: 2}, markup: 6%}]}\n", 1))
    assert complaint.startswith("models.alias.deployments[0].markup (tollway.yaml:5): is another one than")


def test_a_model_is_priced_in_one_place(complaints: Complaints) -> None:
    (complaint, _) = complaints(PRICED + "prices: [{provider: a, model: m, input: 1, output: 1}]")
    assert complaint.endswith("deployments[0].price (tollway.yaml:4): prices the same provider and model as prices[0]")


def test_a_price_or_a_markup_needs_a_deployment_of_one_model(complaints: Complaints) -> None:
    text = 'models: {"*": {deployments: [{provider: sim, price: {input: 1, output: 1}, markup: 1%}]}}'
    assert [complaint.partition("): ")[2] for complaint in complaints(text)] == [
        "needs a deployment of one model: write it under prices, where model may end in a *",
        "needs a deployment of one model: write it at the provider, for all of its models",
    ]


def test_a_price_of_a_provider_that_is_not_configured_is_a_slip(complaints: Complaints) -> None:
    text = "providers: {openai: {}}\nprices: [{provider: opnai, input: 1, output: 1}]"
    assert complaints(text) == [
        "prices[0].provider (tollway.yaml:2): no provider is called opnai; did you mean openai?"
    ]


@pytest.mark.parametrize(
    ("terms", "place", "message"),
    [
        ("tiers: {half: 0.5}", "tiers.half.multiplier", "must be a percentage such as 10%, with at most four decimal"),
        ("tiers: {half: 0%}", "tiers.half.multiplier", "must be more than 0%"),
        ("tiers: {half: 20000%}", "tiers.half.multiplier", "must be more than 0%, and at most 10000%"),
        ("tiers: {half: {input: 1}}", "tiers.half", "must be a percentage of the usual rates such as 50%, or have"),
        ("tiers: {half: {multiplier: 5%, input: 1, output: 1}}", "tiers.half", "cannot have rates of its own"),
        ('tiers: {"a b": 50%}', 'tiers."a b"', "must be the name of a service tier, such as batch or priority"),
        ("above: [{tokens: 0, input: 1, output: 1}]", "above[0].tokens", "must be at least 1"),
        ("above: [{tokens: 5, input: 1}]", "above[0].output", "must be given"),
        ("above: [{tokens: 5, input: 1, output: 1}, {tokens: 5, input: 1, output: 1}]", "above", "twice"),
        ("above: [{tokens: 5, input: -1, output: 1}]", "above[0].input", "must be an amount such as $5.00"),
        ("request: free", "request", "must be an amount such as $5.00"),
    ],
)
def test_a_tier_that_cannot_be_is_told_by_its_place(
    complaints: Complaints, terms: str, place: str, message: str
) -> None:
    (complaint,) = complaints(f"prices: [{{provider: a, input: 1, output: 1, {terms}}}]")
    assert complaint.startswith(f"prices[0].{place} (tollway.yaml:1): ")
    assert message in complaint


@pytest.mark.parametrize("markup", ["10", "0.1", "ten%", "1.23456%", "-101%", "1001%"])
def test_a_markup_that_cannot_be_is_told_by_its_place(complaints: Complaints, markup: str) -> None:
    (complaint,) = complaints(f"providers: {{a: {{markup: {markup}}}}}")
    assert complaint.startswith("providers.a.markup (tollway.yaml:1): must be ")
