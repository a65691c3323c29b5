"""What holds where the configuration names no providers, or no models."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mesh.config.defaults import with_defaults
from mesh.config.load import load
from mesh.config.patterns import find
from mesh.config.presets import Known
from mesh.config.schema import Config

LoadText = Callable[..., Config]


def targets(config: Config) -> dict[str, str]:
    return {
        name: f"{model.deployments[0].provider}:{model.deployments[0].model}" for name, model in config.models.items()
    }


def test_with_nothing_at_all_there_is_the_sim_and_other_names_are_no_models() -> None:
    config = with_defaults(Config(), {})
    assert {name: provider.dialect for name, provider in config.providers.items()} == {"sim": "sim"}
    assert targets(config) == {"sim": "sim:sim", "sim/*": "sim:"}
    assert find(config.models, "gpt-4o") is None


def test_a_provider_is_there_when_its_usual_variable_is_set(known: Known) -> None:
    config = with_defaults(Config(), {"GROQ_API_KEY": " k-123\n"}, known)
    provider = config.providers["groq"]
    assert (provider.preset, provider.dialect, provider.base_url) == (
        "groq",
        "openai",
        "https://api.groq.com/openai/v1",
    )
    assert provider.api_key.get_secret_value() == "k-123"
    assert targets(config) == {"sim": "sim:sim", "sim/*": "sim:", "groq/*": "groq:", "*": "groq:"}


@pytest.mark.parametrize(
    "variable",
    ["AZURE_OPENAI_API_KEY", "COHERE_API_KEY"],
    ids=["whose address is everyone's own", "whose dialect is not there"],
)
def test_a_key_is_not_enough_for_a_provider(variable: str, known: Known) -> None:
    assert list(with_defaults(Config(), {variable: "k"}, known).providers) == ["sim"]


@pytest.mark.parametrize("key", ["", "  "])
def test_an_empty_variable_offers_no_provider(key: str, known: Known) -> None:
    assert list(with_defaults(Config(), {"OPENAI_API_KEY": key}, known).providers) == ["sim"]


def test_other_names_go_to_the_first_provider_by_its_place(known: Known) -> None:
    config = with_defaults(Config(), {"GEMINI_API_KEY": "m", "GROQ_API_KEY": "g", "OPENAI_API_KEY": "o"}, known)
    assert list(config.providers) == ["sim", "openai", "groq", "gemini"]
    assert targets(config)["*"] == "openai:"


def test_with_providers_and_no_models_each_has_its_own_names(load_text: LoadText) -> None:
    config = with_defaults(load_text("providers: {fake: {dialect: sim}, b: , a: }"), {"OPENAI_API_KEY": "x"})
    assert list(config.providers) == ["fake", "b", "a"]
    assert targets(config) == {"fake": "fake:sim", "fake/*": "fake:", "b/*": "b:", "a/*": "a:", "*": "b:"}


def test_where_only_sims_were_asked_for_other_names_go_to_the_first(load_text: LoadText) -> None:
    config = with_defaults(load_text("providers: {one: {dialect: sim}, two: {dialect: sim}}"), {})
    assert targets(config)["*"] == "one:"


def test_models_of_ones_own_stand_alone(load_text: LoadText, known: Known) -> None:
    environ = {"OPENAI_API_KEY": "x"}
    config = with_defaults(load_text("models: {m: {deployments: [{provider: openai}]}}", environ), environ, known)
    assert list(config.models) == ["m"]
    assert list(config.providers) == ["sim", "openai"]


def test_the_defaults_are_configurations_that_could_have_been_written(known: Known) -> None:
    config = with_defaults(load(None, {}), {preset.key_variable: "k" for preset in known.presets.values()}, known)
    written = config.model_dump(exclude_unset=True)
    for provider in written["providers"].values():
        provider["api_key"] = "k"
    assert Config.model_validate(written).models == config.models
    assert list(Config.model_validate(written).providers) == ["sim", "openai", "groq", "gemini"]
