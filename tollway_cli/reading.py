"""Where `tollway spend` and its neighbours read from: the ledger's database, or a ledger that is asked."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Protocol

import grpc

from mesh.errors import TollwayError
from tollway.ledger.v1 import budget_pb2, invoice_pb2, ledger_pb2
from tollway_cli.asking import channel, metadata, sentence
from tollway_cli.configuration import load_or_refuse
from tollway_cli.refusal import refuse

_TIMEOUT = 30.0

Pieces = AsyncIterator[invoice_pb2.ReconcileInvoiceRequest]


class Reading(Protocol):
    """Where the book is read: its database, or a ledger."""

    async def get_spend(self, request: ledger_pb2.GetSpendRequest) -> ledger_pb2.GetSpendResponse: ...

    async def list_usage(self, request: ledger_pb2.ListUsageRequest) -> ledger_pb2.ListUsageResponse: ...

    def audit(self) -> AsyncIterator[ledger_pb2.AuditLedgerResponse]: ...

    async def list_prices(self, request: ledger_pb2.ListPricesRequest) -> ledger_pb2.ListPricesResponse: ...

    async def list_budgets(self, request: budget_pb2.ListBudgetsRequest) -> budget_pb2.ListBudgetsResponse: ...

    def reconcile(self, pieces: Pieces) -> AsyncIterator[invoice_pb2.ReconcileInvoiceResponse]: ...

    # What follows, where it was opened for writing.

    async def adjust(self, request: ledger_pb2.AdjustAttemptRequest) -> ledger_pb2.AdjustAttemptResponse: ...

    async def set_price(self, request: ledger_pb2.SetPriceRequest) -> ledger_pb2.SetPriceResponse: ...

    async def create_budget(self, request: budget_pb2.CreateBudgetRequest) -> budget_pb2.CreateBudgetResponse: ...

    async def update_budget(self, request: budget_pb2.UpdateBudgetRequest) -> budget_pb2.UpdateBudgetResponse: ...

    async def delete_budget(self, request: budget_pb2.DeleteBudgetRequest) -> budget_pb2.DeleteBudgetResponse: ...


@asynccontextmanager
async def reading(
    connect: str, key: str, data_dir: Path, config: Path | None, *, writable: bool = False
) -> AsyncIterator[Reading]:
    """The ledger at `connect`, shown the key; where that is empty, its database. Errors end it all."""
    try:
        if connect:
            async with _asking(connect, metadata(key), config) as asked:
                yield asked
        else:
            async with _opened(data_dir, config, writable=writable) as opened:
                yield opened
    except TollwayError as error:
        refuse(sentence(error))


@asynccontextmanager
async def _asking(target: str, shown: tuple[tuple[str, str], ...], config: Path | None) -> AsyncIterator[Reading]:
    from mesh.status import from_rpc_error
    from tollway.ledger.v1.ledger_pb2_grpc import LedgerServiceStub

    class Asked:
        def __init__(self, channel: grpc.aio.Channel) -> None:
            self._ledger = LedgerServiceStub(channel)

        async def get_spend(self, request: ledger_pb2.GetSpendRequest) -> ledger_pb2.GetSpendResponse:
            return await self._ledger.GetSpend(request, timeout=_TIMEOUT, metadata=shown)

        async def list_usage(self, request: ledger_pb2.ListUsageRequest) -> ledger_pb2.ListUsageResponse:
            return await self._ledger.ListUsage(request, timeout=_TIMEOUT, metadata=shown)

        async def audit(self) -> AsyncIterator[ledger_pb2.AuditLedgerResponse]:
            async for response in self._ledger.AuditLedger(ledger_pb2.AuditLedgerRequest(), metadata=shown):
                yield response

        async def reconcile(self, pieces: Pieces) -> AsyncIterator[invoice_pb2.ReconcileInvoiceResponse]:
            # Who is not let in learns it here, where it is said: a call that ends while it is written to is INTERNAL.
            await self.get_spend(ledger_pb2.GetSpendRequest(filter=ledger_pb2.UsageFilter(request_id="-")))
            async for response in self._ledger.ReconcileInvoice(pieces, metadata=shown):
                yield response

        async def adjust(self, request: ledger_pb2.AdjustAttemptRequest) -> ledger_pb2.AdjustAttemptResponse:
            return await self._ledger.AdjustAttempt(request, timeout=_TIMEOUT, metadata=shown)

        async def list_budgets(self, request: budget_pb2.ListBudgetsRequest) -> budget_pb2.ListBudgetsResponse:
            return await self._ledger.ListBudgets(request, timeout=_TIMEOUT, metadata=shown)

        async def create_budget(self, request: budget_pb2.CreateBudgetRequest) -> budget_pb2.CreateBudgetResponse:
            return await self._ledger.CreateBudget(request, timeout=_TIMEOUT, metadata=shown)

        async def update_budget(self, request: budget_pb2.UpdateBudgetRequest) -> budget_pb2.UpdateBudgetResponse:
            return await self._ledger.UpdateBudget(request, timeout=_TIMEOUT, metadata=shown)

        async def delete_budget(self, request: budget_pb2.DeleteBudgetRequest) -> budget_pb2.DeleteBudgetResponse:
            return await self._ledger.DeleteBudget(request, timeout=_TIMEOUT, metadata=shown)

        async def list_prices(self, request: ledger_pb2.ListPricesRequest) -> ledger_pb2.ListPricesResponse:
            return await self._ledger.ListPrices(request, timeout=_TIMEOUT, metadata=shown)

        async def set_price(self, request: ledger_pb2.SetPriceRequest) -> ledger_pb2.SetPriceResponse:
            return await self._ledger.SetPrice(request, timeout=_TIMEOUT, metadata=shown)

    async with channel(target, config) as to_ledger:
        try:
            yield Asked(to_ledger)
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from None


@asynccontextmanager
async def _opened(data_dir: Path, config: Path | None, *, writable: bool) -> AsyncIterator[Reading]:
    from services.ledger.bootstrap import LedgerReader, open_reader
    from services.ledger.handlers.adjust_attempt import AdjustAttempt
    from services.ledger.handlers.audit_ledger import AuditLedger
    from services.ledger.handlers.create_budget import CreateBudget
    from services.ledger.handlers.delete_budget import DeleteBudget
    from services.ledger.handlers.get_spend import GetSpend
    from services.ledger.handlers.list_budgets import ListBudgets
    from services.ledger.handlers.list_prices import ListPrices
    from services.ledger.handlers.list_usage import ListUsage
    from services.ledger.handlers.reconcile_invoice import ReconcileInvoice
    from services.ledger.handlers.set_price import SetPrice
    from services.ledger.handlers.update_budget import UpdateBudget
    from services.ledger.settings import LedgerSettings

    class Read:
        def __init__(self, reader: LedgerReader) -> None:
            self._reader = reader

        async def get_spend(self, request: ledger_pb2.GetSpendRequest) -> ledger_pb2.GetSpendResponse:
            return await self._reader.send(GetSpend(request.filter, request.group_by))

        async def list_usage(self, request: ledger_pb2.ListUsageRequest) -> ledger_pb2.ListUsageResponse:
            return await self._reader.send(ListUsage(request.filter, request.page_size, request.page_token))

        async def audit(self) -> AsyncIterator[ledger_pb2.AuditLedgerResponse]:
            async with aclosing(self._reader.stream(AuditLedger())) as responses:
                async for response in responses:
                    yield response

        async def reconcile(self, pieces: Pieces) -> AsyncIterator[invoice_pb2.ReconcileInvoiceResponse]:
            async with aclosing(self._reader.stream(ReconcileInvoice(pieces))) as responses:
                async for response in responses:
                    yield response

        async def adjust(self, request: ledger_pb2.AdjustAttemptRequest) -> ledger_pb2.AdjustAttemptResponse:
            return await self._reader.send(AdjustAttempt(request.attempt_id, request.cost_nanos, request.reason))

        async def list_budgets(self, request: budget_pb2.ListBudgetsRequest) -> budget_pb2.ListBudgetsResponse:
            return await self._reader.send(ListBudgets(request.page_size, request.page_token))

        async def create_budget(self, request: budget_pb2.CreateBudgetRequest) -> budget_pb2.CreateBudgetResponse:
            return budget_pb2.CreateBudgetResponse(budget=await self._reader.send(CreateBudget(request.budget)))

        async def update_budget(self, request: budget_pb2.UpdateBudgetRequest) -> budget_pb2.UpdateBudgetResponse:
            return budget_pb2.UpdateBudgetResponse(budget=await self._reader.send(UpdateBudget(request.budget)))

        async def delete_budget(self, request: budget_pb2.DeleteBudgetRequest) -> budget_pb2.DeleteBudgetResponse:
            await self._reader.send(DeleteBudget(request.budget_id))
            return budget_pb2.DeleteBudgetResponse()

        async def list_prices(self, request: ledger_pb2.ListPricesRequest) -> ledger_pb2.ListPricesResponse:
            return await self._reader.send(ListPrices(request.page_size, request.page_token))

        async def set_price(self, request: ledger_pb2.SetPriceRequest) -> ledger_pb2.SetPriceResponse:
            return ledger_pb2.SetPriceResponse(price=await self._reader.send(SetPrice(request.price)))

    settings = LedgerSettings.from_config(load_or_refuse(config), data_dir)
    async with await open_reader(settings, writable=writable) as reader:
        yield Read(reader)
