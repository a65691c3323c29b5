"""Who may ask, as it is written down."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import pytest

from mesh.config.schema import Config

LoadText = Callable[..., Config]
Complaints = Callable[..., list[str]]

SECRET = "tw-a-secret-of-some-length"
DIGEST = hashlib.sha256(SECRET.encode()).hexdigest()
MODELS = "models: {gpt-4o: {deployments: [{provider: sim}]}, claude-sonnet: {deployments: [{provider: sim}]}}\n"


def test_a_key_is_known_by_its_digest_however_it_is_written(load_text: LoadText) -> None:
    text = f'keys: [{{name: a, key: "${{CI_KEY}}"}}, {{name: b, key_sha256: {"AB" * 32}}}]'
    first, second = load_text(text, {"CI_KEY": f" {SECRET}\n"}).keys
    assert first.digest == bytes.fromhex(DIGEST)
    assert second.digest == b"\xab" * 32


def test_whoever_has_a_key_is_by_default_a_caller_who_may_ask_everything(load_text: LoadText) -> None:
    (key,) = load_text(f"keys: [{{name: ci, key: {SECRET}}}]").keys
    assert (key.tenant, key.project, key.tags, key.models) == ("default", "default", (), ("*",))
    assert (key.role, key.expires) == ("caller", None)


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("1970-01-02", 86_400.0),
        ("1970-01-01T01:00Z", 3_600.0),
        ("1970-01-01T01:00:01", 3_601.0),
        ("'1970-01-01 02:00+01:00'", 3_600.0),
    ],
)
def test_a_key_may_expire(load_text: LoadText, written: str, seconds: float) -> None:
    assert load_text(f"keys: [{{name: ci, key: {SECRET}, expires: {written}}}]").keys[0].expires == seconds


def test_a_key_does_not_show_when_the_configuration_is_shown(load_text: LoadText) -> None:
    config = load_text(f"keys: [{{name: ci, key: {SECRET}}}]")
    assert SECRET not in repr(config) + str(config) + config.model_dump_json()


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("name: ci", "keys[0] (tollway.yaml:1): must have key or key_sha256; `tollway keys new` makes one"),
        (f"name: ci, key: {SECRET}, key_sha256: {DIGEST}", "keys[0] (tollway.yaml:1): has both key and key_sha256"),
        (f"key: {SECRET}", "keys[0].name (tollway.yaml:1): must be given"),
        (f"name: a b, key: {SECRET}", "keys[0].name (tollway.yaml:1): must be a name of letters, digits, dots"),
        (f"name: ci, key: {SECRET}, tenant: 'a:b'", "keys[0].tenant (tollway.yaml:1): must be a name of letters"),
        (f"name: ci, key: {SECRET}, project: ''", "keys[0].project (tollway.yaml:1): must be a name of letters"),
        (f"name: ci, key: {SECRET}, tags: [a, 'b c']", "keys[0].tags[1] (tollway.yaml:1): must be a label such as"),
        (f"name: ci, key: {SECRET}, tags: [{'a, ' * 17}]", "keys[0].tags (tollway.yaml:1): must be at most 16 labels"),
        (f"name: ci, key: {SECRET}, models: []", "keys[0].models (tollway.yaml:1): must have at least one entry"),
        (f"name: ci, key: {SECRET}, role: root", "keys[0].role (tollway.yaml:1): must be 'caller', 'operator' or"),
        (f"name: ci, key: {SECRET}, expires: soon", "keys[0].expires (tollway.yaml:1): must be a time such as 2027-"),
        (f"name: ci, key: {SECRET}, rol: admin", "keys[0].rol (tollway.yaml:1): unknown key; did you mean role?"),
        ("name: ci, key: ''", "keys[0].key (tollway.yaml:1): is empty: set it, or the variable that it comes from"),
        ("name: ci, key: '${NONE}'", "keys[0].key (tollway.yaml:1): the environment variable NONE is not set"),
        ("name: ci, key: '${EMPTY}'", "keys[0].key (tollway.yaml:1): is empty: set it, or the variable"),
        ("name: ci, key: tw-secret-short", "keys[0].key (tollway.yaml:1): must be a key of 16 to 512 characters"),
        (f"name: ci, key: {SECRET * 20}", "keys[0].key (tollway.yaml:1): must be a key of 16 to 512 characters"),
        ("name: ci, key: 'tw-secret with space'", "keys[0].key (tollway.yaml:1): must be a key: printable ASCII"),
        ("name: ci, key: tw-secret-é-secret-é", "keys[0].key (tollway.yaml:1): must be a key: printable ASCII"),
        ("name: ci, key_sha256: tw-secret", "keys[0].key_sha256 (tollway.yaml:1): must be the SHA-256 of a key, in 64"),
    ],
)
def test_what_is_wrong_with_a_key_is_said_and_never_the_key(complaints: Complaints, entry: str, said: str) -> None:
    (line,) = complaints(f"keys: [{{{entry}}}]", {"EMPTY": ""})
    assert line.startswith(said)
    assert "secret" not in line


def test_no_two_keys_have_a_name_or_a_secret_in_common(complaints: Complaints) -> None:
    text = f"""
