"""The ledger behind its generated stub."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence

import grpc

from mesh.prices import PriceBook
from mesh.status import from_rpc_error
from mesh.tracing import TraceContext
from tollway.ledger.v1.budget_pb2 import (
    Budget,
    LeaseAnswer,
    LeaseBudgetRequest,
    ReturnLeaseRequest,
    WatchBudgetsRequest,
    WatchRecallsRequest,
)
from tollway.ledger.v1.ledger_pb2 import (
    FindPriceRequest,
    Price,
    RecordAttemptsRequest,
    RecordedAttempt,
    WatchPricesRequest,
)
from tollway.ledger.v1.ledger_pb2_grpc import LedgerServiceStub


class GrpcLedger:
    """Implements `LedgerClient` and `BudgetKeeper`."""

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

    async def lease(self, request: LeaseBudgetRequest, timeout: float) -> Sequence[LeaseAnswer]:
        try:
            return (await self._stub.LeaseBudget(request, timeout=timeout)).answers
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from error

    async def give_back(self, request: ReturnLeaseRequest, timeout: float) -> None:
        try:
            await self._stub.ReturnLease(request, timeout=timeout)
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from error

    async def watch_recalls(self, journal_id: str) -> AsyncGenerator[Sequence[str], None]:
        call = self._stub.WatchRecalls(WatchRecallsRequest(journal_id=journal_id), wait_for_ready=True)
        try:
            async for response in call:
                yield response.lease_ids
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from error
        finally:
            call.cancel()

    async def watch_budgets(self) -> AsyncGenerator[Sequence[Budget], None]:
        call = self._stub.WatchBudgets(WatchBudgetsRequest(), wait_for_ready=True)
        try:
            async for response in call:
                yield response.budgets
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from error
        finally:
            call.cancel()
