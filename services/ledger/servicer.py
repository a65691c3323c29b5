"""LedgerService, as the mediator answers it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import grpc

from mesh.mediator import Mediator
from services.ledger.handlers.adjust_attempt import AdjustAttempt
from services.ledger.handlers.audit_ledger import AuditLedger
from services.ledger.handlers.find_price import FindPrice
from services.ledger.handlers.get_spend import GetSpend
from services.ledger.handlers.list_prices import ListPrices
from services.ledger.handlers.list_usage import ListUsage
from services.ledger.handlers.record_attempts import RecordAttempts
from services.ledger.handlers.set_price import SetPrice
from services.ledger.handlers.watch_prices import WatchPrices
from tollway.ledger.v1 import ledger_pb2 as pb
from tollway.ledger.v1.ledger_pb2_grpc import LedgerServiceServicer

Context = grpc.aio.ServicerContext[Any, Any]


class LedgerServicer(LedgerServiceServicer):
    """Maps requests to messages, and answers back."""

    def __init__(self, mediator: Mediator) -> None:
        self._mediator = mediator

    async def RecordAttempts(self, request: pb.RecordAttemptsRequest, context: Context) -> pb.RecordAttemptsResponse:
        return await self._mediator.send(RecordAttempts(request.attempts, request.journal_id))

    async def ListUsage(self, request: pb.ListUsageRequest, context: Context) -> pb.ListUsageResponse:
        return await self._mediator.send(ListUsage(request.filter, request.page_size, request.page_token))

    async def GetSpend(self, request: pb.GetSpendRequest, context: Context) -> pb.GetSpendResponse:
        return await self._mediator.send(GetSpend(request.filter, request.group_by))

    async def AdjustAttempt(self, request: pb.AdjustAttemptRequest, context: Context) -> pb.AdjustAttemptResponse:
        return await self._mediator.send(AdjustAttempt(request.attempt_id, request.cost_nanos, request.reason))

    async def AuditLedger(
        self, request: pb.AuditLedgerRequest, context: Context
    ) -> AsyncIterator[pb.AuditLedgerResponse]:
        async with aclosing(self._mediator.stream(AuditLedger())) as responses:
            async for response in responses:
                yield response

    async def SetPrice(self, request: pb.SetPriceRequest, context: Context) -> pb.SetPriceResponse:
        return pb.SetPriceResponse(price=await self._mediator.send(SetPrice(request.price)))

    async def ListPrices(self, request: pb.ListPricesRequest, context: Context) -> pb.ListPricesResponse:
        return await self._mediator.send(ListPrices(request.page_size, request.page_token))

    async def FindPrice(self, request: pb.FindPriceRequest, context: Context) -> pb.FindPriceResponse:
        return await self._mediator.send(FindPrice(request.provider_name, request.model_name))

    async def WatchPrices(
        self, request: pb.WatchPricesRequest, context: Context
    ) -> AsyncIterator[pb.WatchPricesResponse]:
        async with aclosing(self._mediator.stream(WatchPrices())) as responses:
            async for response in responses:
                yield response
