"""What holds where the configuration names no providers, or no models."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mesh.config.defaults import WELL_KNOWN, with_defaults
from mesh.config.load import load
from mesh.config.patterns import find
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


@pytest.mark.parametrize("name", WELL_KNOWN)
def test_a_provider_is_there_when_its_usual_variable_is_set(name: str) -> None:
    variable, base_url = WELL_KNOWN[name]
    config = with_defaults(Config(), {variable: "k-123"})
    provider = config.providers[name]
    assert (provider.dialect, provider.base_url) == ("openai", base_url)
    assert provider.api_key.get_secret_value() == "k-123"
    assert targets(config) == {"sim": "sim:sim", "sim/*": "sim:", f"{name}/*": f"{name}:", "*": f"{name}:"}


@pytest.mark.parametrize("key", ["", "  "])
def test_an_empty_variable_offers_no_provider(key: str) -> None:
    assert list(with_defaults(Config(), {"OPENAI_API_KEY": key}).providers) == ["sim"]


def test_other_names_go_to_the_first_provider_of_the_table() -> None:
    config = with_defaults(Config(), {"GROQ_API_KEY": "g", "OPENAI_API_KEY": "o"})
    assert list(config.providers) == ["sim", "openai", "groq"]
    assert targets(config)["*"] == "openai:"


def test_with_providers_and_no_models_each_has_its_own_names(load_text: LoadText) -> None:
    config = with_defaults(load_text("providers: {fake: {dialect: sim}, b: , a: }"), {"OPENAI_API_KEY": "x"})
    assert list(config.providers) == ["fake", "b", "a"]
    assert targets(config) == {"fake": "fake:sim", "fake/*": "fake:", "b/*": "b:", "a/*": "a:", "*": "b:"}


def test_where_only_sims_were_asked_for_other_names_go_to_the_first(load_text: LoadText) -> None:
    config = with_defaults(load_text("providers: {one: {dialect: sim}, two: {dialect: sim}}"), {})
    assert targets(config)["*"] == "one:"


def test_models_of_ones_own_stand_alone(load_text: LoadText) -> None:
    config = with_defaults(load_text("models: {m: {deployments: [{provider: openai}]}}", {"OPENAI_API_KEY": "x"}),
                           {"OPENAI_API_KEY": "x"})  # fmt: skip
    assert list(config.models) == ["m"]
    assert list(config.providers) == ["sim", "openai"]


def test_the_defaults_are_configurations_that_could_have_been_written() -> None:
    config = with_defaults(load(None, {}), {variable: "k" for variable, _ in WELL_KNOWN.values()})
    written = config.model_dump(exclude_unset=True, context={"secrets": True})
    for provider in written["providers"].values():
        provider["api_key"] = "k"
    assert Config.model_validate(written).models == config.models
    assert list(Config.model_validate(written).providers) == ["sim", *WELL_KNOWN]
