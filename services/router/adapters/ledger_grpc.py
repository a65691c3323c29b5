"""The ledger behind its generated stub."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence

import grpc

from mesh.status import from_rpc_error
from mesh.tracing import TraceContext
from tollway.ledger.v1.ledger_pb2 import Price, RecordAttemptsRequest, RecordedAttempt, WatchPricesRequest
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

    async def watch_prices(self) -> AsyncGenerator[Sequence[Price], None]:
        # Waits for a ledger that is only starting, so that prices are here as soon as it is.
        call = self._stub.WatchPrices(WatchPricesRequest(), wait_for_ready=True)
        try:
            async for response in call:
                yield response.prices
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from error
        finally:
            call.cancel()
