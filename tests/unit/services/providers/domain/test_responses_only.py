from __future__ import annotations

import pytest

from services.providers.domain.responses_only import is_openai, needs_responses


@pytest.mark.parametrize(
    "model",
    [
        "o1-pro",
        "o1-pro-2025-03-19",
        "o3-pro",
        "o3-pro-2025-06-10",
        "o3-deep-research",
        "o4-mini-deep-research-2025-06-26",
        "computer-use-preview-2025-03-11",
        "gpt-5-pro",
        "gpt-5-pro-2025-10-06",
        "gpt-5.5-pro-2026-04-23",
        "gpt-5-codex",
        "gpt-5.1-codex-max",
        "codex-mini-latest",
        "gpt-daybreak-blue-latest",
        "gpt-6-cyber",
        "gpt-rosalind-research",
        "gpt-6-rosalind",
    ],
)
def test_a_model_that_only_responses_have_is_known_by_its_name(model: str) -> None:
    assert needs_responses(model)


@pytest.mark.parametrize(
    "model", ["gpt-5", "gpt-5-mini", "o1", "o3-mini", "gpt-4o", "gpt-4o-2024-08-06", "gpt-5-chat-latest", "my-o3-pro-x"]
)
def test_a_model_that_chat_completions_have_is_none_of_them(model: str) -> None:
    assert not needs_responses(model)


@pytest.mark.parametrize(
    ("base_url", "own"),
    [
        ("https://api.openai.com/v1", True),
        ("https://eu.api.openai.com/v1", True),
        ("https://api.openai.com.example.com/v1", False),
        ("https://notapi.openai.com/v1", False),
        ("https://example.openai.azure.com/openai/v1", False),
        ("http://127.0.0.1:9100/v1", False),
        ("", False),
    ],
)
def test_openai_is_known_by_its_host(base_url: str, own: bool) -> None:
    assert is_openai(base_url) is own
