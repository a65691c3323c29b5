"""The provider service behind its generated stub."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Sequence
from typing import Any, Generic, TypeVar

import grpc

from mesh.status import from_service
from mesh.tracing import TraceContext
from services.router.ports import CompletionStream, ForwardStream
from tollway.providers.v1.providers_pb2 import (
    CheckHealthRequest,
    CountTokensRequest,
    CountTokensResponse,
    CreateCompletionRequest,
    CreateCompletionResponse,
    CreateEmbeddingsRequest,
    CreateEmbeddingsResponse,
    ForwardRequest,
    ListProviderModelsRequest,
    ProviderModel,
    StreamCompletionRequest,
)
from tollway.providers.v1.providers_pb2_grpc import ProviderServiceStub

T = TypeVar("T")
Metadata = tuple[tuple[str, str], ...]
_LISTING = 10.0


def trace_metadata(trace: TraceContext) -> Metadata:
    """Where the caller is in its trace, as W3C has it."""
    if trace.state:
        return (("traceparent", trace.traceparent), ("tracestate", trace.state))
    return (("traceparent", trace.traceparent),)


class GrpcProviderCalls:
    """Implements `ProviderCalls`."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = ProviderServiceStub(channel)

    async def complete(
        self, request: CreateCompletionRequest, timeout: float | None, trace: TraceContext
    ) -> CreateCompletionResponse:
        return await _told(self._stub.CreateCompletion(request, timeout=timeout, metadata=trace_metadata(trace)))

    def stream(self, request: StreamCompletionRequest, timeout: float | None, trace: TraceContext) -> CompletionStream:
        return _Stream(self._stub.StreamCompletion(request, timeout=timeout, metadata=trace_metadata(trace)))

    async def embed(
        self, request: CreateEmbeddingsRequest, timeout: float | None, trace: TraceContext
    ) -> CreateEmbeddingsResponse:
        return await _told(self._stub.CreateEmbeddings(request, timeout=timeout, metadata=trace_metadata(trace)))

    async def count_tokens(
        self, request: CountTokensRequest, timeout: float | None, trace: TraceContext
    ) -> CountTokensResponse:
        return await _told(self._stub.CountTokens(request, timeout=timeout, metadata=trace_metadata(trace)))

    def forward(self, request: ForwardRequest, timeout: float | None, trace: TraceContext) -> ForwardStream:
        return _Stream(self._stub.Forward(request, timeout=timeout, metadata=trace_metadata(trace)))

    async def known_models(self) -> Sequence[ProviderModel]:
        return (await _told(self._stub.ListProviderModels(ListProviderModelsRequest(), timeout=_LISTING))).models

    async def check_health(self, provider: str, timeout: float) -> None:
        await _told(self._stub.CheckHealth(CheckHealthRequest(provider=provider), timeout=timeout))


async def _told(call: Awaitable[T]) -> T:
    """What a call is answered with. Raises TollwayError."""
    try:
        return await call
    except grpc.aio.AioRpcError as error:
        raise from_service(error, "the providers service") from error


class _Stream(Generic[T]):
    """Implements `AnswerStream`."""

    def __init__(self, call: grpc.aio.UnaryStreamCall[Any, T]) -> None:
        self._call = call
        self._responses = aiter(call)

    def __aiter__(self) -> AsyncIterator[T]:
        return self

    async def __anext__(self) -> T:
        try:
            return await anext(self._responses)
        except grpc.aio.AioRpcError as error:
            raise from_service(error, "the providers service") from error

    def cancel(self) -> None:
        self._call.cancel()
