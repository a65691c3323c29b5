"""Presets: that each is what the code understands, and that they cost nothing until they are asked for."""

from __future__ import annotations

import time
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from mesh.config.addresses import parse_http_url
from mesh.config.defaults import with_defaults
from mesh.config.names import problem_of_provider
from mesh.config.schema import Config
from services.providers import presets
from services.providers.adapters import dialect_names
from services.providers.bootstrap import dialect_named, dialect_of
from services.providers.domain.features import FEATURES
from services.providers.domain.quirks import NO_QUIRKS
from services.providers.domain.unsaid import Unsaid
from services.providers.presets import Presets
from tests.unit.services.providers.adapters.test_supports import QUESTIONS, asking
from tollway.chat.v1 import chat_pb2
from tollway_cli.configuration import known_providers

NAMES = list(Presets())
SERVED_BEFORE = (
    "openai openrouter mistral groq deepseek xai together fireworks cerebras gemini moonshot sambanova nvidia deepinfra"
)
LOCAL = ("ollama", "vllm", "sglang", "llamacpp", "lmstudio")


def entry_of(name: str) -> presets.Entry:
    entry = presets.entry(name)
    assert entry is not None
    return entry


def test_there_is_one_for_everyone_people_use() -> None:
    others = "perplexity huggingface azure anthropic vertex bedrock cohere"
    assert set(NAMES) == {*SERVED_BEFORE.split(), *LOCAL, *others.split()}


def test_those_who_need_a_key_alone_are_served_in_their_order() -> None:
    environ = {entry_of(name).known.key_variable: "k" for name in NAMES}
    served = list(with_defaults(Config(), environ, known_providers()).providers)
    assert served == ["sim", *SERVED_BEFORE.split(), "anthropic", "cohere", "huggingface", "perplexity"]


@pytest.mark.parametrize("name", NAMES)
def test_each_is_what_the_code_understands(name: str) -> None:
    preset = entry_of(name).known
    assert problem_of_provider(name) is None
    assert preset.dialect in dialect_names()
    assert parse_http_url(preset.base_url or "http://h") in (preset.base_url, "http://h")
    assert preset.credentials in ("", "aws", "google")
    assert bool(preset.key_variable) != (name in LOCAL or preset.credentials != "")
    assert entry_of(name).lacks <= FEATURES.keys()


@pytest.mark.parametrize("name", sorted({entry_of(name).known.dialect for name in NAMES} & set(dialect_names())))
def test_a_dialect_that_presets_have_quirks_in_can_be_bound_to_them(name: str) -> None:
    module: Any = import_module(f"services.providers.adapters.{name}")
    quirky = [entry_of(each).quirks for each in NAMES if entry_of(each).known.dialect == name]
    for quirks in quirky:
        assert (dialect_named(name, quirks) is module) == (quirks == NO_QUIRKS)


@pytest.mark.parametrize("name", [name for name in NAMES if name in dialect_names() and entry_of(name).known.base_url])
def test_the_preset_of_a_dialects_maker_has_the_dialects_own_address(name: str) -> None:
    assert entry_of(name).known.base_url == dialect_named(name).default_base_url


@pytest.mark.parametrize("name", dialect_names())
def test_what_an_adapter_supports_is_said_in_words_that_are_known(name: str) -> None:
    module: Any = import_module(f"services.providers.adapters.{name}")
    assert module.supports <= FEATURES.keys()


def test_what_cannot_be_told_a_provider_is_not_among_what_it_supports() -> None:
    every = frozenset(FEATURES)
    groq = presets.supported(every, entry_of("groq"))
    assert not groq & {"logprobs", "logit_bias", "embeddings", "cache_control", "reasoning_proof", "n"}
    assert groq >= {"chat", "stream", "tools", "developer", "service_tier"}
    assert presets.supported(every, entry_of("openrouter")) >= {"cache_control", "reasoning_proof"}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("title = ", "Invalid value"),
        ('dialect = "openai"', "title"),
        ('title = "T"', "dialect"),
        ('title = "T"\ndialect = "openai"\nbase_ulr = "x"', "base_ulr"),
        ('title = "T"\ndialect = "openai"\n[quirks]\nrefuse = ["n"]', "refuse"),
    ],
)
def test_a_file_that_is_no_preset_is_named(tmp_path: Path, text: str, complaint: str) -> None:
    file = tmp_path / "made_up.toml"
    file.write_text(text)
    with pytest.raises(ValueError, match=rf"made_up.toml is not a preset: .*{complaint}"):
        presets.read(file)


def test_all_of_them_are_read_in_milliseconds_and_none_before_it_is_asked_for() -> None:
    presets.read.cache_clear()
    known = known_providers()
    assert "groq" in known.presets
    assert presets.read.cache_info().currsize == 0
    began = time.process_time()
    assert [known.presets[name].dialect for name in known.presets]
    assert time.process_time() - began < 0.1  # five milliseconds where nothing else runs


def test_the_dialects_are_the_modules_that_can_encode_a_question() -> None:
    assert {"azure", "openai"} <= set(dialect_names())
    assert not {"transport", "credentials", "entra_credentials", "sim", "__init__"} & set(dialect_names())
    assert all(callable(dialect_named(name).encode_request) for name in dialect_names())


TELLING = {
    **{name: chat for name, chat in QUESTIONS.items() if name != "reasoning"},
    "reasoning": asking(reasoning_effort="high"),
    "developer": chat_pb2.ChatRequest(
        messages=[
            chat_pb2.Message(role=chat_pb2.ROLE_DEVELOPER, content=[chat_pb2.ContentPart(text="Be brief.")]),
            *asking().messages,
        ]
    ),
}
IN_ITS_WAY = {
    ("anthropic", "service_tier"): asking(service_tier="auto"),
    ("cohere", "reasoning"): QUESTIONS["reasoning"],  # by a budget alone
}
MODELS = {"anthropic": "claude-opus-4-6", "bedrock": "anthropic.claude-opus-4-6-v1", "gemini": "gemini-2.5-pro"}


@pytest.mark.parametrize("name", NAMES)
def test_what_a_provider_is_said_to_support_it_can_be_told(name: str) -> None:
    entry = entry_of(name)
    module: Any = import_module(f"services.providers.adapters.{entry.known.dialect}")
    for feature in TELLING.keys() & presets.supported(module.supports, entry):
        chat, unsaid = IN_ITS_WAY.get((name, feature), TELLING[feature]), Unsaid()
        dialect_of(name).encode_request(chat, MODELS.get(entry.known.dialect, "m"), False, unsaid)
        assert unsaid.dropped == [], feature


@pytest.mark.parametrize("name", [name for name in NAMES if entry_of(name).quirks != NO_QUIRKS])
def test_what_a_quirk_takes_away_is_not_sent(name: str) -> None:
    entry = entry_of(name)
    for feature in frozenset(FEATURES) - presets.supported(frozenset(FEATURES), entry) - entry.lacks:
        if feature in TELLING and feature != "developer":
            unsaid = Unsaid(allowed=True)
            dialect_of(name).encode_request(TELLING[feature], "m", False, unsaid)
            assert unsaid.dropped, feature
