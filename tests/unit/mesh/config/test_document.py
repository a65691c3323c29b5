"""What is written in a file: YAML, and references to the environment."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mesh.config.load import load
from mesh.config.problems import ConfigError, describe
from mesh.config.schema import Config

LoadText = Callable[..., Config]
Complaints = Callable[..., list[str]]


def test_no_file_at_all_is_the_default_configuration() -> None:
    assert load(None, {}) == Config()


@pytest.mark.parametrize(
    "text", ["", "\n# nothing\n", "---\n", "{}", "\ufeff{}", "providers:\n", "telemetry:\nhttp: ~\n"]
)
def test_a_file_with_nothing_in_it_is_the_default_configuration(load_text: LoadText, text: str) -> None:
    assert load_text(text) == Config()


def test_a_key_with_nothing_behind_it_stands_for_its_default(load_text: LoadText) -> None:
    config = load_text("providers:\n  openai:\nhttp: {listen: null, max_body: }")
    assert list(config.providers) == ["openai"]
    assert config.providers["openai"].dialect == "openai"
    assert config.http == Config().http


def test_numbers_mean_what_the_key_wants_them_to_mean(load_text: LoadText) -> None:
    config = load_text("""
providers:
  a: {api_key: 0123, headers: {x-version: 1.10, x-on: yes}}
models:
  4: {deployments: [{provider: a, model: 4.10, weight: "2"}]}
  on: {deployments: [{provider: a, model: 1:30}]}
telemetry: {content: yes, sample: 1e-2}
""")
    assert config.providers["a"].api_key.get_secret_value() == "0123"
    assert config.providers["a"].headers == {"x-version": "1.10", "x-on": "yes"}
    assert config.models["4"].deployments[0].model == "4.10"
    assert config.models["4"].deployments[0].weight == 2
    assert config.models["on"].deployments[0].model == "1:30"
    assert config.telemetry.content is True
    assert config.telemetry.sample == 0.01


@pytest.mark.parametrize("written", ["$0.0001", "0.0001", "'0.0001'", "0.000100000", "$0.000100000"])
def test_money_is_exact_with_and_without_a_sign(load_text: LoadText, written: str) -> None:
    (price,) = load_text(f"prices: [{{provider: a, input: {written}, output: 98765.123456789}}]").prices
    assert price.input == 100_000
    assert price.output == 98_765_123_456_789


def test_variables_are_put_in_where_a_value_names_them(load_text: LoadText) -> None:
    config = load_text(
        'providers: {a: {api_key: "${KEY}", base_url: "http://${HOST:-localhost}:${PORT:-80}/v1"}}\n'
        'models: {m: {deployments: [{provider: a}], description: "${EMPTY:-full} ${EMPTY}$${KEY} $5 ${UNSET:-}"}}',
        {"KEY": "sk:#1", "PORT": "9100", "EMPTY": ""},
    )
    assert config.providers["a"].base_url == "http://localhost:9100/v1"
    assert config.providers["a"].api_key.get_secret_value() == "sk:#1"
    assert config.models["m"].description == "full ${KEY} $5 "


def test_what_a_variable_holds_is_not_taken_for_yaml_or_for_another_reference(load_text: LoadText) -> None:
    config = load_text('models: {m: {deployments: [{provider: sim}], description: "${A}"}}', {"A": "{x: ${B}} # *y"})
    assert config.models["m"].description == "{x: ${B}} # *y"


def test_a_variable_that_is_not_set_is_named(complaints: Complaints) -> None:
    assert complaints("providers:\n  openai: {api_key: '${OPENAI_KEY}'}") == [
        "providers.openai.api_key (tollway.yaml:2): the environment variable OPENAI_KEY is not set, "
        "and ${OPENAI_KEY} has no default"
    ]


@pytest.mark.parametrize("reference", ["${", "${}", "${A-b}", "${1A}", "${A:b}", "${ A }"])
def test_a_reference_that_is_none_is_told_with_the_forms_there_are(complaints: Complaints, reference: str) -> None:
    (line,) = complaints(f"ledger: {{url: 'sqlite:///{reference}'}}", {"A": "a"})
    assert line == (
        "ledger.url (tollway.yaml:1): has a ${ that begins neither ${NAME} nor ${NAME:-default}; write $${ for ${"
    )


def test_anchors_and_merge_keys_work_and_own_keys_win(load_text: LoadText) -> None:
    config = load_text("""
providers:
  a: &a {base_url: "http://a/v1", on_disconnect: {drain: 3s}}
  b: {base_url: "http://b/v1", <<: *a}
  c: {<<: [{dialect: sim}, *a]}
models:
  m: {deployments: &d [{provider: a}]}
  n: {deployments: *d}
""")
    assert config.providers["b"].base_url == "http://b/v1"
    assert config.providers["b"].on_disconnect == config.providers["a"].on_disconnect
    assert (config.providers["c"].dialect, config.providers["c"].base_url) == ("sim", "http://a/v1")
    assert config.models["m"] == config.models["n"]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a: [1, }", "tollway.yaml:1: not valid YAML: did not find expected node content"),
        ("http:\n\tlisten: x", "tollway.yaml:2: not valid YAML: found character that cannot start any token"),
        ("http: {}\n---\nhttp: {}", "tollway.yaml:2: not valid YAML: but found another document"),
        ("a: \0", "tollway.yaml: not valid YAML: control characters are not allowed"),
        (
            "models:\n  *: {}",
            "tollway.yaml:2: not valid YAML: did not find expected alphabetic or numeric character; "
            'a name that begins with * or & must be quoted: "*"',
        ),
        ("- a", "tollway.yaml:1: must be a mapping with keys such as providers and models"),
        ("text", "tollway.yaml:1: must be a mapping with keys such as providers and models"),
        (
            "http: !secret {}",
            "http (tollway.yaml:1): has a YAML tag (!secret), which nothing here understands",
        ),
        ("http: {? [a] : b}", "http (tollway.yaml:1): must have text as its keys"),
        ("http: &a {tls: *a}", "http.tls (tollway.yaml:1): must not contain itself"),
        ("http: " + "[" * 5000 + "]" * 5000, "tollway.yaml: nests too deep"),
        ("http: {<<: x}", "http (tollway.yaml:1): can merge (<<) mappings only"),
    ],
)  # fmt: skip
def test_bad_yaml_is_told_with_its_line(complaints: Complaints, text: str, line: str) -> None:
    assert complaints(text) == [line]


def test_a_key_that_is_given_twice_is_told_with_both_lines(complaints: Complaints) -> None:
    assert complaints("http:\n  drain: 1s\n  listen: ':'\n  drain: 2s\n") == [
        "http.listen (tollway.yaml:3): must be an address such as 127.0.0.1:8080, [::1]:8080 or "
        "unix:/run/tollway.sock, not :",
        "http.drain (tollway.yaml:4): is given twice; first on line 2",
    ]


def test_a_file_that_is_not_there_is_said_to_be_unreadable(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "none.yaml", {})
    assert describe(caught.value.problems) == [f"{tmp_path}/none.yaml: cannot be read: No such file or directory"]
    assert str(caught.value) == f"{tmp_path}/none.yaml: cannot be read: No such file or directory"


def test_a_file_in_another_encoding_is_told_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "tollway.yaml"
    path.write_bytes(b"# fine\nhttp: {}\n# caf\xe9\n")
    with pytest.raises(ConfigError) as caught:
        load(path, {})
    assert describe(caught.value.problems) == [f"{path}:3: must be UTF-8 text"]