keys:
  - {{name: ci, key: {SECRET}}}
  - {{name: ci, key: another-{SECRET}}}
  - {{name: nightly, key_sha256: {DIGEST.upper()}}}
"""
    assert complaints(text) == [
        "keys[1].name (tollway.yaml:4): is the name of keys[0] as well",
        "keys[2].key_sha256 (tollway.yaml:5): is the key of keys[0] as well",
    ]


def test_a_key_names_models_or_patterns_that_exist(complaints: Complaints) -> None:
    names = "[gpt-4o, 'claude-*', '*', gpt-40, 'gemini-*', 'a*b']"
    text = f"{MODELS}keys:\n  - {{name: ci, key: {SECRET}, models: {names}}}"
    assert complaints(text) == [
        "keys[0].models[3] (tollway.yaml:3): no model is called gpt-40; did you mean gpt-4o?",
        "keys[0].models[4] (tollway.yaml:3): no model is called gemini-*; there are gpt-4o, claude-sonnet",
        "keys[0].models[5] (tollway.yaml:3): may have a * at its end only",
    ]


@pytest.mark.parametrize("model", ["openai/gpt-4o", "openai/*", "openai/gpt-*", "o*"])
def test_a_key_may_name_part_of_what_a_pattern_stands_for(complaints: Complaints, model: str) -> None:
    models = "models: {'openai/*': {deployments: [{provider: sim}]}}"
    assert complaints(f"{models}\nkeys: [{{name: ci, key: {SECRET}, models: ['{model}']}}]") == []


def test_where_no_models_are_configured_those_that_hold_then_can_be_named(complaints: Complaints) -> None:
    text = f"keys: [{{name: ci, key: {SECRET}, models: [sim/echo, gpt-4o]}}]"
    assert complaints(text) == [
        "keys[0].models[1] (tollway.yaml:1): no model is called gpt-4o; there are sim, sim/*",
    ]
    assert complaints(text, {"OPENAI_API_KEY": "sk-test"}) == []
    assert complaints(f"providers: {{local: {{dialect: sim}}}}\n{text}") == []


def test_providers_that_are_not_offered_are_not_looked_at(load_text: LoadText) -> None:
    assert load_text("providers: {local: {dialect: sim}}", {"OPENAI_API_KEY": "not a key"}).providers


def test_keys_can_come_from_the_environment(load_text: LoadText, complaints: Complaints) -> None:
    keys = load_text("", {"TOLLWAY_KEYS": f"[{{name: ci, key: {SECRET}}}]", "TOLLWAY_KEY": "what the client presents"})
    assert [key.name for key in keys.keys] == ["ci"]
    assert complaints("keys: [{name: ci}]", {"TOLLWAY_KEYS__0__KEY": "tw-secret"}) == [
        "keys[0].key (TOLLWAY_KEYS__0__KEY): must be a key of 16 to 512 characters: `tollway keys new` makes one"
    ]


def test_keys_of_the_wrong_shape_are_complained_about_once(complaints: Complaints) -> None:
    assert complaints("keys: {ci: x}") == ["keys (tollway.yaml:1): must be a list"]
    assert complaints(f"keys: [1, {{name: [x], key: {SECRET}, tags: x, models: [1, [x]]}}]") == [
        "keys[0] (tollway.yaml:1): must be a mapping of keys to values, not 1",
        "keys[1].name (tollway.yaml:1): must be text",
        "keys[1].tags (tollway.yaml:1): must be a list, not x",
        "keys[1].models[1] (tollway.yaml:1): must be text",
        "keys[1].models[0] (tollway.yaml:1): no model is called 1; there are sim, sim/*",
    ]


@pytest.mark.parametrize("host", ["gateway.example.com:80", "", "https://a", "a b", "-a", "é"])
def test_a_name_that_the_edge_is_reached_by_is_a_hosts(complaints: Complaints, host: str) -> None:
    (line,) = complaints(f"http: {{hosts: [Gateway.example.com, '{host}']}}")
    assert line.startswith("http.hosts[1] (tollway.yaml:1): must be the name of a host such as gateway.example.com")
