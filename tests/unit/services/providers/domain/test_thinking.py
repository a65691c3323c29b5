from __future__ import annotations

import pytest

from services.providers.domain.thinking import may_be_told_not_to_think, thinks


@pytest.mark.parametrize("model", ["o3", "o4-mini", "gpt-5", "gpt-5.1", "openai/gpt-5-mini", "gpt-5.1-codex-max"])
def test_a_model_of_openais_that_thinks_is_known_by_its_name(model: str) -> None:
    assert thinks(model)
    assert may_be_told_not_to_think(model)


@pytest.mark.parametrize("model", ["gpt-4o", "gpt-4.1", "gpt-5-chat-latest", "gpt-oss-120b", "llama-3.3-70b"])
def test_a_model_that_is_not_known_to_think_is_not_told_not_to(model: str) -> None:
    assert not thinks(model)
    assert not may_be_told_not_to_think(model)


@pytest.mark.parametrize("model", ["qwen/qwen3-32b", "Qwen3-8B", "gemini-2.5-flash"])
def test_models_of_others_that_take_the_word_are_told(model: str) -> None:
    assert may_be_told_not_to_think(model)
