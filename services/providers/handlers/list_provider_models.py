"""Lists the models that are known without asking anybody."""

from __future__ import annotations

from dataclasses import dataclass

from mesh.mediator import Query
from services.providers.ports import Providers
from tollway.providers.v1 import providers_pb2


@dataclass(frozen=True, slots=True)
class ListProviderModels(Query[providers_pb2.ListProviderModelsResponse]):
    """Which provider's. Empty: every provider's."""

    provider: str


async def list_provider_models(
    query: ListProviderModels, *, providers: Providers
) -> providers_pb2.ListProviderModelsResponse:
    return providers_pb2.ListProviderModelsResponse(
        models=[
            providers_pb2.ProviderModel(provider=provider.name, model=model.name, description=model.description)
            for provider in providers.values()
            if query.provider in ("", provider.name)
            for model in provider.models
        ]
    )
