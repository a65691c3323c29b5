"""What only shows when parts of a configuration are held against each other.

Looks at what was written rather than at the validated sections, so that these problems are told together with those of
the schema; whatever has the wrong shape is left for the schema to complain about.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator
from typing import Any

from mesh.config.document import Document
from mesh.config.names import (
    problem_of_account,
    problem_of_header,
    problem_of_model,
    problem_of_provider,
    problem_of_service_tier,
    problem_of_tag,
)
from mesh.config.patterns import find, matches, overlap
from mesh.config.problems import KeyPath, format_path
from mesh.config.values import parse_budget_window
from mesh.config.wording import nearest

_PATTERNS_OF_RULES = {"when": ("model", "key", "project", "tenant", "tags"), "then": ("choose", "exclude")}
"""Where rules have names that may end in a `*`."""

_NO_ACCOUNT = {
    "key": "no key is called {name}",
    "project": "no key is of a project {name}",
    "tenant": "no key is of a tenant {name}",
}
"""What is said of a limit, a budget or a rule that would hold for nobody."""


def check_relations(document: Document, providers: Collection[str], default_models: Collection[str]) -> None:
    """Adds what does not fit together to the document's problems.

    `providers` are the names that may be used; `default_models` those that may be asked for where none are configured.
    """
    models = _mapping(_mapping(document.data).get("models"))
    for name, model in models.items():
        for index, deployment in enumerate(_list(_mapping(model).get("deployments"))):
            path: KeyPath = ("models", name, "deployments", index)
            _check_deployment(document, path, name, _mapping(deployment), providers)
        for index, fallback in enumerate(_list(_mapping(model).get("fallbacks"))):
            if isinstance(fallback, str) and fallback and find(models, fallback) is None:
                path = ("models", name, "fallbacks", index)
                document.blame(path, f"no model is called {fallback}{_did_you_mean(fallback, models)}")
    _check_prices(document, providers)
    _check_markups(document)
    _check_rules(document, models, providers, default_models)
    _check_keys(document, models or default_models)
    _check_limits(document, models)
    _check_budgets(document, models)


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
        _check_service_tiers(document, ("prices", index), _mapping(price))
    for path, _, deployment in _deployments(data):
        _check_service_tiers(document, (*path, "price"), _mapping(deployment.get("price")))
    for index, rule in enumerate(_list(data.get("rules"))):
        for section, keys in _PATTERNS_OF_RULES.items():
            for key in keys:
                for place, pattern in _named(("rules", index), _mapping(_mapping(rule).get(section)), section, key):
                    _check_name(document, place, problem_of_model(pattern))
    for index, key in enumerate(_list(data.get("keys"))):
        _check_names_of_key(document, ("keys", index), _mapping(key))


def _check_names_of_key(document: Document, path: KeyPath, key: dict[str, Any]) -> None:
    for field in ("name", "tenant", "project"):
        if isinstance(key.get(field), str):
            _check_name(document, (*path, field), problem_of_account(key[field]))
    for field, problem_of in (("tags", problem_of_tag), ("models", problem_of_model)):
        for index, name in enumerate(_list(key.get(field))):
            if isinstance(name, str):
                _check_name(document, (*path, field, index), problem_of(name))


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


def _check_service_tiers(document: Document, path: KeyPath, price: dict[str, Any]) -> None:
    for name in _mapping(price.get("tiers")):
        _check_name(document, (*path, "tiers", name), problem_of_service_tier(name))


def _deployments(data: dict[str, Any]) -> Iterator[tuple[KeyPath, str, dict[str, Any]]]:
    """Every deployment, with its place and its model's entry."""
    for name, model in _mapping(data.get("models")).items():
        for index, deployment in enumerate(_list(_mapping(model).get("deployments"))):
            yield ("models", name, "deployments", index), name, _mapping(deployment)


def _check_prices(document: Document, providers: Collection[str]) -> None:
    """A provider's model has one price, wherever it stands; the same one of several deployments may stand at each."""
    data = _mapping(document.data)
    seen: dict[tuple[str, str], str] = {}
    for index, price in enumerate(_list(data.get("prices"))):
        provider, model = _mapping(price).get("provider"), _mapping(price).get("model") or "*"
        if not isinstance(provider, str) or not isinstance(model, str):
            continue
        if data.get("providers") and provider and provider not in providers:
            message = f"no provider is called {provider}{_did_you_mean(provider, providers)}"
            document.blame(("prices", index, "provider"), message)
        first = seen.setdefault((provider, model), f"prices[{index}]")
        if first != f"prices[{index}]":
            document.blame(("prices", index), f"prices the same provider and model as {first}")
    stated: dict[str, tuple[str, Any]] = {}
    for path, entry, deployment in _deployments(data):
        if (price := deployment.get("price")) is None:
            continue
        key = _one_model(entry, deployment)
        if key is None:
            message = "needs a deployment of one model: write it under prices, where model may end in a *"
            document.blame((*path, "price"), message)
        elif key in seen:
            document.blame((*path, "price"), f"prices the same provider and model as {seen[key]}")
        else:
            _check_stated_once(document, (*path, "price"), "/".join(key), price, stated)


