"""What holds where the configuration names no providers, or no models."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import SecretStr

from mesh.config.schema import Config, Deployment, Model, Provider

WELL_KNOWN: Mapping[str, tuple[str, str]] = {
    "openai": ("OPENAI_API_KEY", ""),
    "openrouter": ("OPENROUTER_API_KEY", "https://openrouter.ai/api/v1"),
    "mistral": ("MISTRAL_API_KEY", "https://api.mistral.ai/v1"),
    "groq": ("GROQ_API_KEY", "https://api.groq.com/openai/v1"),
    "deepseek": ("DEEPSEEK_API_KEY", "https://api.deepseek.com/v1"),
    "xai": ("XAI_API_KEY", "https://api.x.ai/v1"),
    "together": ("TOGETHER_API_KEY", "https://api.together.xyz/v1"),
    "fireworks": ("FIREWORKS_API_KEY", "https://api.fireworks.ai/inference/v1"),
    "cerebras": ("CEREBRAS_API_KEY", "https://api.cerebras.ai/v1"),
    "gemini": ("GEMINI_API_KEY", "https://generativelanguage.googleapis.com/v1beta/openai"),
    "moonshot": ("MOONSHOT_API_KEY", "https://api.moonshot.ai/v1"),
    "sambanova": ("SAMBANOVA_API_KEY", "https://api.sambanova.ai/v1"),
    "nvidia": ("NVIDIA_API_KEY", "https://integrate.api.nvidia.com/v1"),
    "deepinfra": ("DEEPINFRA_API_KEY", "https://api.deepinfra.com/v1/openai"),
}
"""Providers with an OpenAI-compatible API: the variable their key is usually in, and their address.

The usual variables for addresses (OPENAI_BASE_URL) are not read: in the shell of somebody who has pointed their client
at Tollway, they name Tollway itself.
"""


def default_providers(environ: Mapping[str, str]) -> dict[str, Provider]:
    """`sim`, and each well-known provider whose key is in the environment, in the order of the table."""
    found = {
        name: Provider(base_url=base_url, api_key=SecretStr(environ[variable]))
        for name, (variable, base_url) in WELL_KNOWN.items()
        if environ.get(variable, "").strip()
    }
    return {"sim": Provider(dialect="sim"), **found}


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


def with_defaults(config: Config, environ: Mapping[str, str]) -> Config:
    """The configuration with providers and models where it has none.

    Names that no other entry stands for go to the first provider that is no sim. Only where nothing but sims was asked
    for do they go to the first of those: the sim that is always there must not make an answer out of a misspelt name.
    """
    providers = config.providers or default_providers(environ)
    real = (name for name, provider in providers.items() if provider.dialect != "sim")
    models = config.models or default_models(providers, next(real, next(iter(config.providers), None)))
    return config.model_copy(update={"providers": providers, "models": models})


def _single(provider: str, model: str = "") -> Model:
    return Model(deployments=(Deployment(provider=provider, model=model),))
