"""Any key from the environment."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mesh.config.load import load
from mesh.config.schema import Config, Drain

LoadText = Callable[..., Config]
Complaints = Callable[..., list[str]]


def test_a_variable_sets_a_key_with_no_file_at_all() -> None:
    config = load(None, {"TOLLWAY_HTTP__LISTEN": "[::1]:9000", "TOLLWAY_TELEMETRY__CONTENT": "true"})
    assert config.http.listen == "[::1]:9000"
    assert config.telemetry.content is True


def test_a_variable_stands_before_the_file(load_text: LoadText) -> None:
    config = load_text("http: {listen: '127.0.0.1:1', drain: 7s}", {"TOLLWAY_HTTP__LISTEN": "127.0.0.1:2"})
    assert (config.http.listen, config.http.drain) == ("127.0.0.1:2", 7.0)


@pytest.mark.parametrize("name", ["TOLLWAY_HTTP__MAX_BODY", "tollway_http__max_body", "Tollway_Http__Max_Body"])
def test_capital_letters_make_no_difference(name: str) -> None:
    assert load(None, {name: "8MiB"}).http.max_body == 8 * 2**20


def test_free_names_are_found_by_what_they_read_like(load_text: LoadText) -> None:
    config = load_text(
        "providers: {azure-eu: }\nmodels:\n  gpt-4.1:\n    deployments: [{provider: azure-eu}, {provider: azure-eu}]",
        {
            "TOLLWAY_PROVIDERS__AZURE_EU__API_KEY": "sk-1",
            "TOLLWAY_PROVIDERS__LOCAL__BASE_URL": "http://l",
            "TOLLWAY_MODELS__GPT_4_1__DEPLOYMENTS__1__MODEL": "m",
            "TOLLWAY_MODELS__GPT_4_1__DEPLOYMENTS__2": "{provider: local, weight: 3}",
        },
    )
    assert list(config.providers) == ["azure-eu", "local"]
    assert config.providers["azure-eu"].api_key.get_secret_value() == "sk-1"
    assert [it.model for it in config.models["gpt-4.1"].deployments] == ["", "m", ""]
    assert config.models["gpt-4.1"].deployments[2].weight == 3


def test_mappings_and_lists_are_written_as_yaml(load_text: LoadText) -> None:
    config = load_text(
        "models: {old: {deployments: [{provider: sim}]}}",
        {
            "TOLLWAY_MODELS": "{new: {deployments: [{provider: sim}], fallbacks: [new]}}",
            "TOLLWAY_MODELS__NEW__DESCRIPTION": "{not: yaml",
            "TOLLWAY_PRICES": "[{provider: sim, input: 0.1, output: $0.2}]",
        },
    )
    assert list(config.models) == ["new"]
    assert config.models["new"].description == "{not: yaml"
    assert config.prices[0].input == 100_000_000


def test_a_value_is_text_as_it_is_where_text_is_wanted() -> None:
    key = "*abc#[x]: ${HOME}"
    config = load(None, {"TOLLWAY_PROVIDERS__A__HEADERS__X_KEY": key})
    assert config.providers["a"].headers == {"x_key": key}


def test_a_mapping_can_take_the_place_of_a_word(load_text: LoadText) -> None:
    environ = {"TOLLWAY_PROVIDERS__A__ON_DISCONNECT__DRAIN": "9s", "TOLLWAY_PROVIDERS__B__ON_DISCONNECT": "cancel"}
    config = load_text("providers: {a: {on_disconnect: cancel}, b: {on_disconnect: {drain: 1s}}}", environ)
    assert config.providers["a"].on_disconnect == Drain.model_validate({"drain": "9s"})
    assert config.providers["b"].on_disconnect == "cancel"


def test_an_empty_variable_counts_as_not_set() -> None:
    assert load(None, {"TOLLWAY_HTTP__LISTEN": "", "TOLLWAY_NONSENSE": ""}) == Config()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TOLLWAY_CONFIG", "x.yaml"),
        ("TOLLWAY_DATA_DIR", "/data"),
        ("TOLLWAY_PORT", "tcp://10.0.0.1:80"),
        ("TOLLWAY_ROUTER_PORT", "tcp://10.0.0.1:80"),
        ("TOLLWAY_SERVICE_HOST", "10.0.0.1"),
        ("TOLLWAY_SERVICE_PORT_HTTP_API", "80"),
        ("TOLLWAY_PORT_8080_TCP", "tcp://10.0.0.1:8080"),
        ("TOLLWAY_PORT_8080_TCP_ADDR", "10.0.0.1"),
        ("TOLLWAYS", "x"),
        ("HOME", "/root"),
    ],
)
def test_variables_that_are_not_keys_are_left_alone(name: str, value: str) -> None:
    assert load(None, {name: value}) == Config()


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        ("TOLLWAY_HTTP_LISTEN", "x",
         "http_listen (TOLLWAY_HTTP_LISTEN): unknown key; did you mean TOLLWAY_HTTP__LISTEN?"),
        ("TOLLWAY_HTTP__LISTN", "x",
         "http.listn (TOLLWAY_HTTP__LISTN): unknown key; did you mean TOLLWAY_HTTP__LISTEN?"),
        ("TOLLWAY_HTTP__X", "1", "http.x (TOLLWAY_HTTP__X): unknown key; there are listen, hosts, max_body, "
         "max_messages, body_timeout, drain"),
        ("TOLLWAY_KEYS__1__NAME", "x",
         "TOLLWAY_KEYS__1__NAME: must say which of the list it means: 0, for its first"),
        ("TOLLWAY_HTPP__X", "x", "htpp (TOLLWAY_HTPP__X): unknown key; did you mean http?"),
        ("TOLLWAY_PORT", "80",
         "port (TOLLWAY_PORT): unknown key; there are providers, models, defaults, prices, budgets, limits, rules, "
         "keys, ledger, journal, state, idempotency, cache, telemetry, http, grpc"),
        ("TOLLWAY_PROVIDERS__A__API_KEE", "k", "providers.a.api_kee (TOLLWAY_PROVIDERS__A__API_KEE): unknown key; "
         "did you mean api_key?"),
        ("TOLLWAY_HTTP__LISTEN", "80", "http.listen (TOLLWAY_HTTP__LISTEN): must be an address such as 127.0.0.1:8080, "
         "[::1]:8080 or unix:/run/tollway.sock, not 80"),
        ("TOLLWAY_HTTP", "5", "http (TOLLWAY_HTTP): must be a mapping of keys to values, not 5"),
        ("TOLLWAY_HTTP", "{", "http (TOLLWAY_HTTP): not valid YAML: did not find expected node content"),
        ("TOLLWAY_HTTP", "{drain: 1s, drain: 2s}", "http.drain (TOLLWAY_HTTP): is given twice"),
        ("TOLLWAY_HTTP__", "x", "TOLLWAY_HTTP__: names no key: two underscores stand between keys"),
        ("TOLLWAY___HTTP__X", "x", "TOLLWAY___HTTP__X: names no key: two underscores stand between keys"),
        ("TOLLWAY_HTTP__LISTEN__X", "x", "http.listen (TOLLWAY_HTTP__LISTEN__X): must be text"),
    ],
)  # fmt: skip
def test_a_variable_that_is_wrong_is_named(complaints: Complaints, name: str, value: str, line: str) -> None:
    assert complaints("", {name: value}) == [line]


def test_a_list_is_gone_into_by_number(complaints: Complaints) -> None:
    text = "prices: [{provider: a, input: 1, output: 1}]"
    for name in ("TOLLWAY_PRICES__2__INPUT", "TOLLWAY_PRICES__FIRST__INPUT"):
        assert complaints(text, {name: "2"}) == [f"{name}: must say which of the list it means: a number up to 1"]


def test_a_list_that_no_file_has_begins_with_its_first_entry(load_text: LoadText) -> None:
    environ = {f"TOLLWAY_KEYS__{number}__NAME": f"k{number}" for number in range(12)}
    environ |= {f"TOLLWAY_KEYS__{number}__KEY": f"tw-0123456789abcdef{number}" for number in range(12)}
    environ |= {"TOLLWAY_KEYS__0__CACHE__TTL": "5m", "tollway_keys__1__tags__0": "nightly"}
    for config in (load(None, environ), load_text("keys:\n", environ)):
        assert [key.name for key in config.keys] == [f"k{number}" for number in range(12)]
        assert config.keys[0].cache is not None
        assert config.keys[0].cache.ttl == 300
        assert config.keys[1].tags == ("nightly",)
    assert load(None, {"TOLLWAY_PROVIDERS__A__API_KEY_COMMAND__0": "print-key"}).providers["a"].api_key_command == (
        "print-key",
    )


def test_a_name_that_fits_two_is_refused(complaints: Complaints) -> None:
    text = "providers: {a-b: , a_b: }"
    for rest in ("", "__API_KEY"):
        name = f"TOLLWAY_PROVIDERS__A_B{rest}"
        assert complaints(text, {name: "x"}) == [f"{name}: could mean any of a-b, a_b"]


def test_a_variable_mends_what_the_file_got_wrong(load_text: LoadText) -> None:
    config = load_text("http: {listen: nonsense}", {"TOLLWAY_HTTP__LISTEN": "127.0.0.1:1"})
    assert config.http.listen == "127.0.0.1:1"


def test_a_null_section_in_the_file_is_filled_by_a_variable(tmp_path: Path) -> None:
    path = tmp_path / "t.yaml"
    path.write_text("http:\n")
    assert load(path, {"TOLLWAY_HTTP__DRAIN": "1s"}).http.drain == 1.0
    assert load(path, {"TOLLWAY_HTTP": "# nothing"}) == Config()
