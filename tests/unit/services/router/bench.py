"""A desk made of twins, and clients that sit down at it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from random import Random
from typing import Any, TypeVar

from mesh.clock import VirtualClock
from mesh.errors import TollwayError
from mesh.tracing import TraceContext
from services.router.domain import likeness
from services.router.domain.fleet import Fleet
from services.router.domain.hedging import Hedge, HedgeBudgets
from services.router.domain.routes import Deployment, Route, Routes
from services.router.domain.rules import Rule
from services.router.domain.schedule import Schedule
from services.router.domain.selection import Selection
from services.router.handlers.budgets import Budgeting
from services.router.handlers.count_tokens import CountTokens, count_tokens
from services.router.handlers.create_chat_completion import CreateChatCompletion, create_chat_completion
from services.router.handlers.create_embeddings import CreateEmbeddings, create_embeddings
from services.router.handlers.desk import Desk
from services.router.handlers.drains import Drains
from services.router.handlers.forward import Forward, forward
from services.router.handlers.stream_chat_completion import StreamChatCompletion, stream_chat_completion
from tests.unit.services.router.twins import (
    FakeProviders,
    FixedPrices,
    MemoryJournal,
    Script,
    SeeingMetrics,
    SeeingTracer,
    chat,
)
from tollway.chat.v1.chat_pb2 import ChatRequest, Delta
from tollway.chat.v1.embedding_pb2 import EmbeddingInput, EmbeddingRequest
from tollway.chat.v1.forwarding_pb2 import Endpoint, ForwardedQuestion
from tollway.ledger.v1.ledger_pb2 import Price
from tollway.router.v1.router_pb2 import (
    CountTokensResponse,
    CreateChatCompletionResponse,
    CreateEmbeddingsResponse,
    ForwardResponse,
    Preferences,
    Receipt,
    StreamChatCompletionResponse,
)

T = TypeVar("T")
PRICE = Price(version="v1", input_nanos_per_1m=1_000_000_000, output_nanos_per_1m=2_000_000_000)
"""1,000 nano-USD an input token, 2,000 an output token."""
PARENT = TraceContext("a" * 32, "b" * 16, True)


@dataclass
class Bench:
    """Everything is in memory; time is virtual; waits have no jitter."""

    clock: VirtualClock = field(default_factory=VirtualClock)
    journal: MemoryJournal = field(default_factory=MemoryJournal)
    prices: FixedPrices = field(default_factory=lambda: FixedPrices(PRICE))
    tracer: SeeingTracer = field(default_factory=SeeingTracer)
    metrics: SeeingMetrics = field(default_factory=SeeingMetrics)

    def __post_init__(self) -> None:
        self.providers = FakeProviders(self.clock)
        self.drains = Drains(self.clock)
        self.fleet = Fleet()
        self.hedges = HedgeBudgets()
        self.routes = Routes([])
        self.rules: Sequence[Rule] = ()
        self.chance = Random(1)
        self.budgeting: Budgeting | None = None

    def deploy(
        self,
        *deployments: Deployment,
        fallback: Deployment | None = None,
        continuations: int = 2,
        assured: bool = False,
        hedge: Hedge | None = None,
        **scripts: Sequence[Script],
    ) -> None:
        """Puts deployments behind `gpt`, by default one for each script; scripts are named by provider."""
        chosen = deployments or tuple(Deployment(provider, "m", model_provider="openai") for provider in scripts)
        fallbacks = ("other",) if fallback else ()
        routes = [Route("gpt", chosen, fallbacks, continuations=continuations, assured=assured, hedge=hedge)]
        if fallback is not None:
            routes.append(Route("other", (fallback,)))
        self.routes = Routes(routes)
        self.providers.scripts = {f"{provider}/m": list(each) for provider, each in scripts.items()}

    @property
    def desk(self) -> Desk:
        schedule = Schedule(retry_after_wait=5.0, jitter=lambda: 0.5)
        return Desk(
            self.routes, schedule, self.providers, self.journal, self.prices, self.drains, self.fleet, self.clock,
            self.tracer, self.metrics, self.selection, self.hedges, self.budgeting,
        )  # fmt: skip

    @property
    def selection(self) -> Selection:
        return Selection(self.routes, self.rules, self.fleet, self.chance, self.prices.find)

    def _deadline(self, timeout: float | None) -> float | None:
        return None if timeout is None else self.clock.monotonic() + timeout

    def create(
        self, timeout: float | None = None, request: ChatRequest | None = None, preferences: Preferences | None = None
    ) -> asyncio.Task[CreateChatCompletionResponse]:
        """A question, being answered whole."""
        command = CreateChatCompletion(
            request or chat(), "req-1", ["ci"], PARENT, self._deadline(timeout), preferences or Preferences()
        )
        return asyncio.get_running_loop().create_task(create_chat_completion(command, desk=self.desk))

    def embed(
        self, *texts: str, timeout: float | None = None, request: EmbeddingRequest | None = None
    ) -> asyncio.Task[CreateEmbeddingsResponse]:
        """A question for vectors, being answered."""
        asked = request or EmbeddingRequest(model="gpt", inputs=[EmbeddingInput(text=text) for text in texts])
        command = CreateEmbeddings(
            likeness.of_embedding(asked), "req-1", ["ci"], PARENT, self._deadline(timeout), embedding=asked
        )
        return asyncio.get_running_loop().create_task(create_embeddings(command, desk=self.desk))

    def pass_on(
        self,
        body: bytes = b'{"input": "Say hello"}',
        timeout: float | None = None,
        endpoint: Endpoint.ValueType = Endpoint.ENDPOINT_AUDIO_SPEECH,
    ) -> AsyncGenerator[ForwardResponse, None]:
        """A question that is passed on, to be answered as the iterator is pulled."""
        asked = ForwardedQuestion(endpoint=endpoint, model="gpt", json=body)
        command = Forward(
            likeness.of_forwarded(asked), "req-1", ["ci"], PARENT, self._deadline(timeout), question=asked
        )
        return forward(command, desk=self.desk)

    def count(
        self, request: ChatRequest | None = None, timeout: float | None = None
    ) -> asyncio.Task[CountTokensResponse]:
        """A question's tokens, being counted."""
        query = CountTokens(request or chat(), "req-1", ["ci"], PARENT, self._deadline(timeout))
        return asyncio.get_running_loop().create_task(count_tokens(query, desk=self.desk))

    def responses(
        self,
        timeout: float | None = None,
        request: ChatRequest | None = None,
        preferences: Preferences | None = None,
    ) -> AsyncGenerator[StreamChatCompletionResponse, None]:
        """The same question, to be answered as the iterator is pulled."""
        command = StreamChatCompletion(
            request or chat(), "req-1", ["ci"], PARENT, self._deadline(timeout), preferences or Preferences()
        )
        return stream_chat_completion(command, desk=self.desk)

    def stream(
        self,
        timeout: float | None = None,
        request: ChatRequest | None = None,
        preferences: Preferences | None = None,
    ) -> Reader:
        """The same question, being answered as fast as it comes."""
        return Reader(self.responses(timeout, request, preferences))

    def ask(self, streamed: bool, timeout: float | None = None) -> asyncio.Task[tuple[str, Receipt]]:
        """The same question either way: the answer's text and the receipt."""
        return asyncio.get_running_loop().create_task(self._ask(streamed, timeout))

    async def _ask(self, streamed: bool, timeout: float | None) -> tuple[str, Receipt]:
        if streamed:
            reader = self.stream(timeout)
            await reader.task
            return reader.text, reader.messages[-1].receipt
        response = await self.create(timeout)
        return response.chat.choices[0].message.content[0].text, response.receipt

    async def failure(self, waiting: asyncio.Task[Any]) -> TollwayError:
        """Lets time pass until the task has failed; what with."""
        await self.seconds(waiting)
        failure = waiting.exception()
        assert isinstance(failure, TollwayError), repr(failure)
        return failure

    async def seconds(self, waiting: asyncio.Task[Any], most: float = 120.0) -> float:
        """Lets time pass until the task is done; how much had to."""
        start = self.clock.monotonic()
        await self.clock.advance(0)
        while not waiting.done() and self.clock.monotonic() - start < most:
            await self.clock.advance(0.25)
        assert waiting.done(), "still waiting"
        return self.clock.monotonic() - start


class Reader:
    """Reads a stream in a task of its own, as a client would."""

    def __init__(self, responses: Any) -> None:
        self.messages: list[StreamChatCompletionResponse] = []
        self._responses = responses
        self.task: asyncio.Task[None] = asyncio.get_running_loop().create_task(self._read())

    async def _read(self) -> None:
        async with aclosing(self._responses) as responses:
            async for message in responses:
                self.messages.append(message)

    @property
    def deltas(self) -> list[Delta]:
        return [delta for message in self.messages for delta in message.chunk.deltas]

    @property
    def text(self) -> str:
        return "".join(delta.text for delta in self.deltas)

    @property
    def finishes(self) -> list[int]:
        """The finish reasons, in order."""
        return [delta.finish_reason for delta in self.deltas if delta.finish_reason]
