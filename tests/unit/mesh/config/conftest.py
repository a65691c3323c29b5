"""A file to load, and what loading it complains about."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from mesh.config.load import load
from mesh.config.problems import ConfigError, describe
from mesh.config.schema import Config

LoadText = Callable[..., Config]
Complaints = Callable[..., list[str]]


@pytest.fixture
def load_text(tmp_path: Path) -> LoadText:
    """Loads a file with that text, beside that environment."""

    def load_it(text: str, environ: Mapping[str, str] | None = None) -> Config:
        path = tmp_path / "tollway.yaml"
        path.write_bytes(text.encode())
        return load(path, environ or {})

    return load_it


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
