"""The ledger behind its generated stub."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence

import grpc

from mesh.prices import PriceBook
from mesh.status import from_rpc_error
from mesh.tracing import TraceContext
from tollway.ledger.v1.ledger_pb2 import (
    FindPriceRequest,
    Price,
    RecordAttemptsRequest,
    RecordedAttempt,
    WatchPricesRequest,
)
from tollway.ledger.v1.ledger_pb2_grpc import LedgerServiceStub


class GrpcLedger:
    """Implements `LedgerClient`."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = LedgerServiceStub(channel)

    async def record(
        self, request: RecordAttemptsRequest, timeout: float, trace: TraceContext
    ) -> Sequence[RecordedAttempt]:
        metadata = (("traceparent", trace.traceparent),)
        try:
            return (await self._stub.RecordAttempts(request, timeout=timeout, metadata=metadata)).results
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from error

    async def find_price(self, provider: str, model: str, timeout: float) -> Price | None:
        request = FindPriceRequest(provider_name=provider, model_name=model)
        try:
            answer = await self._stub.FindPrice(request, timeout=timeout)
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from error
        return answer.price if answer.HasField("price") else None

    async def watch_prices(self) -> AsyncGenerator[PriceBook, None]:
        # Waits for a ledger that is only starting, so that prices are here as soon as it is.
        call = self._stub.WatchPrices(WatchPricesRequest(), wait_for_ready=True)
        try:
            async for response in call:
                yield PriceBook(response.prices, response.markups)
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from error
        finally:
            call.cancel()
