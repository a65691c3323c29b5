"""What only shows when parts of a configuration are held against each other.

Looks at what was written rather than at the validated sections, so that these problems are told together with those of
the schema; whatever has the wrong shape is left for the schema to complain about.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from mesh.config.document import Document
from mesh.config.names import problem_of_header, problem_of_model, problem_of_provider
from mesh.config.patterns import find
from mesh.config.problems import KeyPath
from mesh.config.wording import nearest


def check_relations(document: Document, providers: Collection[str]) -> None:
    """Adds what does not fit together to the document's problems. `providers` are the names that may be used."""
    models = _mapping(_mapping(document.data).get("models"))
    for name, model in models.items():
        for index, deployment in enumerate(_list(_mapping(model).get("deployments"))):
            path: KeyPath = ("models", name, "deployments", index)
            _check_deployment(document, path, name, _mapping(deployment), providers)
        for index, fallback in enumerate(_list(_mapping(model).get("fallbacks"))):
            if isinstance(fallback, str) and fallback and find(models, fallback) is None:
                path = ("models", name, "fallbacks", index)
                document.blame(path, f"no model is called {fallback}{_did_you_mean(fallback, models)}")
    _check_prices(document)
    _check_limits(document, models)


def check_names(document: Document) -> None:
    """Adds the free names that are no good to the document's problems."""
    data = _mapping(document.data)
    for name, provider in _mapping(data.get("providers")).items():
        _check_name(document, ("providers", name), problem_of_provider(name))
        for header in _mapping(_mapping(provider).get("headers")):
            _check_name(document, ("providers", name, "headers", header), problem_of_header(header))
    for name in _mapping(data.get("models")):
        _check_name(document, ("models", name), problem_of_model(name))
    for index, price in enumerate(_list(data.get("prices"))):
        model = _mapping(price).get("model")
        if isinstance(model, str):
            _check_name(document, ("prices", index, "model"), problem_of_model(model))


def _check_name(document: Document, path: KeyPath, problem: str | None) -> None:
    if problem is not None:
        document.blame(path, problem)


def _check_deployment(
    document: Document, path: KeyPath, entry: str, deployment: dict[str, Any], providers: Collection[str]
) -> None:
    provider, model = deployment.get("provider"), deployment.get("model") or ""
    if isinstance(provider, str) and provider and provider not in providers:
        document.blame((*path, "provider"), f"no provider is called {provider}{_did_you_mean(provider, providers)}")
    is_pattern = entry.endswith("*")
    if is_pattern and not model and entry != "*" and not entry.endswith("/*"):
        # Left alone, a client that asks for gpt-4o under `gpt-*` would have the provider asked for `4o`.
        message = f'must say which model to ask for: {entry} passes on what the * stands for; write model: "{entry}"'
        document.blame(path, f"{message} to pass on the whole name")
    if isinstance(model, str) and "*" in model and not is_pattern:
        document.blame((*path, "model"), f"has a *, which stands for nothing: {entry} does not end in one")


def _check_prices(document: Document) -> None:
    seen: dict[tuple[Any, Any], int] = {}
    for index, price in enumerate(_list(_mapping(document.data).get("prices"))):
        provider, model = _mapping(price).get("provider"), _mapping(price).get("model") or "*"
        if isinstance(provider, str) and isinstance(model, str):
            first = seen.setdefault((provider, model), index)
            if first != index:
                document.blame(("prices", index), f"prices the same provider and model as prices[{first}]")


def _check_limits(document: Document, models: dict[str, Any]) -> None:
    seen: dict[str, int] = {}
    for index, limit in enumerate(_list(_mapping(document.data).get("limits"))):
        scope = _mapping(limit).get("scope")
        if not isinstance(scope, str):
            continue
        first = seen.setdefault(scope.strip(), index)
        if first != index:
            document.blame(("limits", index, "scope"), f"is the scope of limits[{first}], too")
        kind, _, name = scope.strip().partition(":")
        if kind == "model" and models and name not in ("", "*") and find(models, name) is None:
            document.blame(("limits", index, "scope"), f"no model is called {name}{_did_you_mean(name, models)}")


def _did_you_mean(name: str, known: Collection[str]) -> str:
    candidate = nearest(name, known)
    if candidate:
        return f"; did you mean {candidate}?"
    return f"; there are {', '.join(known)}" if known else ""


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
