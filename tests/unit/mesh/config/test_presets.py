"""What a preset says where a provider does not say its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from mesh.config.defaults import with_defaults
from mesh.config.presets import Known
from mesh.config.schema import Config, Provider

LoadText = Callable[..., Config]
KEYS = {"GROQ_API_KEY": "gsk-1", "OPENAI_API_KEY": "sk-1", "GEMINI_API_KEY": "gm-1", "AZURE_OPENAI_API_KEY": "az-1"}


@pytest.fixture
def provider(load_text: LoadText, known: Known) -> Callable[..., Provider]:
    """The one provider of a file, as it holds."""

    def load(text: str, environ: Mapping[str, str] = KEYS) -> Provider:
        (only,) = with_defaults(load_text(f"providers: {{{text}}}", environ), environ, known).providers.values()
        return only

    return load


Load = Callable[..., Provider]


def key_of(provider: Provider) -> str:
    return provider.api_key.get_secret_value()


@pytest.mark.parametrize("text", ["groq: ", "fast: {preset: groq}", "groq: {headers: {x-team: a}}"])
def test_a_name_is_enough(provider: Load, text: str) -> None:
    found = provider(text)
    assert (found.preset, found.dialect, found.base_url) == ("groq", "openai", "https://api.groq.com/openai/v1")
    assert key_of(found) == "gsk-1"


def test_what_is_written_stands_before_the_preset(provider: Load) -> None:
    found = provider("gemini: {base_url: 'http://127.0.0.1:1', api_key: mine, catalogue: none}")
    assert (found.base_url, key_of(found), found.catalogue) == ("http://127.0.0.1:1", "mine", "none")
    assert (found.preset, found.dialect) == ("gemini", "gemini")


def test_a_key_of_the_usual_variable_goes_to_the_usual_address_alone(provider: Load) -> None:
    assert key_of(provider("groq: {base_url: 'http://elsewhere.example.com/v1'}")) == ""
    assert key_of(provider("groq: {base_url: 'https://api.groq.com/openai/v1/'}")) == "gsk-1"


def test_where_everyone_has_an_address_of_their_own_the_usual_variable_holds(provider: Load) -> None:
    found = provider("eu: {preset: azure, base_url: 'https://eu.openai.azure.com'}")
    assert (found.dialect, key_of(found), found.catalogue) == ("azure", "az-1", "azure")


@pytest.mark.parametrize("own", ["api_key: ''", "api_key_file: /run/key", "api_key_command: pass show groq"])
def test_a_provider_that_says_where_its_key_is_gets_no_other(provider: Load, own: str) -> None:
    assert key_of(provider(f"groq: {{{own}}}".replace("''", '""'))) == ""


def test_a_namesake_of_another_dialect_is_somebody_else(provider: Load) -> None:
    found = provider("groq: {dialect: sim}")
    assert (found.preset, found.dialect, found.base_url, key_of(found)) == ("", "sim", "", "")


def test_a_dialect_of_one_maker_brings_its_address_and_key(provider: Load) -> None:
    found = provider("mine: {dialect: gemini}")
    assert (found.preset, found.base_url, key_of(found)) == ("gemini", "https://gemini.example.com", "gm-1")


def test_a_server_that_speaks_openais_dialect_is_not_sent_openais_key(provider: Load) -> None:
    found = provider("mine: {dialect: openai}")
    assert (found.preset, found.base_url, key_of(found)) == ("", "", "")


def test_what_costs_nothing_is_not_looked_up_in_the_catalogue(provider: Load) -> None:
    assert provider("vllm: {base_url: 'http://gpu:8000/v1'}").catalogue == "none"


def test_credentials_are_of_the_presets_kind_where_none_is_said(provider: Load) -> None:
    found = provider("bedrock: {credentials: {region: eu-central-1}}")
    assert (found.credentials.kind, found.credentials.region, key_of(found)) == ("aws", "eu-central-1", "")
    found = provider("a: {preset: azure, base_url: 'https://a', credentials: {kind: entra}}")
    assert (found.credentials.kind, key_of(found)) == ("entra", "")


def test_no_secret_shows_in_a_configurations_text_form(provider: Load) -> None:
    found = provider(
        "bedrock: {credentials: {region: r, access_key_id: AKIAEXAMPLE, secret_access_key: wJalr, session_token: FwoG}}"
    )
    printed = repr(found) + str(found) + repr(provider("x: {api_key_command: 'vault read token-1'}"))
    assert not any(secret in printed for secret in ("AKIAEXAMPLE", "wJalr", "FwoG", "token-1"))
