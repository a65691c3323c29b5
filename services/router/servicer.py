"""RouterService: requests become messages for the mediator, and nothing else."""

from __future__ import annotations

from typing import Any

import grpc

from mesh.clock import Clock
from mesh.credentials import credentials_of
from mesh.ids import new_request_id
from mesh.interceptors.writing import write_all
from mesh.mediator import Mediator
from mesh.tracing import current
from services.router.domain import likeness
from services.router.handlers.count_tokens import CountTokens
from services.router.handlers.create_chat_completion import CreateChatCompletion
from services.router.handlers.create_embeddings import CreateEmbeddings
from services.router.handlers.explain_route import ExplainRoute
from services.router.handlers.forward import Forward
from services.router.handlers.list_deployments import ListDeployments
from services.router.handlers.list_models import ListModels
from services.router.handlers.stream_chat_completion import StreamChatCompletion
from tollway.router.v1.router_pb2 import (
    CountTokensRequest,
    CountTokensResponse,
    CreateChatCompletionRequest,
    CreateChatCompletionResponse,
    CreateEmbeddingsRequest,
    CreateEmbeddingsResponse,
    ExplainRouteRequest,
    ExplainRouteResponse,
    ForwardRequest,
    ListDeploymentsRequest,
    ListDeploymentsResponse,
    ListModelsRequest,
    ListModelsResponse,
    StreamChatCompletionRequest,
)
from tollway.router.v1.router_pb2_grpc import RouterServiceServicer

Context = grpc.aio.ServicerContext[Any, Any]


class RouterServicer(RouterServiceServicer):
    """Implements `tollway.router.v1.RouterService`. Raises TollwayError, which a server interceptor makes a status."""

    def __init__(self, mediator: Mediator, clock: Clock) -> None:
        self._mediator, self._clock = mediator, clock

    async def CreateChatCompletion(
        self, request: CreateChatCompletionRequest, context: Context
    ) -> CreateChatCompletionResponse:
        parent = current()
        return await self._mediator.send(
            CreateChatCompletion(
                request.chat,
                request.request_id or new_request_id(self._clock.time()),
                request.tags,
                parent,
                self._deadline(context),
                request.preferences,
                credentials=credentials_of(context),
            )
        )

    async def StreamChatCompletion(  # type: ignore[override]  # the generated types know only servicers that yield
        self, request: StreamChatCompletionRequest, context: Context
    ) -> None:
        parent = current()
        command = StreamChatCompletion(
            request.chat,
            request.request_id or new_request_id(self._clock.time()),
            request.tags,
            parent,
            self._deadline(context),
            request.preferences,
            credentials=credentials_of(context),
        )
        await write_all(self._mediator.stream(command), context)

    async def CreateEmbeddings(self, request: CreateEmbeddingsRequest, context: Context) -> CreateEmbeddingsResponse:
        return await self._mediator.send(
            CreateEmbeddings(
                likeness.of_embedding(request.embedding),
                request.request_id or new_request_id(self._clock.time()),
                request.tags,
                current(),
                self._deadline(context),
                request.preferences,
                credentials=credentials_of(context),
                embedding=request.embedding,
            )
        )

    async def CountTokens(self, request: CountTokensRequest, context: Context) -> CountTokensResponse:
        return await self._mediator.send(
            CountTokens(
                request.chat,
                request.request_id or new_request_id(self._clock.time()),
                request.tags,
                current(),
                self._deadline(context),
                request.preferences,
                credentials=credentials_of(context),
            )
        )

    async def Forward(  # type: ignore[override]  # the generated types know only servicers that yield
        self, request: ForwardRequest, context: Context
    ) -> None:
        command = Forward(
            likeness.of_forwarded(request.question),
            request.request_id or new_request_id(self._clock.time()),
            request.tags,
            current(),
            self._deadline(context),
            request.preferences,
            credentials=credentials_of(context),
            question=request.question,
        )
        await write_all(self._mediator.stream(command), context)

    async def ListModels(self, request: ListModelsRequest, context: Context) -> ListModelsResponse:
        return await self._mediator.send(
            ListModels(request.page_size, request.page_token, credentials=credentials_of(context))
        )

    async def ExplainRoute(self, request: ExplainRouteRequest, context: Context) -> ExplainRouteResponse:
        return await self._mediator.send(
            ExplainRoute(
                request.chat,
                "",
                request.tags,
                current(),
                None,
                request.preferences,
                credentials=credentials_of(context),
                streamed=request.streamed,
            )
        )

    async def ListDeployments(self, request: ListDeploymentsRequest, context: Context) -> ListDeploymentsResponse:
        return await self._mediator.send(ListDeployments(request.provider, credentials=credentials_of(context)))

    def _deadline(self, context: Context) -> float | None:
        """When the caller stops waiting, on the clock's monotonic time."""
        left = context.time_remaining()
        return None if left is None else self._clock.monotonic() + left
