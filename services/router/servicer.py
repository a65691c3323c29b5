"""RouterService: requests become messages for the mediator, and nothing else."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import grpc

from mesh.clock import Clock
from mesh.credentials import credentials_of
from mesh.ids import new_request_id
from mesh.mediator import Mediator
from mesh.tracing import current
from services.router.handlers.create_chat_completion import CreateChatCompletion
from services.router.handlers.list_models import ListModels
from services.router.handlers.stream_chat_completion import StreamChatCompletion
from tollway.router.v1.router_pb2 import (
    CreateChatCompletionRequest,
    CreateChatCompletionResponse,
    ListModelsRequest,
    ListModelsResponse,
    StreamChatCompletionRequest,
    StreamChatCompletionResponse,
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

    async def StreamChatCompletion(
        self, request: StreamChatCompletionRequest, context: Context
    ) -> AsyncIterator[StreamChatCompletionResponse]:
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
        async with aclosing(self._mediator.stream(command)) as responses:
            async for response in responses:
                yield response

    async def ListModels(self, request: ListModelsRequest, context: Context) -> ListModelsResponse:
        return await self._mediator.send(
            ListModels(request.page_size, request.page_token, credentials=credentials_of(context))
        )

    def _deadline(self, context: Context) -> float | None:
        """When the caller stops waiting, on the clock's monotonic time."""
        left = context.time_remaining()
        return None if left is None else self._clock.monotonic() + left
