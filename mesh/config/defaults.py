"""What holds where the configuration names no providers, or no models."""

from __future__ import annotations

from collections.abc import Mapping

from mesh.config.presets import NOTHING, Known, filled, served_unasked
from mesh.config.schema import Config, Deployment, Model, Provider


def default_providers(known: Known, environ: Mapping[str, str]) -> dict[str, Provider]:
    """`sim`, and each provider with a preset whose key is in its usual variable.

    The usual variables for addresses (OPENAI_BASE_URL) are not read: in the shell of somebody who has pointed their
    client at Tollway, they name Tollway itself.
    """
    return {"sim": Provider(dialect="sim"), **served_unasked(known, environ)}


def default_models(providers: Mapping[str, Provider], catch_all: str | None) -> dict[str, Model]:
    """Every provider's models as `<provider>/*`, a sim's own name, and other names at `catch_all` (None: nowhere)."""
    models: dict[str, Model] = {}
    for name, provider in providers.items():
        if provider.dialect == "sim":
            models[name] = _single(name, "sim")
        models[f"{name}/*"] = _single(name)
    if catch_all is not None:
        models["*"] = _single(catch_all)
    return models


def with_defaults(config: Config, environ: Mapping[str, str], known: Known = NOTHING) -> Config:
    """The configuration with providers and models where it has none, and presets' values where providers have none.

    Names that no other entry stands for go to the first provider that is no sim. Only where nothing but sims was asked
    for do they go to the first of those: the sim that is always there must not make an answer out of a misspelt name.
    """
    written = {name: filled(name, provider, known, environ) for name, provider in config.providers.items()}
    providers = written or default_providers(known, environ)
    real = (name for name, provider in providers.items() if provider.dialect != "sim")
    models = config.models or default_models(providers, next(real, next(iter(config.providers), None)))
    return config.model_copy(update={"providers": providers, "models": models})


def _single(provider: str, model: str = "") -> Model:
    return Model(deployments=(Deployment(provider=provider, model=model),))
