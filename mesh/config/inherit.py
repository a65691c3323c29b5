"""What holds for a deployment: its own settings, else its model's, else the defaults, key by key."""

from __future__ import annotations

from typing import Any

from mesh.config.schema import Breaker, Defaults, Deployment, Hedge, Model, Section, Timeouts


def retries(defaults: Defaults, model: Model, deployment: Deployment) -> int:
    """How often a call is repeated on the deployment."""
    for own in (deployment.retries, model.retries):
        if own is not None:
            return own
    return defaults.retries


def timeouts(defaults: Defaults, model: Model, deployment: Deployment) -> Timeouts:
    """How long to wait on the deployment; each limit comes from the nearest section that names it."""
    return Timeouts.model_construct(**_named(defaults.timeouts, model.timeouts, deployment.timeouts))


def breaker(defaults: Defaults, model: Model, deployment: Deployment) -> Breaker:
    """When the deployment is left alone; each key comes from the nearest section that names it."""
    return Breaker.model_construct(**_named(defaults.breaker, model.breaker, deployment.breaker))


def continuations(defaults: Defaults, model: Model) -> int:
    """How many further calls go on with an answer of the model that broke off."""
    return defaults.continuations if model.continuations is None else model.continuations


def hedge(defaults: Defaults, model: Model) -> Hedge | None:
    """When a second attempt is made for the model; None: never, because neither section is there."""
    if defaults.hedge is None and model.hedge is None:
        return None
    return Hedge.model_construct(**_named(defaults.hedge, model.hedge))


def _named(*layers: Section | None) -> dict[str, Any]:
    """What the sections name, the later before the earlier."""
    return {name: getattr(layer, name) for layer in layers if layer is not None for name in layer.model_fields_set}
