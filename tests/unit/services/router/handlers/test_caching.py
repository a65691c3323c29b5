"""A question that was answered before is given the same answer, at once and for nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from mesh.errors import Reason
from mesh.mediator import Mediator, when
from services.ledger.domain.validation import why_not_bookable
from services.router.adapters.exact_cache import ExactCache
from services.router.domain.caching import Ruled, Ttls
from services.router.domain.principal import LOCAL, Principal
from services.router.handlers.caching import Caching, as_asked
from services.router.handlers.create_chat_completion import CreateChatCompletion, create_chat_completion
from services.router.handlers.question import Question
from services.router.handlers.stream_chat_completion import StreamChatCompletion, stream_chat_completion
from tests.unit.services.router.bench import PARENT, Bench, Reader
from tests.unit.services.router.memory_state import MemoryState
from tests.unit.services.router.twins import (
    USAGE,
    Item,
    Pause,
    answer,
    chat,
    error,
    finish,
    role,
    streamed,
    text,
    usage,
)
from tollway.chat.v1.chat_pb2 import ChatRequest, FinishReason, Usage
from tollway.ledger.v1.ledger_pb2 import (
    ATTEMPT_KIND_CACHE_HIT,
    ATTEMPT_STATE_SETTLED,
    ATTEMPT_STATUS_OK,
    PROVENANCE_CACHED,
    Attempt,
)
from tollway.router.v1.router_pb2 import (
    CacheMode,
    CacheOutcome,
    CreateChatCompletionResponse,
    Preferences,
    Receipt,
)

BYPASS, REFRESH, USE = CacheMode.CACHE_MODE_BYPASS, CacheMode.CACHE_MODE_REFRESH, CacheMode.CACHE_MODE_USE
HIT, MISS = CacheOutcome.CACHE_OUTCOME_HIT, CacheOutcome.CACHE_OUTCOME_MISS
SLOW: list[Item] = [role(), text("a"), Pause(2), text("b"), Pause(2), finish(), usage()]


class Cached:
    """Handlers behind a cache that keeps answers for a minute."""

    def __init__(
        self, bench: Bench, ttl: float | None = 60.0, ruled: Callable[[Question], Ruled | None] = as_asked
    ) -> None:
        self.bench, self.store = bench, MemoryState(bench.clock)
        self.caching = Caching(
            ExactCache(self.store, bench.clock, 100_000), Ttls({"gpt": ttl}, 600.0), bench.journal, bench.clock,
            bench.tracer, bench.metrics, model_providers={"a": "openai"}, max_entry=10_000, ruled=ruled,
        )  # fmt: skip
        handlers: list[tuple[type, Callable[[Any], Any]]] = [
            (CreateChatCompletion, partial(create_chat_completion, desk=bench.desk)),
            (StreamChatCompletion, partial(stream_chat_completion, desk=bench.desk)),
        ]
        self.mediator = Mediator(handlers, behaviors=[when(self.caching.concerns, self.caching)])

    def command(
        self,
        kind: Any,
        mode: CacheMode.ValueType = CacheMode.CACHE_MODE_UNSPECIFIED,
        request: ChatRequest | None = None,
        who: Principal = LOCAL,
        models: tuple[str, ...] = (),
    ) -> Any:
        preferences = Preferences(cache=mode, models=models)
        return kind(request or chat(), "req-1", ["ci"], PARENT, None, preferences, principal=who)

    def stream(self, *asked: Any, **more: Any) -> Reader:
        return Reader(self.mediator.stream(self.command(StreamChatCompletion, *asked, **more)))

    def create(self, *asked: Any, **more: Any) -> asyncio.Task[CreateChatCompletionResponse]:
        command: CreateChatCompletion = self.command(CreateChatCompletion, *asked, **more)

        async def send() -> CreateChatCompletionResponse:
            return await self.mediator.send(command)

        return asyncio.get_running_loop().create_task(send())

    async def ask(self, streamed: bool, *asked: Any, **more: Any) -> Receipt:
        """The receipt of an answer, either way."""
        if streamed:
            reader = self.stream(*asked, **more)
            await self.bench.seconds(reader.task)
            return reader.messages[-1].receipt
        waiting = self.create(*asked, **more)
        await self.bench.seconds(waiting)
        return waiting.result().receipt


@pytest.fixture
async def cached(bench: Bench) -> Cached:
    bench.deploy(a=[streamed("Hello")])
    return Cached(bench)


EITHER = pytest.mark.parametrize("stream", [False, True])


async def test_a_stream_is_given_again_at_once_and_says_so(bench: Bench, cached: Cached) -> None:
    bench.providers.scripts = {"a/m": [SLOW]}
    first = cached.stream()
    await bench.seconds(first.task)
    await bench.clock.advance(10)
    second = cached.stream()
    assert await bench.seconds(second.task) == 0
    assert (second.text, second.finishes) == (first.text, first.finishes) == ("ab", [1])
    assert second.messages[-1].chunk.usage == USAGE
    assert second.messages[0].chunk.id == "chat-1"
    opening, ending = second.messages[0].receipt, second.messages[-1].receipt
    assert opening == ending
    assert (ending.cache, ending.cost_nanos, ending.attempts, ending.deployment) == (HIT, 0, 0, "a/m")
    assert ending.HasField("cost_nanos")
    assert ending.age.seconds == 10
    assert bench.providers.asked() == ["a/m"]


async def test_a_whole_answer_is_given_again(bench: Bench, cached: Cached) -> None:
    first, second = cached.create(), cached.create()
    await bench.seconds(first)
    await bench.seconds(second)
    third = cached.create()
    await bench.seconds(third)
    assert first.result().receipt.cache == MISS
    assert third.result().chat == first.result().chat
    assert (third.result().receipt.cache, third.result().receipt.cost_nanos) == (HIT, 0)


@EITHER
async def test_an_answer_out_of_the_cache_is_booked_for_nothing_as_what_it_is(
    bench: Bench, cached: Cached, stream: bool
) -> None:
    await cached.ask(stream)
    receipt = await cached.ask(stream)
    called, hit = bench.journal.rows
    assert (hit.kind, hit.state, hit.status) == (ATTEMPT_KIND_CACHE_HIT, ATTEMPT_STATE_SETTLED, ATTEMPT_STATUS_OK)
    assert (hit.cost_nanos, hit.price_version, hit.provenance) == (0, "", PROVENANCE_CACHED)
    assert hit.HasField("cost_nanos")
    assert hit.HasField("usage")
    assert hit.usage == Usage()
    same = ("model_requested", "model_used", "model_provider", "provider_name", "deployment", "tags", "tenant",
            "project", "api_key_id", "request_id", "streamed", "finish_reason")  # fmt: skip
    assert [getattr(hit, name) for name in same] == [getattr(called, name) for name in same]
    assert hit.attempt_id != called.attempt_id
    assert hit.trace_id == receipt.trace_id
    opened = bench.journal.opens[1]
    assert (opened.kind, opened.HasField("cost_nanos")) == (ATTEMPT_KIND_CACHE_HIT, False)


@EITHER
async def test_the_ledger_books_such_a_row(bench: Bench, cached: Cached, stream: bool) -> None:
    await cached.ask(stream)
    await cached.ask(stream)
    rows: list[Attempt] = [*bench.journal.opens.values(), *bench.journal.rows]
    assert [why_not_bookable(row, bench.clock.time()) for row in rows] == [""] * 4


@EITHER
async def test_an_answer_is_forgotten_when_its_time_is_over(bench: Bench, cached: Cached, stream: bool) -> None:
    await cached.ask(stream)
    await bench.clock.advance(59)
    assert (await cached.ask(stream)).cache == HIT
    await bench.clock.advance(2)
    assert (await cached.ask(stream)).cache == MISS


@EITHER
@pytest.mark.parametrize(
    "who", [Principal("other", "default", "local"), Principal("default", "other", "local")], ids=["tenant", "project"]
)
async def test_an_answer_is_nobody_elses(bench: Bench, cached: Cached, stream: bool, who: Principal) -> None:
    await cached.ask(stream)
    assert (await cached.ask(stream, who=who)).cache == MISS
    assert (await cached.ask(stream, who=Principal("default", "default", "other key"))).cache == HIT


@EITHER
async def test_another_question_is_asked(bench: Bench, cached: Cached, stream: bool) -> None:
    await cached.ask(stream)
    assert (await cached.ask(stream, request=chat(words="Say goodbye"))).cache == MISS
    assert (await cached.ask(stream, models=("gpt",))).cache == MISS
    assert (await cached.ask(not stream)).cache == MISS


@EITHER
async def test_a_request_may_pass_the_cache_by(bench: Bench, cached: Cached, stream: bool) -> None:
    await cached.ask(stream, BYPASS)
    assert cached.store.asked == []
    await cached.ask(stream)
    assert (await cached.ask(stream, BYPASS)).cache == CacheOutcome.CACHE_OUTCOME_UNSPECIFIED
    assert len(bench.providers.calls) == 3


@EITHER
async def test_a_request_may_have_an_answer_made_anew(bench: Bench, cached: Cached, stream: bool) -> None:
    bench.providers.scripts = {"a/m": [answer("one"), answer("two")]}
    if stream:
        bench.providers.scripts = {"a/m": [streamed("one"), streamed("two")]}
    await cached.ask(stream)
    await bench.clock.advance(30)
    assert (await cached.ask(stream, REFRESH)).cache == CacheOutcome.CACHE_OUTCOME_REFRESHED
    await bench.clock.advance(40)  # the first would have lapsed by now
    receipt = await cached.ask(stream)
    assert (receipt.cache, receipt.age.seconds) == (HIT, 40)


@EITHER
async def test_a_request_may_use_the_cache_where_the_model_has_none(bench: Bench, stream: bool) -> None:
    bench.deploy(a=[streamed("Hello")])
    cached = Cached(bench, ttl=None)
    assert (await cached.ask(stream)).cache == CacheOutcome.CACHE_OUTCOME_UNSPECIFIED
    assert cached.store.asked == []
    assert (await cached.ask(stream, USE)).cache == MISS
    await bench.clock.advance(599)
    assert (await cached.ask(stream, USE)).cache == HIT


@EITHER
@pytest.mark.parametrize("ttl", [None, 600.0], ids=["a model without", "a model with"])
async def test_a_key_may_use_the_cache_whatever_its_model_says(bench: Bench, stream: bool, ttl: float | None) -> None:
    bench.deploy(a=[streamed("Hello")])
    cached = Cached(bench, ttl=ttl)
    who = Principal("default", "default", "ci", cache=20.0)
    assert (await cached.ask(stream, who=who)).cache == MISS
    await bench.clock.advance(19)
    assert (await cached.ask(stream, who=who)).cache == HIT
    assert (await cached.ask(stream, BYPASS, who=who)).cache == CacheOutcome.CACHE_OUTCOME_UNSPECIFIED
    await bench.clock.advance(2)
    assert (await cached.ask(stream, who=who)).cache == MISS
    asked = len(bench.providers.calls)
    others = (await cached.ask(stream)).cache
    assert others == (CacheOutcome.CACHE_OUTCOME_UNSPECIFIED if ttl is None else HIT)
    assert len(bench.providers.calls) == asked + (ttl is None)


@pytest.mark.parametrize(
    "script",
    [
        [text("a"), finish(reason=FinishReason.FINISH_REASON_LENGTH), usage()],
        [text("a"), finish(reason=FinishReason.FINISH_REASON_CONTENT_FILTER), usage()],
        [text("x" * 20_000), finish(), usage()],
    ],
    ids=["cut by a cap", "withheld", "too large"],
)
async def test_what_is_no_whole_good_answer_is_not_kept(bench: Bench, cached: Cached, script: list[Item]) -> None:
    bench.providers.scripts = {"a/m": [script]}
    await cached.ask(True)
    assert (await cached.ask(True)).cache == MISS
    assert cached.store.keys() == []


async def test_an_error_is_not_kept(bench: Bench, cached: Cached) -> None:
    refused = error(Reason.UPSTREAM_REJECTED, upstream_status="400")
    bench.providers.scripts = {"a/m": [[text("a"), error(Reason.UPSTREAM_CUT)], refused, streamed("Hi")]}
    for _ in range(2):
        await bench.failure(cached.stream().task)
    assert cached.store.keys() == []
    assert (await cached.ask(True)).cache == MISS


async def test_a_client_that_leaves_leaves_nothing_in_the_cache(bench: Bench, cached: Cached) -> None:
    bench.providers.scripts = {"a/m": [SLOW]}
    reader = cached.stream()
    await bench.clock.advance(1)
    reader.task.cancel()
    await bench.clock.advance(10)
    assert cached.store.keys() == []


class TestWithRules:
    """Rules that put, refuse and send questions elsewhere by their tags."""

    @pytest.fixture
    async def cached(self, bench: Bench) -> Cached:
        bench.deploy(a=[streamed("Hello")])
        self.ruling: Callable[[Question], Ruled | None] = as_asked
        return Cached(bench, ruled=lambda question: self.ruling(question))

    @EITHER
    async def test_a_question_that_is_refused_passes_the_cache_by(self, cached: Cached, stream: bool) -> None:
        await cached.ask(stream)
        self.ruling = lambda question: None
        assert (await cached.ask(stream)).cache == CacheOutcome.CACHE_OUTCOME_UNSPECIFIED

    @EITHER
    async def test_a_question_is_compared_as_it_is_put(self, cached: Cached, stream: bool) -> None:
        self.ruling = lambda question: Ruled(chat(words="Say it nicely"), ())
        await cached.ask(stream)
        assert (await cached.ask(stream, request=chat(words="Say it nicely"))).cache == HIT
        self.ruling = as_asked
        assert (await cached.ask(stream)).cache == MISS

    @EITHER
    async def test_an_answer_of_whom_may_not_answer_is_none(self, cached: Cached, stream: bool) -> None:
        await cached.ask(stream)
        self.ruling = lambda question: Ruled(question.chat, (), lambda deployment: deployment != "a/m")
        assert (await cached.ask(stream)).cache == MISS


@EITHER
async def test_a_cache_that_cannot_be_reached_has_nothing(
    bench: Bench, cached: Cached, stream: bool, caplog: pytest.LogCaptureFixture
) -> None:
    cached.store.gone = True
    for _ in range(3):
        assert (await cached.ask(stream)).cache == MISS
    assert sum("cannot be reached" in record.message for record in caplog.records) == 1
    cached.store.gone = False
    await cached.ask(stream)
    assert (await cached.ask(stream)).cache == HIT


@EITHER
async def test_an_answer_that_cannot_be_booked_is_not_given(bench: Bench, cached: Cached, stream: bool) -> None:
    await cached.ask(stream)
    bench.journal.full = True
    waiting: Any = cached.stream().task if stream else cached.create()
    assert (await bench.failure(waiting)).reason is Reason.SERVICE_UNAVAILABLE


@EITHER
async def test_a_hit_has_a_span_without_attempts_and_is_measured(bench: Bench, cached: Cached, stream: bool) -> None:
    await cached.ask(stream)
    before = len(bench.tracer.named("attempt"))
    await cached.ask(stream)
    span = bench.tracer.named("chat gpt")[-1]
    assert len(bench.tracer.named("attempt")) == before
    assert (span.parent, span.ended, span.error) == (PARENT, 1, "")
    assert span.attributes["tollway.cache"] == "hit"
    assert span.attributes["gen_ai.provider.name"] == "openai"
    assert span.attributes["gen_ai.request.stream"] is stream
    assert span.attributes["gen_ai.response.finish_reasons"] == ("stop",)
    assert not any(name.startswith("gen_ai.usage") for name in span.attributes)
    outcomes = [labels["tollway.outcome"] for name, _, labels in bench.metrics.seen if name == "tollway.cache.lookups"]
    assert outcomes == ["miss", "hit"]
    assert len(bench.metrics.values("tollway.attempts")) == 1
    durations = [labels for name, _, labels in bench.metrics.seen if name == "gen_ai.client.operation.duration"]
    assert [labels.get("tollway.cache") for labels in durations] == [None, "hit"]


async def test_closing_waits_for_what_is_to_be_kept(bench: Bench, cached: Cached) -> None:
    await cached.mediator.send(cached.command(CreateChatCompletion))
    assert cached.store.keys("cache:") == []
    await cached.caching.close()
    assert len(cached.store.keys("cache:")) == 1