def _check_markups(document: Document) -> None:
    stated: dict[str, tuple[str, Any]] = {}
    for path, entry, deployment in _deployments(_mapping(document.data)):
        if (markup := deployment.get("markup")) is None:
            continue
        key = _one_model(entry, deployment)
        if key is None:
            message = "needs a deployment of one model: write it at the provider, for all of its models"
            document.blame((*path, "markup"), message)
        else:
            _check_stated_once(document, (*path, "markup"), "/".join(key), markup, stated)


def _check_stated_once(
    document: Document, path: KeyPath, deployed: str, value: Any, stated: dict[str, tuple[str, Any]]
) -> None:
    """A deployment may stand under many names, and costs the same under each."""
    where, other = stated.setdefault(deployed, (format_path(path), value))
    if other != value:
        document.blame(path, f"is another one than {where} for the same deployment {deployed}")


def _one_model(entry: str, deployment: dict[str, Any]) -> tuple[str, str] | None:
    """The deployment's provider and model; None where it is of many models, or has the wrong shape."""
    provider, model = deployment.get("provider"), deployment.get("model") or entry
    if not isinstance(provider, str) or not isinstance(model, str) or "*" in model:
        return None
    return provider, model


def _check_rules(
    document: Document, models: dict[str, Any], providers: Collection[str], default_models: Collection[str]
) -> None:
    names = models or default_models
    deployments = _deployment_patterns(models) if models else [f"{provider}/*" for provider in providers]
    accounts = _accounts(document)
    accounts["key"] = accounts["key"] or ["local"]
    seen: dict[str, int] = {}
    for index, entry in enumerate(_list(_mapping(document.data).get("rules"))):
        path: KeyPath = ("rules", index)
        rule = _mapping(entry)
        name, when, then = rule.get("name"), _mapping(rule.get("when")), _mapping(rule.get("then"))
        if isinstance(name, str) and name and seen.setdefault(name, index) != index:
            document.blame((*path, "name"), f"is the name of rules[{seen[name]}] as well")
        for place, model in _well_formed(path, when, "when", "model"):
            if not any(overlap(model, known) for known in names):
                document.blame(place, f"no model is called {model}{_did_you_mean(model, names)}")
        for kind, known in accounts.items():
            for place, wanted in _well_formed(path, when, "when", kind):
                if known and not any(matches(wanted, each) for each in known):
                    document.blame(place, f"{_NO_ACCOUNT[kind].format(name=wanted)}{_did_you_mean(wanted, known)}")
        for action in ("choose", "exclude"):
            for place, wanted in _well_formed(path, then, "then", action):
                _check_wanted(document, place, wanted, providers, deployments)
        for place, rewrite in _named(path, then, "then", "rewrite"):
            _check_rewrite(document, place, rewrite, names)


def _check_rewrite(document: Document, path: KeyPath, rewrite: str, names: Collection[str]) -> None:
    entry = find(names, rewrite)
    if entry is None:
        document.blame(path, f"no model is called {rewrite}{_did_you_mean(rewrite, names)}")
    elif "*" in rewrite or (entry != "*" and rewrite == entry[:-1] and entry.endswith("/*")):
        document.blame(path, "must be the name of one model, which the question is then asked of")


def _check_wanted(
    document: Document, path: KeyPath, wanted: str, providers: Collection[str], deployments: Collection[str]
) -> None:
    """A provider, or a pattern of deployments."""
    provider, slash, _ = wanted.partition("/")
    if slash or wanted.endswith("*"):
        if not any(overlap(f"{known}/*", wanted) for known in providers):
            document.blame(path, f"no provider is called {provider}{_did_you_mean(provider, providers)}")
        elif not any(overlap(wanted, known) for known in deployments):
            document.blame(path, f"no deployment is called {wanted}{_did_you_mean(wanted, deployments)}")
    elif provider not in providers:
        document.blame(path, f"no provider is called {provider}{_did_you_mean(provider, providers)}")


def _deployment_patterns(models: dict[str, Any]) -> list[str]:
    """What the deployments under `models` can be called, as `provider/model`."""
    found: list[str] = []
    for entry, model in models.items():
        for deployment in _list(_mapping(model).get("deployments")):
            provider, called = _mapping(deployment).get("provider"), _mapping(deployment).get("model") or ""
            if isinstance(provider, str) and isinstance(called, str):
                rest = called or ("*" if entry.endswith("*") else entry)
                found.append(f"{provider}/{rest.partition('*')[0]}*" if "*" in rest else f"{provider}/{rest}")
    return found


def _named(path: KeyPath, section: dict[str, Any], name: str, key: str) -> list[tuple[KeyPath, str]]:
    """The names under a key of a rule's section, each with its place: one of a list, or the only one."""
    value = section.get(key)
    if isinstance(value, str):
        return [((*path, name, key), value)] if value else []
    places = (((*path, name, key, index), each) for index, each in enumerate(_list(value)))
    return [(place, each) for place, each in places if isinstance(each, str) and each]


