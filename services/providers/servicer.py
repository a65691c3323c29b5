"""The gRPC face: a request in, a message to the mediator, its answer out."""

from __future__ import annotations

from typing import Any

import grpc

from mesh.interceptors.writing import write_all
from mesh.mediator import Mediator
from mesh.tracing import current
from services.providers.handlers.check_health import CheckHealth
from services.providers.handlers.count_tokens import CountTokens
from services.providers.handlers.create_completion import CreateCompletion
from services.providers.handlers.create_embeddings import CreateEmbeddings
from services.providers.handlers.forward import Forward
from services.providers.handlers.list_provider_models import ListProviderModels
from services.providers.handlers.stream_completion import StreamCompletion
from tollway.providers.v1 import providers_pb2, providers_pb2_grpc

Context = grpc.aio.ServicerContext[Any, Any]


class ProviderServicer(providers_pb2_grpc.ProviderServiceServicer):
    """Answers `tollway.providers.v1.ProviderService`."""

    def __init__(self, mediator: Mediator) -> None:
        self._mediator = mediator

    async def CreateCompletion(
        self, request: providers_pb2.CreateCompletionRequest, context: Context
    ) -> providers_pb2.CreateCompletionResponse:
        return await self._mediator.send(CreateCompletion(request, current()))

    async def StreamCompletion(  # type: ignore[override]  # the generated types know only servicers that yield
        self, request: providers_pb2.StreamCompletionRequest, context: Context
    ) -> None:
        await write_all(self._mediator.stream(StreamCompletion(request, current())), context)

    async def CreateEmbeddings(
        self, request: providers_pb2.CreateEmbeddingsRequest, context: Context
    ) -> providers_pb2.CreateEmbeddingsResponse:
        return await self._mediator.send(CreateEmbeddings(request, current()))

    async def CountTokens(
        self, request: providers_pb2.CountTokensRequest, context: Context
    ) -> providers_pb2.CountTokensResponse:
        return await self._mediator.send(CountTokens(request, current()))

    async def Forward(  # type: ignore[override]  # the generated types know only servicers that yield
        self, request: providers_pb2.ForwardRequest, context: Context
    ) -> None:
        await write_all(self._mediator.stream(Forward(request, current())), context)

    async def ListProviderModels(
        self, request: providers_pb2.ListProviderModelsRequest, context: Context
    ) -> providers_pb2.ListProviderModelsResponse:
        return await self._mediator.send(ListProviderModels(request.provider))

    async def CheckHealth(
        self, request: providers_pb2.CheckHealthRequest, context: Context
    ) -> providers_pb2.CheckHealthResponse:
        return await self._mediator.send(CheckHealth(request.provider, current()))
