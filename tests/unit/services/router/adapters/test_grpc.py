"""The neighbours behind their stubs: what fails there is one of our errors here."""

from __future__ import annotations

from contextlib import aclosing
from typing import Any

import pytest

from mesh.channels import InProcessChannel, InProcessServer
from mesh.errors import Reason, TollwayError
from mesh.interceptors.errors import Errors
from mesh.tracing import TraceContext
from services.router.adapters.ledger_grpc import GrpcLedger
from services.router.adapters.providers_grpc import GrpcProviderCalls
from tests.unit.services.router.twins import text
from tollway.ledger.v1 import budget_pb2, invoice_pb2, ledger_pb2, ledger_pb2_grpc
from tollway.providers.v1 import providers_pb2, providers_pb2_grpc

TRACE = TraceContext("a" * 32, "b" * 16, True, state="vendor=1")


class Failing(providers_pb2_grpc.ProviderServiceServicer, ledger_pb2_grpc.LedgerServiceServicer):
    """Fails whatever it is asked, streams after one message."""

    def __init__(self) -> None:
        self.metadata: dict[str, Any] = {}

    async def _fail(self, request: Any, context: Any) -> Any:
        self.metadata = dict(context.invocation_metadata())
        raise TollwayError(Reason.UPSTREAM_FAILED, "no", {"upstream_status": "503"})

    CreateCompletion = ListProviderModels = RecordAttempts = CheckHealth = _fail
    AdjustAttempt = GetSpend = ListPrices = ListUsage = SetPrice = _fail
    LeaseBudget = ReturnLease = CreateBudget = UpdateBudget = DeleteBudget = GetBudget = ListBudgets = _fail

    async def StreamCompletion(self, request: Any, context: Any) -> Any:
        yield providers_pb2.StreamCompletionResponse(chunk=text("Hi"))
        await self._fail(request, context)

    async def AuditLedger(self, request: Any, context: Any) -> Any:
        yield ledger_pb2.AuditLedgerResponse()
        await self._fail(request, context)

    async def ReconcileInvoice(self, request_iterator: Any, context: Any) -> Any:
        yield invoice_pb2.ReconcileInvoiceResponse()
        await self._fail(request_iterator, context)

    async def WatchBudgets(self, request: Any, context: Any) -> Any:
        yield budget_pb2.WatchBudgetsResponse()
        await self._fail(request, context)

    async def WatchRecalls(self, request: Any, context: Any) -> Any:
        yield budget_pb2.WatchRecallsResponse()
        await self._fail(request, context)

    async def CreateEmbeddings(self, request: Any, context: Any) -> Any:
        await self._fail(request, context)

    async def CountTokens(self, request: Any, context: Any) -> Any:
        await self._fail(request, context)

    async def Forward(self, request: Any, context: Any) -> Any:
        yield providers_pb2.ForwardResponse()
        await self._fail(request, context)

    async def FindPrice(self, request: Any, context: Any) -> Any:
        await self._fail(request, context)

    async def WatchPrices(self, request: Any, context: Any) -> Any:
        yield ledger_pb2.WatchPricesResponse(prices=[ledger_pb2.Price(version="v1")])
        await self._fail(request, context)


@pytest.fixture
async def failing() -> Failing:
    return Failing()


@pytest.fixture
async def channel(failing: Failing) -> InProcessChannel:
    server = InProcessServer((Errors(),))
    providers_pb2_grpc.add_ProviderServiceServicer_to_server(failing, server)
    ledger_pb2_grpc.add_LedgerServiceServicer_to_server(failing, server)
    return InProcessChannel(server)


async def test_what_a_whole_completion_fails_with_is_ours(failing: Failing, channel: InProcessChannel) -> None:
    request = providers_pb2.CreateCompletionRequest()
    with pytest.raises(TollwayError) as failed:
        await GrpcProviderCalls(channel).complete(request, 1.0, TRACE)
    assert (failed.value.reason, failed.value.metadata) == (Reason.UPSTREAM_FAILED, {"upstream_status": "503"})
    assert failing.metadata["traceparent"] == TRACE.traceparent
    assert failing.metadata["tracestate"] == "vendor=1"


async def test_what_a_stream_fails_with_is_ours_and_what_came_before_it_is_not_lost(channel: InProcessChannel) -> None:
    stream = GrpcProviderCalls(channel).stream(providers_pb2.StreamCompletionRequest(), 1.0, TRACE)
    assert (await anext(stream)).chunk == text("Hi")
    with pytest.raises(TollwayError) as failed:
        await anext(stream)
    assert failed.value.reason is Reason.UPSTREAM_FAILED


async def test_what_vectors_and_counts_fail_with_is_ours(channel: InProcessChannel) -> None:
    calls = GrpcProviderCalls(channel)
    with pytest.raises(TollwayError) as failed:
        await calls.embed(providers_pb2.CreateEmbeddingsRequest(), 1.0, TRACE)
    assert failed.value.reason is Reason.UPSTREAM_FAILED
    with pytest.raises(TollwayError):
        await calls.count_tokens(providers_pb2.CountTokensRequest(), 1.0, TRACE)


async def test_what_is_passed_on_fails_with_an_error_of_ours(channel: InProcessChannel) -> None:
    stream = GrpcProviderCalls(channel).forward(providers_pb2.ForwardRequest(), 1.0, TRACE)
    await anext(aiter(stream))
    with pytest.raises(TollwayError) as failed:
        await anext(aiter(stream))
    assert failed.value.reason is Reason.UPSTREAM_FAILED


async def test_models_that_cannot_be_listed_fail_with_an_error_of_ours(channel: InProcessChannel) -> None:
    with pytest.raises(TollwayError):
        await GrpcProviderCalls(channel).known_models()


async def test_a_ledger_that_fails_fails_with_an_error_of_ours(channel: InProcessChannel) -> None:
    with pytest.raises(TollwayError):
        await GrpcLedger(channel).record(ledger_pb2.RecordAttemptsRequest(), 1.0, TRACE)


async def test_prices_that_cannot_be_watched_any_more_fail_with_an_error_of_ours(channel: InProcessChannel) -> None:
    async with aclosing(GrpcLedger(channel).watch_prices()) as lists:
        assert [price.version for price in (await anext(lists)).prices] == ["v1"]
        with pytest.raises(TollwayError):
            await anext(lists)


async def test_a_price_that_cannot_be_found_fails_with_an_error_of_ours(channel: InProcessChannel) -> None:
    with pytest.raises(TollwayError):
        await GrpcLedger(channel).find_price("a", "m", 1.0)
