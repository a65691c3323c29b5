"""LedgerService, as the mediator answers it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import grpc

from mesh.errors import TollwayError
from mesh.mediator import Mediator
from services.ledger.handlers.adjust_attempt import AdjustAttempt
from services.ledger.handlers.audit_ledger import AuditLedger
from services.ledger.handlers.create_budget import CreateBudget
from services.ledger.handlers.delete_budget import DeleteBudget
from services.ledger.handlers.find_price import FindPrice
from services.ledger.handlers.get_budget import GetBudget
from services.ledger.handlers.get_spend import GetSpend
from services.ledger.handlers.lease_budget import LeaseBudget
from services.ledger.handlers.list_budgets import ListBudgets
from services.ledger.handlers.list_prices import ListPrices
from services.ledger.handlers.list_usage import ListUsage
from services.ledger.handlers.reconcile_invoice import ReconcileInvoice
from services.ledger.handlers.record_attempts import RecordAttempts
from services.ledger.handlers.return_lease import ReturnLease
from services.ledger.handlers.set_price import SetPrice
from services.ledger.handlers.update_budget import UpdateBudget
from services.ledger.handlers.watch_budgets import WatchBudgets
from services.ledger.handlers.watch_prices import WatchPrices
from services.ledger.handlers.watch_recalls import WatchRecalls
from tollway.ledger.v1 import budget_pb2, invoice_pb2
from tollway.ledger.v1 import ledger_pb2 as pb
from tollway.ledger.v1.ledger_pb2_grpc import LedgerServiceServicer

Context = grpc.aio.ServicerContext[Any, Any]


class LedgerServicer(LedgerServiceServicer):
    """Maps requests to messages, and answers back."""

    def __init__(self, mediator: Mediator) -> None:
        self._mediator = mediator

    async def RecordAttempts(self, request: pb.RecordAttemptsRequest, context: Context) -> pb.RecordAttemptsResponse:
        return await self._mediator.send(RecordAttempts(list(request.attempts), request.journal_id))

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

    async def ReconcileInvoice(
        self, request_iterator: AsyncIterator[invoice_pb2.ReconcileInvoiceRequest], context: Context
    ) -> AsyncIterator[invoice_pb2.ReconcileInvoiceResponse]:
        try:
            async with aclosing(self._mediator.stream(ReconcileInvoice(request_iterator))) as responses:
                async for response in responses:
                    yield response
        except TollwayError:
            # A client whose call ends while it writes is told of an internal error, and not of the line that is wrong.
            async for _ in request_iterator:
                pass
            raise

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

    async def LeaseBudget(
        self, request: budget_pb2.LeaseBudgetRequest, context: Context
    ) -> budget_pb2.LeaseBudgetResponse:
        return await self._mediator.send(LeaseBudget(request.journal_id, request.wishes))

    async def ReturnLease(
        self, request: budget_pb2.ReturnLeaseRequest, context: Context
    ) -> budget_pb2.ReturnLeaseResponse:
        await self._mediator.send(ReturnLease(request.journal_id, request.leases, request.journal_closed))
        return budget_pb2.ReturnLeaseResponse()

    async def WatchRecalls(
        self, request: budget_pb2.WatchRecallsRequest, context: Context
    ) -> AsyncIterator[budget_pb2.WatchRecallsResponse]:
        async with aclosing(self._mediator.stream(WatchRecalls(request.journal_id))) as responses:
            async for response in responses:
                yield response

    async def WatchBudgets(
        self, request: budget_pb2.WatchBudgetsRequest, context: Context
    ) -> AsyncIterator[budget_pb2.WatchBudgetsResponse]:
        async with aclosing(self._mediator.stream(WatchBudgets())) as responses:
            async for response in responses:
                yield response

    async def CreateBudget(
        self, request: budget_pb2.CreateBudgetRequest, context: Context
    ) -> budget_pb2.CreateBudgetResponse:
        return budget_pb2.CreateBudgetResponse(budget=await self._mediator.send(CreateBudget(request.budget)))

    async def UpdateBudget(
        self, request: budget_pb2.UpdateBudgetRequest, context: Context
    ) -> budget_pb2.UpdateBudgetResponse:
        return budget_pb2.UpdateBudgetResponse(budget=await self._mediator.send(UpdateBudget(request.budget)))

    async def DeleteBudget(
        self, request: budget_pb2.DeleteBudgetRequest, context: Context
    ) -> budget_pb2.DeleteBudgetResponse:
        await self._mediator.send(DeleteBudget(request.budget_id))
        return budget_pb2.DeleteBudgetResponse()

    async def GetBudget(self, request: budget_pb2.GetBudgetRequest, context: Context) -> budget_pb2.GetBudgetResponse:
        return await self._mediator.send(GetBudget(request.budget_id, request.subject))

    async def ListBudgets(
        self, request: budget_pb2.ListBudgetsRequest, context: Context
    ) -> budget_pb2.ListBudgetsResponse:
        return await self._mediator.send(ListBudgets(request.page_size, request.page_token))
