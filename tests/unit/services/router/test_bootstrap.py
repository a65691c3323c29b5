"""The router put together, between a provider service and a ledger that the test plays, over in-process channels."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest

from mesh.channels import InProcessChannel, InProcessServer
from mesh.clock import SystemClock
from mesh.config.schema import Config
from mesh.errors import Reason, TollwayError
from mesh.interceptors.errors import Errors
from mesh.interceptors.telemetry import Telemetry
from mesh.metrics import NoMetrics
from mesh.service import Conditional
from mesh.state.connect import connect
from mesh.status import from_rpc_error
from mesh.tracing import parse_traceparent
from services.router import bootstrap
from services.router.bootstrap import RouterRuntime, unstarted
from services.router.domain.breaker_sharing import Opening
from services.router.settings import RouterSettings
from tests.unit.services.router.budget_keeper import FakeKeeper
from tests.unit.services.router.twins import (
    STOP,
    UPSTREAM,
    USAGE,
    SeeingTracer,
    answer,
    chat,
    finish,
    passed,
    role,
    text,
    usage,
    vectors,
)
from tollway.chat.v1.chat_pb2 import ChatRequest
from tollway.chat.v1.embedding_pb2 import EmbeddingInput, EmbeddingRequest
from tollway.chat.v1.forwarding_pb2 import Endpoint, Form, FormField, ForwardedQuestion
from tollway.ledger.v1 import budget_pb2, ledger_pb2, ledger_pb2_grpc
from tollway.providers.v1 import providers_pb2, providers_pb2_grpc
from tollway.router.v1 import router_pb2, router_pb2_grpc

CONFIG = {
    "providers": {"sim": {"dialect": "sim"}},
    "models": {
        "gpt": {"deployments": [{"provider": "sim", "model": "echo"}]},
        "sim/*": {"deployments": [{"provider": "sim"}]},
    },
    "journal": {"ship_every": "10ms"},
}
TRACEPARENT = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"


class Provider(providers_pb2_grpc.ProviderServiceServicer):
    """Answers `echo`, hangs in `hang`, and fails in `busy`."""

    def __init__(self) -> None:
        self.left: float = 0.0
        self.seen: list[tuple[str, float | None, str]] = []
        self.hanging = asyncio.Event()

    def _see(self, request: Any, context: Any) -> None:
        metadata = dict(context.invocation_metadata())
        self.seen.append((request.attempt_id, context.time_remaining(), str(metadata["traceparent"])))

    async def _hang(self) -> None:
        self.hanging.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.left = time.monotonic()

    async def CreateCompletion(self, request: providers_pb2.CreateCompletionRequest, context: Any) -> Any:
        self._see(request, context)
        if request.model == "hang":
            await self._hang()
        if request.model == "busy":
            raise TollwayError(Reason.UPSTREAM_RATE_LIMITED, "slow down", {"upstream_status": "429"}, 60.0)
        return providers_pb2.CreateCompletionResponse(chat=answer(), upstream=UPSTREAM)

    async def StreamCompletion(self, request: providers_pb2.StreamCompletionRequest, context: Any) -> Any:
        self._see(request, context)
        yield providers_pb2.StreamCompletionResponse(chunk=role(), upstream=UPSTREAM)
        yield providers_pb2.StreamCompletionResponse(chunk=text("Hello"))
        if request.model == "hang":
            await self._hang()
        yield providers_pb2.StreamCompletionResponse(chunk=finish())
        yield providers_pb2.StreamCompletionResponse(chunk=usage())

    async def CreateEmbeddings(self, request: providers_pb2.CreateEmbeddingsRequest, context: Any) -> Any:
        self._see(request, context)
        return providers_pb2.CreateEmbeddingsResponse(embedding=vectors([0.5, 1.0]), upstream=UPSTREAM)

    async def CountTokens(self, request: providers_pb2.CountTokensRequest, context: Any) -> Any:
        return providers_pb2.CountTokensResponse(input_tokens=42)

    async def Forward(self, request: providers_pb2.ForwardRequest, context: Any) -> Any:
        self._see(request, context)
        for message in passed(b"RIFF", b"tone", counted=USAGE):
            yield message

    async def ListProviderModels(self, request: providers_pb2.ListProviderModelsRequest, context: Any) -> Any:
        return providers_pb2.ListProviderModelsResponse(
            models=[providers_pb2.ProviderModel(provider="sim", model="echo")]
        )

    async def CheckHealth(self, request: providers_pb2.CheckHealthRequest, context: Any) -> Any:
        return providers_pb2.CheckHealthResponse()


class Ledger(ledger_pb2_grpc.LedgerServiceServicer):
    """Keeps rows, has one price, and refuses whatever bears the tag `bad`. Nobody asks it anything else."""

    # Not what a router calls.
    AdjustAttempt = AuditLedger = ReconcileInvoice = GetSpend = ListPrices = ListUsage = SetPrice = None  # type: ignore[assignment]
    CreateBudget = UpdateBudget = DeleteBudget = GetBudget = ListBudgets = None  # type: ignore[assignment]

    def __init__(self) -> None:
        self.rows: dict[str, ledger_pb2.Attempt] = {}
        self.keeper = FakeKeeper()

    async def RecordAttempts(self, request: ledger_pb2.RecordAttemptsRequest, context: Any) -> Any:
        response = ledger_pb2.RecordAttemptsResponse()
        for attempt in request.attempts:
            bad = "bad" in attempt.tags
            if not bad:
                self.rows[attempt.attempt_id] = attempt
            outcome = ledger_pb2.RECORD_OUTCOME_REFUSED if bad else ledger_pb2.RECORD_OUTCOME_RECORDED
            response.results.add(attempt_id=attempt.attempt_id, outcome=outcome)
        return response

    async def LeaseBudget(self, request: budget_pb2.LeaseBudgetRequest, context: Any) -> Any:
        return budget_pb2.LeaseBudgetResponse(answers=await self.keeper.lease(request, 1.0))

    async def ReturnLease(self, request: budget_pb2.ReturnLeaseRequest, context: Any) -> Any:
        await self.keeper.give_back(request, 1.0)
        return budget_pb2.ReturnLeaseResponse()

    async def WatchRecalls(self, request: budget_pb2.WatchRecallsRequest, context: Any) -> Any:
        async for lease_ids in self.keeper.watch_recalls(request.journal_id):
            yield budget_pb2.WatchRecallsResponse(lease_ids=lease_ids)

    async def WatchBudgets(self, request: budget_pb2.WatchBudgetsRequest, context: Any) -> Any:
        async for budgets in self.keeper.watch_budgets():
            yield budget_pb2.WatchBudgetsResponse(budgets=budgets)

    async def FindPrice(self, request: ledger_pb2.FindPriceRequest, context: Any) -> Any:
        return ledger_pb2.FindPriceResponse()

    async def WatchPrices(self, request: ledger_pb2.WatchPricesRequest, context: Any) -> Any:
        price = ledger_pb2.Price(version="v1", provider_name="sim", model_name="*", output_nanos_per_1m=2_000_000_000)
        yield ledger_pb2.WatchPricesResponse(prices=[price])
        await asyncio.Event().wait()


class Mesh:
    """A router and its neighbours."""

    def __init__(self, directory: Path, **sections: Any) -> None:
        self.directory, self._sections = directory, sections
        self.provider, self.ledger, self.tracer = Provider(), Ledger(), SeeingTracer()
        self._servers: list[InProcessServer] = []

    def _channel(self, register: Callable[[grpc.aio.Server], None]) -> grpc.aio.Channel:
        server = InProcessServer((Telemetry(self.tracer, NoMetrics()), Errors()))
        register(server)
        self._servers.append(server)
        return InProcessChannel(server)

    async def start(self) -> None:
        self.router = await bootstrap.start(
            RouterSettings.from_config(Config.model_validate({**CONFIG, **self._sections}), self.directory),
            providers=self._channel(
                lambda server: providers_pb2_grpc.add_ProviderServiceServicer_to_server(self.provider, server)
            ),
            ledger=self._channel(
                lambda server: ledger_pb2_grpc.add_LedgerServiceServicer_to_server(self.ledger, server)
            ),
            clock=SystemClock(),
            tracer=self.tracer,
            metrics=NoMetrics(),
        )
        self.stub = router_pb2_grpc.RouterServiceStub(self._channel(self.router.register))

    async def close(self) -> None:
        await self.router.close()
        for server in self._servers:
            await server.stop(None)

    async def booked(self, count: int = 1) -> list[ledger_pb2.Attempt]:
        for _ in range(500):
            rows = [row for row in self.ledger.rows.values() if row.state != ledger_pb2.ATTEMPT_STATE_OPENED]
            if len(rows) >= count:
                return rows
            await asyncio.sleep(0.01)
        raise AssertionError(f"{len(self.ledger.rows)} rows")

    def journals(self) -> list[str]:
        return os.listdir(self.directory / "journal")


@pytest.fixture
async def mesh(tmp_path: Path) -> AsyncIterator[Mesh]:
    made = Mesh(tmp_path)
    await made.start()
    yield made
    await made.close()


def asked(model: str, **fields: Any) -> router_pb2.CreateChatCompletionRequest:
    return router_pb2.CreateChatCompletionRequest(chat=chat(model), **fields)


def streamed(model: str) -> router_pb2.StreamChatCompletionRequest:
    return router_pb2.StreamChatCompletionRequest(chat=chat(model))


async def refusal(call: Any) -> TollwayError:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call
    return from_rpc_error(refused.value)


async def test_a_question_is_answered_priced_and_booked(mesh: Mesh) -> None:
    response = await mesh.stub.CreateChatCompletion(asked("gpt", request_id="mine", tags=["ci"]))
    assert response.chat == answer()
    assert response.receipt.request_id == "mine"
    assert response.receipt.cost_nanos == 5 * 2000
    (row,) = await mesh.booked()
    assert (row.request_id, list(row.tags), row.deployment) == ("mine", ["ci"], "sim/echo")
    assert (row.cost_nanos, row.price_version, row.usage) == (10_000, "v1", USAGE)
    assert row.model_provider == "sim"


async def test_a_question_without_an_id_is_given_one(mesh: Mesh) -> None:
    receipt = (await mesh.stub.CreateChatCompletion(asked("gpt"))).receipt
    assert receipt.request_id.startswith("req_")
    assert len(receipt.request_id) == 36


async def test_a_question_is_answered_as_the_answer_comes(mesh: Mesh) -> None:
    messages = [message async for message in mesh.stub.StreamChatCompletion(streamed("sim/echo"))]
    assert [delta.text for delta in messages[0].chunk.deltas] == ["", "Hello"]
    assert [delta.finish_reason for delta in messages[-1].chunk.deltas] == [STOP]
    assert messages[-1].receipt.cost_nanos == 10_000
    (row,) = await mesh.booked()
    assert row.streamed


async def test_vectors_are_given_priced_and_booked(mesh: Mesh) -> None:
    question = EmbeddingRequest(model="gpt", inputs=[EmbeddingInput(text="Hello")])
    request = router_pb2.CreateEmbeddingsRequest(embedding=question, request_id="mine", tags=["ci"])
    response = await mesh.stub.CreateEmbeddings(request)
    assert response.embedding == vectors([0.5, 1.0])
    assert (response.receipt.request_id, response.receipt.cost_nanos) == ("mine", 10_000)
    (row,) = await mesh.booked()
    assert (row.request_id, list(row.tags), row.cost_nanos) == ("mine", ["ci"], 10_000)


async def test_what_is_passed_on_is_booked_by_what_its_answer_says(mesh: Mesh) -> None:
    question = ForwardedQuestion(endpoint=Endpoint.ENDPOINT_AUDIO_SPEECH, model="gpt", json=b'{"input": "Hello"}')
    messages = [message async for message in mesh.stub.Forward(router_pb2.ForwardRequest(question=question))]
    assert b"".join(message.data for message in messages) == b"RIFFtone"
    assert messages[-1].receipt.cost_nanos == 10_000
    (row,) = await mesh.booked()
    assert (row.usage, row.deployment) == (USAGE, "sim/echo")


async def test_tokens_are_counted_and_nothing_is_booked(mesh: Mesh) -> None:
    counted = await mesh.stub.CountTokens(router_pb2.CountTokensRequest(chat=chat("gpt")))
    assert (counted.input_tokens, counted.deployment) == (42, "sim/echo")
    assert not mesh.ledger.rows


async def test_vectors_that_cannot_be_asked_for_are_refused_with_every_field(mesh: Mesh) -> None:
    empty = EmbeddingRequest(inputs=[EmbeddingInput(text="")], dimensions=0)
    told = await refusal(mesh.stub.CreateEmbeddings(router_pb2.CreateEmbeddingsRequest(embedding=empty)))
    fields = [violation.field for violation in told.violations]
    assert fields == ["embedding.model", "embedding.inputs[0]", "embedding.dimensions"]


@pytest.mark.parametrize(
    ("question", "fields"),
    [
        (ForwardedQuestion(), ["question.model", "question.endpoint", "question.json"]),
        (ForwardedQuestion(endpoint=Endpoint.ENDPOINT_RERANK, model="gpt", json=b"[]"), ["question.json"]),
        (ForwardedQuestion(endpoint=Endpoint.ENDPOINT_RERANK, model="gpt", json=b"{"), ["question.json"]),
        (
            ForwardedQuestion(
                endpoint=Endpoint.ENDPOINT_AUDIO_TRANSCRIPTIONS, model="gpt", form=Form(fields=[FormField()])
            ),
            ["question.form.fields[0].name"],
        ),
    ],
)
async def test_what_cannot_be_passed_on_is_refused_with_every_field(
    mesh: Mesh, question: ForwardedQuestion, fields: list[str]
) -> None:
    call = mesh.stub.Forward(router_pb2.ForwardRequest(question=question))
    told = await refusal(anext(aiter(call)))
    assert [violation.field for violation in told.violations] == fields


async def test_what_cannot_be_asked_is_refused_with_every_field(mesh: Mesh) -> None:
    empty = router_pb2.CreateChatCompletionRequest(chat=ChatRequest(), request_id="mine")
    told = await refusal(mesh.stub.CreateChatCompletion(empty))
    assert told.reason is Reason.INVALID_REQUEST
    assert [violation.field for violation in told.violations] == ["chat.model", "chat.messages"]
    assert told.metadata["request_id"] == "mine"
    assert mesh.provider.seen == []


async def test_an_unknown_model_is_not_found(mesh: Mesh) -> None:
    call = mesh.stub.StreamChatCompletion(streamed("nope"))
    told = await refusal(anext(aiter(call)))
    assert told.reason is Reason.MODEL_NOT_FOUND
    assert await call.code() is grpc.StatusCode.NOT_FOUND


async def test_what_the_upstream_showed_reaches_the_caller(mesh: Mesh) -> None:
    told = await refusal(mesh.stub.CreateChatCompletion(asked("sim/busy")))
    assert (told.reason, told.retry_after) == (Reason.UPSTREAM_RATE_LIMITED, 60.0)
    assert (told.metadata["attempts"], told.metadata["deployment"]) == ("1", "sim/busy")
    (row,) = await mesh.booked()
    assert (row.state, row.upstream_status) == (ledger_pb2.ATTEMPT_STATE_SETTLED, 429)


async def test_models_are_listed(mesh: Mesh) -> None:
    response = await mesh.stub.ListModels(router_pb2.ListModelsRequest())
    assert [model.name for model in response.models] == ["gpt", "sim/echo"]


async def test_a_route_is_explained_and_nobody_called(mesh: Mesh) -> None:
    request = router_pb2.ExplainRouteRequest(chat=chat("gpt"), preferences=router_pb2.Preferences(models=["sim/echo2"]))
    response = await mesh.stub.ExplainRoute(request)
    assert [candidate.deployment for candidate in response.candidates] == ["sim/echo", "sim/echo2"]
    assert mesh.provider.seen == []
    told = await refusal(mesh.stub.ExplainRoute(router_pb2.ExplainRouteRequest(chat=chat(""))))
    assert [violation.field for violation in told.violations] == ["chat.model"]


async def test_a_route_is_explained_under_the_key_and_the_cache_mode_of_its_question(tmp_path: Path) -> None:
    models = {"gpt": {"deployments": [{"provider": "sim", "model": "echo"}], "cache": "1m"}}
    mesh = Mesh(tmp_path, models=models)
    await mesh.start()
    preferences = router_pb2.Preferences(idempotency_key="k", cache=router_pb2.CACHE_MODE_USE)
    explaining = router_pb2.ExplainRouteRequest(chat=chat("gpt"), preferences=preferences)
    for _ in range(2):
        response = await mesh.stub.ExplainRoute(explaining)
        assert [candidate.deployment for candidate in response.candidates] == ["sim/echo"]
        first = await mesh.stub.CreateChatCompletion(asked("gpt", preferences=preferences))
        assert first.chat == answer()
    assert len(mesh.provider.seen) == 1
    await mesh.close()


async def test_deployments_are_listed_with_how_they_stand(mesh: Mesh) -> None:
    await mesh.stub.CreateChatCompletion(asked("sim/other"))
    response = await mesh.stub.ListDeployments(router_pb2.ListDeploymentsRequest())
    assert [status.deployment for status in response.deployments] == ["sim/echo", "sim/other"]
    assert {status.state for status in response.deployments} == {router_pb2.DEPLOYMENT_STATE_READY}


async def test_models_can_be_listed_without_starting_a_router(mesh: Mesh, tmp_path: Path) -> None:
    settings = RouterSettings.from_config(Config.model_validate(CONFIG), tmp_path / "nowhere")
    provider = mesh._channel(
        lambda server: providers_pb2_grpc.add_ProviderServiceServicer_to_server(mesh.provider, server)
    )
    models = await unstarted.offered(settings, providers=provider, clock=SystemClock())
    assert [model.name for model in models] == ["gpt", "sim/echo"]
    assert "nowhere" not in os.listdir(tmp_path)


async def test_the_provider_is_called_under_the_attempts_span_and_id_within_the_deadline(mesh: Mesh) -> None:
    metadata = (("traceparent", TRACEPARENT),)
    response = await mesh.stub.CreateChatCompletion(asked("gpt"), timeout=5.0, metadata=metadata)
    ((attempt_id, left, traceparent),) = mesh.provider.seen
    (row,) = await mesh.booked()
    (span,) = mesh.tracer.named("attempt 1 sim/echo")
    assert attempt_id == row.attempt_id
    assert left is not None
    assert 4 < left <= 5
    assert parse_traceparent(traceparent) == span.context
    assert response.receipt.trace_id == row.trace_id == "a" * 32


@pytest.mark.parametrize("stream", [False, True])
async def test_a_caller_that_leaves_stops_the_provider_within_a_tenth_of_a_second(mesh: Mesh, stream: bool) -> None:
    call: Any
    if stream:
        call = mesh.stub.StreamChatCompletion(streamed("sim/hang"))
        await anext(aiter(call))
    else:
        call = mesh.stub.CreateChatCompletion(asked("sim/hang"))
    await mesh.provider.hanging.wait()
    left = time.monotonic()
    call.cancel()
    (row,) = await mesh.booked()
    assert 0 < mesh.provider.left - left < 0.1
    assert row.status == ledger_pb2.ATTEMPT_STATUS_CANCELLED
    spans = [span for span in mesh.tracer.spans if "LedgerService" not in span.name]
    assert [(span.ended, span.error) for span in spans] == [(1, "")] * 4


@pytest.mark.parametrize("stream", [False, True])
async def test_a_caller_with_a_key_leaves_its_question_running_until_the_router_closes(
    tmp_path: Path, stream: bool
) -> None:
    mesh = Mesh(tmp_path)
    await mesh.start()
    preferences = router_pb2.Preferences(idempotency_key="k")
    call: Any
    if stream:
        request = router_pb2.StreamChatCompletionRequest(chat=chat("sim/hang"), preferences=preferences)
        call = mesh.stub.StreamChatCompletion(request)
        await anext(aiter(call))
    else:
        call = mesh.stub.CreateChatCompletion(asked("sim/hang", preferences=preferences))
    await mesh.provider.hanging.wait()
    call.cancel()
    await asyncio.sleep(0.05)
    assert not mesh.provider.left
    await mesh.close()
    assert mesh.provider.left
    (row,) = mesh.ledger.rows.values()
    assert row.status == ledger_pb2.ATTEMPT_STATUS_CANCELLED
    assert mesh.journals() == []
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_key_works_for_callers_over_grpc(mesh: Mesh) -> None:
    preferences = router_pb2.Preferences(idempotency_key="k")
    first = await mesh.stub.CreateChatCompletion(asked("gpt", preferences=preferences))
    second = await mesh.stub.CreateChatCompletion(asked("gpt", preferences=preferences))
    assert (first.receipt.replayed, second.receipt.replayed) == (False, True)
    assert second.chat == first.chat
    told = await refusal(mesh.stub.CreateChatCompletion(asked("sim/echo", preferences=preferences)))
    assert told.reason is Reason.IDEMPOTENCY_CONFLICT
    assert len(mesh.provider.seen) == 1


async def test_a_key_that_cannot_be_one_is_named(mesh: Mesh) -> None:
    preferences = router_pb2.Preferences(idempotency_key="x" * 256)
    told = await refusal(mesh.stub.CreateChatCompletion(asked("gpt", preferences=preferences)))
    assert [violation.field for violation in told.violations] == ["preferences.idempotency_key"]


async def test_an_answer_out_of_the_cache_is_booked_for_nothing(mesh: Mesh) -> None:
    preferences = router_pb2.Preferences(cache=router_pb2.CACHE_MODE_USE)
    for outcome in (router_pb2.CACHE_OUTCOME_MISS, router_pb2.CACHE_OUTCOME_HIT):
        response = await mesh.stub.CreateChatCompletion(asked("gpt", preferences=preferences))
        assert response.receipt.cache == outcome
    rows = {row.kind: row for row in await mesh.booked(2)}
    assert rows[ledger_pb2.ATTEMPT_KIND_CACHE_HIT].cost_nanos == 0
    assert rows[ledger_pb2.ATTEMPT_KIND_CACHE_HIT].model_provider == "sim"
    assert len(mesh.provider.seen) == 1


async def test_a_deadline_that_passes_stops_the_provider(mesh: Mesh) -> None:
    told = await refusal(mesh.stub.CreateChatCompletion(asked("sim/hang"), timeout=0.05))
    assert told.reason is Reason.DEADLINE_EXCEEDED
    (row,) = await mesh.booked()
    assert mesh.provider.left
    assert row.status == ledger_pb2.ATTEMPT_STATUS_CANCELLED


async def test_refused_rows_are_counted_where_operators_can_see_them(mesh: Mesh) -> None:
    await mesh.stub.CreateChatCompletion(asked("gpt", tags=["bad"]))
    await mesh.stub.CreateChatCompletion(asked("gpt"))
    await mesh.booked()
    assert mesh.router.dead_letters == 1


@pytest.mark.parametrize("when_full", ["deny", "allow"])
async def test_a_full_disk_shows_in_health_and_refuses_or_goes_on_as_configured(tmp_path: Path, when_full: str) -> None:
    mesh = Mesh(tmp_path, journal={"ship_every": "60s", "when_full": when_full})
    await mesh.start()
    assert isinstance(mesh.router, Conditional)
    file = mesh.router._books.journal.file
    file._execute(f"PRAGMA max_page_count = {file._execute('PRAGMA page_count').fetchone()[0]}")
    reasons = set()
    for _ in range(50):  # until the page that there is is full
        try:
            await mesh.stub.CreateChatCompletion(asked("gpt"))
        except grpc.aio.AioRpcError as error:
            reasons.add(from_rpc_error(error).reason)
    assert mesh.router.journal_is_failing
    assert mesh.router.serving == (when_full == "allow")
    assert reasons == (set() if when_full == "allow" else {Reason.SERVICE_UNAVAILABLE})
    file._execute("PRAGMA max_page_count = 1000000")
    await mesh.stub.CreateChatCompletion(asked("gpt"))
    assert mesh.router.serving
    assert not mesh.router.journal_is_failing
    await mesh.close()
    assert len(mesh.ledger.rows) == len({attempt for attempt, _, _ in mesh.provider.seen}), "each call has its row"


async def test_a_closed_router_leaves_nothing_behind(tmp_path: Path) -> None:
    mesh = Mesh(tmp_path)
    await mesh.start()
    assert mesh.journals()
    await mesh.stub.CreateChatCompletion(asked("gpt"))
    await mesh.close()
    assert len(mesh.ledger.rows) == 1
    assert mesh.journals() == []
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_router_that_shares_its_state_knows_what_others_left_alone(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/state.db"
    other = await connect(url, local=True, timeout=5.0, clock=SystemClock(), metrics=NoMetrics())
    down = Opening("other-1", time.time() + 20, "it is down there", probes=1, open_for=30.0)
    await other.store.put("breaker:sim/echo", down.encode(), ttl=60.0)
    await other.store.close()
    mesh = Mesh(tmp_path, state={"url": url})
    await mesh.start()
    told = await refusal(mesh.stub.CreateChatCompletion(asked("gpt")))
    assert told.reason is Reason.NO_DEPLOYMENT_READY
    assert "it is down there" in told.message
    assert told.retry_after == pytest.approx(20, abs=2)


LIMITED: dict[str, Any] = {
    "limits": [{"scope": "key:*", "requests": "1/d", "tokens": "100/d", "concurrency": 5}],
    "state": {"url": "sqlite:///{data_dir}/state.db"},
}


async def test_limits_hold_and_a_closed_router_leaves_none_of_its_work_behind(tmp_path: Path) -> None:
    mesh = Mesh(tmp_path, **LIMITED)
    await mesh.start()
    receipt = (await mesh.stub.CreateChatCompletion(asked("gpt"))).receipt
    assert (receipt.rate_limits.requests.scope, receipt.rate_limits.requests.remaining) == ("key:local", 0)
    told = await refusal(mesh.stub.CreateChatCompletion(asked("gpt", request_id="mine")))
    assert told.reason is Reason.RATE_LIMITED
    assert told.retry_after == pytest.approx(86_400, abs=10)
    assert (told.metadata["scope"], told.metadata["request_id"]) == ("key:local", "mine")
    assert not mesh.router.state_is_lost
    await mesh.close()
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_router_that_is_started_again_knows_what_was_drawn(tmp_path: Path) -> None:
    for allowed in (True, False):
        mesh = Mesh(tmp_path, **LIMITED)
        await mesh.start()
        if allowed:
            await mesh.stub.CreateChatCompletion(asked("gpt"))
        else:
            assert (await refusal(mesh.stub.CreateChatCompletion(asked("gpt")))).reason is Reason.RATE_LIMITED
        await mesh.close()


async def test_without_limits_there_is_no_admission(mesh: Mesh) -> None:
    assert not (await mesh.stub.CreateChatCompletion(asked("gpt"))).receipt.HasField("rate_limits")


async def test_the_router_says_what_it_is_and_what_it_needs(mesh: Mesh) -> None:
    router: RouterRuntime = mesh.router
    assert (router.name, router.proto_services) == ("router", ("tollway.router.v1.RouterService",))
    assert set(router.hops) == {"tollway.providers.v1.ProviderService", "tollway.ledger.v1.LedgerService"}


async def test_a_fallback_that_names_nothing_is_told_at_the_start(tmp_path: Path) -> None:
    wrong = {**CONFIG, "models": {"gpt": {"deployments": [{"provider": "sim"}], "fallbacks": ["nope"]}}}
    channel = InProcessChannel(InProcessServer())
    with pytest.raises(ValueError, match="nope"):
        await bootstrap.start(
            RouterSettings.from_config(Config.model_validate(wrong), tmp_path),
            providers=channel,
            ledger=channel,
            clock=SystemClock(),
            tracer=SeeingTracer(),
            metrics=NoMetrics(),
        )
    assert os.listdir(tmp_path) == []
