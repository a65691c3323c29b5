"""What holds for a deployment: its own settings, else its model's, else the defaults, key by key."""

from __future__ import annotations

from mesh.config.schema import Defaults, Deployment, Model, Timeouts


def retries(defaults: Defaults, model: Model, deployment: Deployment) -> int:
    """How often a call is repeated on the deployment."""
    for own in (deployment.retries, model.retries):
        if own is not None:
            return own
    return defaults.retries


def timeouts(defaults: Defaults, model: Model, deployment: Deployment) -> Timeouts:
    """How long to wait on the deployment; each limit comes from the nearest section that names it."""
    layers = (layer for layer in (defaults.timeouts, model.timeouts, deployment.timeouts) if layer is not None)
    return Timeouts.model_construct(
        **{name: getattr(layer, name) for layer in layers for name in layer.model_fields_set}
    )
