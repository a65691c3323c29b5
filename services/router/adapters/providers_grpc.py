"""The provider service behind its generated stub."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import grpc

from mesh.status import from_rpc_error
from mesh.tracing import TraceContext
from services.router.ports import CompletionStream
from tollway.providers.v1.providers_pb2 import (
    CheckHealthRequest,
    CreateCompletionRequest,
    CreateCompletionResponse,
    ListProviderModelsRequest,
    ProviderModel,
    StreamCompletionRequest,
    StreamCompletionResponse,
)
from tollway.providers.v1.providers_pb2_grpc import ProviderServiceStub

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
        try:
            return await self._stub.CreateCompletion(request, timeout=timeout, metadata=trace_metadata(trace))
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from error

    def stream(self, request: StreamCompletionRequest, timeout: float | None, trace: TraceContext) -> CompletionStream:
        return _Stream(self._stub.StreamCompletion(request, timeout=timeout, metadata=trace_metadata(trace)))

    async def known_models(self) -> Sequence[ProviderModel]:
        try:
            return (await self._stub.ListProviderModels(ListProviderModelsRequest(), timeout=_LISTING)).models
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from error

    async def check_health(self, provider: str, timeout: float) -> None:
        try:
            await self._stub.CheckHealth(CheckHealthRequest(provider=provider), timeout=timeout)
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from error


class _Stream:
    """Implements `CompletionStream`."""

    def __init__(self, call: grpc.aio.UnaryStreamCall[StreamCompletionRequest, StreamCompletionResponse]) -> None:
        self._call = call
        self._responses = aiter(call)

    def __aiter__(self) -> AsyncIterator[StreamCompletionResponse]:
        return self

    async def __anext__(self) -> StreamCompletionResponse:
        try:
            return await anext(self._responses)
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from error

    def cancel(self) -> None:
        self._call.cancel()
