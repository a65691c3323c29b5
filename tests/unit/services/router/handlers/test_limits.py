"""Each limit of a route, in virtual time: the router, the provider service's own handlers, and the sim behind them.

The limit on connecting is the transport's alone; what it means is in `test_failover`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from mesh.clock import VirtualClock
from mesh.config.schema import SimOptions
from mesh.errors import Reason, TollwayError
from mesh.metrics import NoMetrics
from mesh.tracing import NoTracer, TraceContext
from services.providers.adapters import openai
from services.providers.adapters.sim.memory import MemoryTransport
from services.providers.adapters.sim.script import Model
from services.providers.handlers.calling import Surroundings
from services.providers.handlers.create_completion import CreateCompletion, create_completion
from services.providers.handlers.stream_completion import StreamCompletion, stream_completion
from services.providers.ports import Dialect, Provider
from services.router.domain.routes import Deployment, Route, Routes
from services.router.ports import CompletionStream
from tests.unit.services.router.bench import Bench
from tollway.ledger.v1.ledger_pb2 import AttemptStatus
from tollway.providers.v1.providers_pb2 import (
    CallTimeouts,
    CreateCompletionRequest,
    CreateCompletionResponse,
    ProviderModel,
    StreamCompletionRequest,
    StreamCompletionResponse,
)

both = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


class Sims:
    """Implements `ProviderCalls`: the provider service without a channel between, and sims alone behind it."""

    def __init__(self, clock: VirtualClock, names: str) -> None:
        self._clock = clock
        dialect: Dialect = openai
        self._providers = {
            name: Provider(name, dialect, MemoryTransport(Model(SimOptions()), clock), "http://sim/v1", {}, str)
            for name in names
        }
        self._around = Surroundings(clock, NoTracer(), NoMetrics())
        self.asked: list[str] = []

    async def complete(
        self, request: CreateCompletionRequest, timeout: float | None, trace: TraceContext
    ) -> CreateCompletionResponse:
        self.asked.append(request.provider)
        command = CreateCompletion(request, trace)
        try:
            async with self._clock.timeout(timeout):
                return await create_completion(command, providers=self._providers, around=self._around)
        except TimeoutError:
            raise TollwayError(Reason.DEADLINE_EXCEEDED, "it took too long") from None

    def stream(self, request: StreamCompletionRequest, timeout: float | None, trace: TraceContext) -> CompletionStream:
        self.asked.append(request.provider)
        command = StreamCompletion(request, trace)
        return Reading(stream_completion(command, providers=self._providers, around=self._around), self._clock, timeout)

    async def known_models(self) -> Sequence[ProviderModel]:
        return ()


class Reading:
    """Implements `CompletionStream`."""

    def __init__(self, responses: Any, clock: VirtualClock, timeout: float | None) -> None:
        self._responses, self._clock = responses, clock
        self._end = None if timeout is None else clock.monotonic() + timeout

    def __aiter__(self) -> AsyncIterator[StreamCompletionResponse]:
        return self

    async def __anext__(self) -> StreamCompletionResponse:
        left = None if self._end is None else self._end - self._clock.monotonic()
        try:
            async with self._clock.timeout(left):
                response: StreamCompletionResponse = await anext(self._responses)
                return response
        except TimeoutError:
            raise TollwayError(Reason.DEADLINE_EXCEEDED, "it took too long") from None

    def cancel(self) -> None: ...


def limits(**seconds: float) -> CallTimeouts:
    timeouts = CallTimeouts()
    for name, each in {"connect": 3.0, "headers": 30.0, "first_token": 30.0, "gap": 30.0, **seconds}.items():
        getattr(timeouts, name).FromMilliseconds(round(each * 1000))
    return timeouts


def deploy(bench: Bench, first: str, second: str = "sim", total: float = 600.0, **seconds: float) -> Sims:
    """Two sims, the first with limits; each under the name that says how it behaves."""
    sims = Sims(bench.clock, "ab")
    bench.providers = sims  # type: ignore[assignment]  # the desk knows either by what it can do
    timeouts = limits(**seconds)
    routes = (
        Deployment("a", first, timeouts=timeouts, total=total, can=frozenset({"prefill"})),
        Deployment("b", second, timeouts=limits(), can=frozenset({"prefill"})),
    )
    bench.routes = Routes([Route("gpt", routes)])
    return sims


@pytest.mark.parametrize(
    ("model", "limit"),
    [
        ("silence", "headers"),
        ("silence-after-headers", "first_token"),
        ("silence-after-role", "first_token"),
        ("pings", "first_token"),
    ],
)
async def test_a_stream_without_content_is_waited_for_as_long_as_the_route_says(
    bench: Bench, model: str, limit: str
) -> None:
    sims = deploy(bench, model, **{limit: 4.0})  # type: ignore[arg-type]  # it is the name of a limit
    waiting = bench.ask(True)
    assert await bench.seconds(waiting) == pytest.approx(4, abs=0.5)
    assert (await waiting)[1].deployment == "b/sim"
    assert sims.asked == ["a", "b"]
    assert bench.journal.rows[0].error_reason == "UPSTREAM_SILENT"


async def test_a_stream_that_falls_silent_is_waited_for_as_long_as_the_gap_may_be(bench: Bench) -> None:
    sims = deploy(bench, "stall:after=5", gap=4.0)
    reader = bench.stream()
    assert await bench.seconds(reader.task) == pytest.approx(4, abs=0.5)
    assert sims.asked == ["a", "b"]
    assert bench.journal.rows[0].status == AttemptStatus.ATTEMPT_STATUS_INTERRUPTED


@both
async def test_a_call_may_take_as_long_as_the_route_says_as_a_whole(bench: Bench, stream: bool) -> None:
    sims = deploy(bench, "text:ttft=100s", total=4.0)
    waiting = bench.ask(stream)
    assert await bench.seconds(waiting) == pytest.approx(4, abs=0.5)
    assert (await waiting)[1].deployment == "b/sim"
    assert sims.asked == ["a", "b"]


async def test_a_whole_answer_may_be_silent_for_longer_than_a_stream(bench: Bench) -> None:
    sims = deploy(bench, "text:ttft=20s", headers=4.0, first_token=4.0)
    waiting = bench.ask(False)
    assert await bench.seconds(waiting) == pytest.approx(20, abs=0.5)
    assert sims.asked == ["a"]


async def test_a_whole_answer_that_stalls_is_waited_for_as_long_as_the_gap_may_be(bench: Bench) -> None:
    sims = deploy(bench, "stall", gap=4.0)
    waiting = bench.ask(False)
    assert await bench.seconds(waiting) == pytest.approx(4, abs=0.5)
    assert sims.asked == ["a", "b"]


@both
@pytest.mark.parametrize(
    "model", ["silence", "silence-after-headers", "silence-after-role", "pings", "text:ttft=100s", "stall:after=5"]
)
async def test_the_clients_deadline_stands_above_every_limit(bench: Bench, stream: bool, model: str) -> None:
    sims = deploy(bench, model)
    waiting = bench.ask(stream, timeout=5.0)
    assert await bench.seconds(waiting) == pytest.approx(5, abs=0.5)
    assert (await bench.failure(waiting)).reason is Reason.DEADLINE_EXCEEDED
    assert sims.asked == ["a"]
    assert bench.journal.rows[0].status == AttemptStatus.ATTEMPT_STATUS_CANCELLED


async def test_a_slow_stream_that_keeps_within_its_limits_is_left_alone(bench: Bench) -> None:
    sims = deploy(bench, "text:rate=1,tokens=20", headers=2.0, first_token=2.0, gap=2.0)
    reader = bench.stream()
    assert await bench.seconds(reader.task) == pytest.approx(19, abs=0.5)
    assert sims.asked == ["a"]


# -- going on, with sims ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["cut", "malformed", "error-event"])
async def test_a_fault_that_passes_is_gone_on_from_and_the_answer_is_the_same(bench: Bench, fault: str) -> None:
    deploy(bench, "sim")
    whole = bench.stream()
    await bench.seconds(whole.task)
    sims = deploy(bench, f"{fault}:after=5,fail=1,key=x")
    reader = bench.stream()
    await bench.seconds(reader.task)
    assert reader.text == whole.text
    assert sims.asked == ["a", "a"]


@pytest.mark.parametrize("fault", ["cut", "malformed", "error-event", "stall"])
@pytest.mark.parametrize("second", ["sim", "text:rate=50"])
async def test_a_fault_that_stays_is_gone_on_from_elsewhere_or_repeated_there(
    bench: Bench, fault: str, second: str
) -> None:
    deploy(bench, "sim")
    whole = bench.stream()
    await bench.seconds(whole.task)
    sims = deploy(bench, f"{fault}:after=5", second, gap=2.0)
    reader = bench.stream()
    await bench.seconds(reader.task)
    assert reader.text == whole.text
    assert len(reader.finishes) == 1
    assert sims.asked[-1] == "b"


async def test_another_sim_says_it_all_again_and_is_spliced(bench: Bench) -> None:
    deploy(bench, "sim")
    whole = bench.stream()
    await bench.seconds(whole.task)
    deploy(bench, "cut:after=7")
    bench.routes = Routes([Route("gpt", (Deployment("a", "cut:after=7"), Deployment("b", "sim")))])
    reader = bench.stream()
    await bench.seconds(reader.task)
    assert reader.text == whole.text
    assert [row.status for row in bench.journal.rows[-2:]] == [
        AttemptStatus.ATTEMPT_STATUS_INTERRUPTED,
        AttemptStatus.ATTEMPT_STATUS_OK,
    ]
