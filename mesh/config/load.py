"""Reads the configuration: a file, the environment over it, and everything that is wrong with either, at once."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from mesh.config.defaults import with_defaults
from mesh.config.document import Document, parse_yaml
from mesh.config.problems import ConfigError, Problem
from mesh.config.relations import check_names, check_relations
from mesh.config.schema import Config
from mesh.config.variables import apply_variables
from mesh.config.wording import blame


def load(path: Path | None, environ: Mapping[str, str]) -> Config:
    """The configuration in the file (None: there is none) and in the `TOLLWAY_` variables, as it stands.

    What holds where it says nothing about providers or models is for `mesh.config.defaults.with_defaults`. Raises
    ConfigError with every problem.
    """
    document = parse_yaml(_read(path), str(path), environ) if path else Document()
    if document.problems and document.data is None:
        raise ConfigError(document.problems)
    if document.data is not None and not isinstance(document.data, dict):
        document.blame((), "must be a mapping with keys such as providers and models")
        raise ConfigError(document.problems)
    apply_variables(document, environ)
    config = _validate(document)
    named = document.data.get("providers") if document.data else None
    if isinstance(named, dict) and named:
        check_relations(document, named, ("*",))  # where there are providers and no models, any name can be asked for
    else:
        default = with_defaults(Config(), environ)
        check_relations(document, default.providers, default.models)
    check_names(document)
    if config is None or document.problems:
        raise ConfigError(document.problems)
    return config


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise ConfigError([Problem("", None, f"cannot be read: {error.strerror}", str(path))]) from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ConfigError([Problem("", line, "must be UTF-8 text", str(path))]) from None


def _validate(document: Document) -> Config | None:
    try:
        return Config.model_validate(document.data)
    except ValidationError as invalid:
        for error in invalid.errors(include_url=False, include_input=False):
            blame(document, error)
        return None
