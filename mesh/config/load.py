"""Reads the configuration: a file, the environment over it, and everything that is wrong with either, at once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from mesh.config.callees import check_callees
from mesh.config.defaults import with_defaults
from mesh.config.document import Document, parse_yaml
from mesh.config.presets import NOTHING, Known
from mesh.config.problems import ConfigError, Problem
from mesh.config.relations import check_names, check_relations
from mesh.config.schema import Config, PriceEntry
from mesh.config.variables import apply_variables
from mesh.config.wording import blame


def load(path: Path | None, environ: Mapping[str, str], known: Known = NOTHING) -> Config:
    """The configuration in the file (None: there is none) and in the `TOLLWAY_` variables, as it stands.

    `known` are the dialects and presets that it may name. What holds where it says nothing about providers or models is
    for `mesh.config.defaults.with_defaults`. Raises ConfigError with every problem.
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
        check_callees(document, known)
        check_relations(document, named, ("*",))  # where there are providers and no models, any name can be asked for
    else:
        default = with_defaults(Config(), environ, known)
        check_relations(document, default.providers, default.models)
    check_names(document)
    if config is None or document.problems:
        raise ConfigError(document.problems)
    return config


def read_price(provider: str, model: str, terms: str) -> PriceEntry:
    """An entry of `prices` as people type one: `input: 1.25, output: 10`. Raises ConfigError with every problem."""
    inner = terms.strip()
    if inner.startswith("{") and inner.endswith("}"):
        inner = inner[1:-1]
    named = f"provider: {json.dumps(provider)}, model: {json.dumps(model)}"
    document = parse_yaml(f"prices: [{{{named}, {inner}}}]", "", {})
    if document.data is None:
        raise ConfigError(document.problems)
    config = _validate(document)
    check_names(document)
    if config is not None and (len(config.prices) != 1 or config.model_fields_set != {"prices"}):
        document.blame((), "must be what one entry of prices says, such as input: 1.25, output: 10")
    if config is None or document.problems:
        raise ConfigError(document.problems)
    return config.prices[0]


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