def _well_formed(path: KeyPath, section: dict[str, Any], name: str, key: str) -> list[tuple[KeyPath, str]]:
    """Those of them that nothing is wrong with by themselves."""
    return [(place, each) for place, each in _named(path, section, name, key) if problem_of_model(each) is None]


def _check_keys(document: Document, models: Collection[str]) -> None:
    names: dict[str, int] = {}
    digests: dict[str, int] = {}
    for index, entry in enumerate(_list(_mapping(document.data).get("keys"))):
        path: KeyPath = ("keys", index)
        key = _mapping(entry)
        name = key.get("name")
        if isinstance(name, str) and names.setdefault(name, index) != index:
            document.blame((*path, "name"), f"is the name of keys[{names[name]}] as well")
        _check_secret(document, path, key, digests)
        for at, model in enumerate(_list(key.get("models"))):
            if isinstance(model, str) and problem_of_model(model) is None and not _exists(model, models):
                message = f"no model is called {model}{_did_you_mean(model, models)}"
                document.blame((*path, "models", at), message)


def _exists(model: str, models: Collection[str]) -> bool:
    """Whether a name, or one that a pattern stands for, may be asked for."""
    return model == "*" or any(overlap(model, known) for known in models)


def _check_secret(document: Document, path: KeyPath, key: dict[str, Any], seen: dict[str, int]) -> None:
    given = [field for field in ("key", "key_sha256") if key.get(field) is not None]
    if len(given) == 2:
        document.blame(path, "has both key and key_sha256: keep one of them")
    elif not given and isinstance(key.get("name"), str):
        document.blame(path, "must have key or key_sha256; `tollway keys new` makes one")
    for field in given:
        value = key[field]
        if not isinstance(value, str) or not value.strip():
            continue
        digest = hashlib.sha256(value.strip().encode()).hexdigest() if field == "key" else value.strip().lower()
        index = path[1]
        assert isinstance(index, int)
        if seen.setdefault(digest, index) != index:
            document.blame((*path, field), f"is the key of keys[{seen[digest]}] as well")


def _check_limits(document: Document, models: dict[str, Any]) -> None:
    accounts = _accounts(document)
    seen: dict[str, int] = {}
    for index, limit in enumerate(_list(_mapping(document.data).get("limits"))):
        scope = _mapping(limit).get("scope")
        if not isinstance(scope, str):
            continue
        first = seen.setdefault(scope.strip(), index)
        if first != index:
            document.blame(("limits", index, "scope"), f"is the scope of limits[{first}], too")
        _check_scope(document, ("limits", index, "scope"), scope.strip(), models, accounts)


def _check_budgets(document: Document, models: dict[str, Any]) -> None:
    accounts = _accounts(document)
    seen: dict[tuple[str, str, str], int] = {}
    for index, entry in enumerate(_list(_mapping(document.data).get("budgets"))):
        budget = _mapping(entry)
        scope, window, zone = budget.get("scope"), budget.get("window") or "month", budget.get("time_zone") or "UTC"
        if not isinstance(scope, str) or not isinstance(window, str) or not isinstance(zone, str):
            continue
        first = seen.setdefault((scope.strip(), _same_window(window), zone), index)
        if first != index:
            document.blame(("budgets", index), f"has the scope and window of budgets[{first}], too")
        _check_scope(document, ("budgets", index, "scope"), scope.strip(), models, accounts)


def _same_window(window: str) -> str:
    """The window, the same however a duration is written."""
    try:
        return str(parse_budget_window(window))
    except ValueError:  # the schema complains
        return window


def _check_scope(
    document: Document,
    path: KeyPath,
    scope: str,
    models: dict[str, Any],
    accounts: dict[str, Collection[str]],
) -> None:
    kind, _, name = scope.partition(":")
    if name in ("", "*"):
        return
    if kind == "model" and models and find(models, name) is None:
        document.blame(path, f"no model is called {name}{_did_you_mean(name, models)}")
    known = accounts.get(kind)
    if known and name not in known:
        document.blame(path, f"{_NO_ACCOUNT[kind].format(name=name)}{_did_you_mean(name, known)}")


def _accounts(document: Document) -> dict[str, Collection[str]]:
    """The names of keys, and of the projects and tenants that keys are of. Nothing where there are no keys."""
    keys = [key for key in _list(_mapping(document.data).get("keys")) if isinstance(key, dict)]
    of = {"key": ("name", None), "project": ("project", "default"), "tenant": ("tenant", "default")}
    named = {kind: [key.get(field) or default for key in keys] for kind, (field, default) in of.items()}
    return {kind: dict.fromkeys(name for name in names if isinstance(name, str)) for kind, names in named.items()}


def _did_you_mean(name: str, known: Collection[str]) -> str:
    candidate = nearest(name, known)
    if candidate:
        return f"; did you mean {candidate}?"
    return f"; there are {', '.join(known)}" if known else ""


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
