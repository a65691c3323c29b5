"""A file to load, and what loading it complains about."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from mesh.config.load import load
from mesh.config.presets import Known, Preset
from mesh.config.problems import ConfigError, describe
from mesh.config.schema import Config

KNOWN = Known(
    ("azure", "bedrock", "gemini", "openai", "sim"),
    {
        "azure": Preset("azure", key_variable="AZURE_OPENAI_API_KEY", catalogue="azure"),
        "bedrock": Preset("bedrock", credentials="aws"),
        "cohere": Preset("cohere", "https://api.cohere.com", "COHERE_API_KEY"),  # whose dialect is not there
        "gemini": Preset("gemini", "https://gemini.example.com", "GEMINI_API_KEY", catalogue="google"),
        "groq": Preset("openai", "https://api.groq.com/openai/v1", "GROQ_API_KEY", place=2),
        "openai": Preset("openai", "https://api.openai.com/v1", "OPENAI_API_KEY", place=1),
        "vertex": Preset("gemini", credentials="google"),
        "vllm": Preset("openai", "http://127.0.0.1:8000/v1", catalogue="none"),
    },
)
"""As the services would have them, but fewer."""

LoadText = Callable[..., Config]
Complaints = Callable[..., list[str]]


@pytest.fixture
def load_text(tmp_path: Path) -> LoadText:
    """Loads a file with that text, beside that environment."""

    def load_it(text: str, environ: Mapping[str, str] | None = None) -> Config:
        path = tmp_path / "tollway.yaml"
        path.write_bytes(text.encode())
        return load(path, environ or {}, KNOWN)

    return load_it


@pytest.fixture
def known() -> Known:
    return KNOWN


@pytest.fixture
def complaints(load_text: LoadText, tmp_path: Path) -> Complaints:
    """What is said about a file with that text; none if it loads. The file is called tollway.yaml."""

    def complain(text: str, environ: Mapping[str, str] | None = None) -> list[str]:
        try:
            load_text(text, environ)
        except ConfigError as error:
            return [line.replace(f"{tmp_path}/", "") for line in describe(error.problems)]
        return []

    return complain
