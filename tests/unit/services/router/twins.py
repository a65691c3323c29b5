"""In-memory twins of what the router stands on, scripted by the tests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mesh.clock import Clock
from mesh.errors import Reason, TollwayError
from mesh.ids import uuid7
from mesh.prices import PriceBook
from mesh.tracing import AttributeValue, Kind, TraceContext, new_span_id, new_trace_id
from tollway.chat.v1.chat_pb2 import (
    ChatChunk,
    ChatRequest,
    ChatResponse,
    Choice,
    ContentPart,
    Delta,
    FinishReason,
    Message,
    Role,
    Usage,
)
from tollway.chat.v1.embedding_pb2 import Embedding, EmbeddingResponse
from tollway.chat.v1.forwarding_pb2 import ForwardedHead
from tollway.ledger.v1.budget_pb2 import ReturnLeaseRequest
from tollway.ledger.v1.ledger_pb2 import (
    Attempt,
    AttemptState,
    AttemptStatus,
    Price,
    RecordAttemptsRequest,
    RecordedAttempt,
    RecordOutcome,
)
from tollway.providers.v1.providers_pb2 import (
    CountTokensRequest,
    CountTokensResponse,
    CreateCompletionRequest,
    CreateCompletionResponse,
    CreateEmbeddingsRequest,
    CreateEmbeddingsResponse,
    ForwardRequest,
    ForwardResponse,
    ProviderModel,
    StreamCompletionRequest,
    StreamCompletionResponse,
    UpstreamCall,
)

STOP = FinishReason.FINISH_REASON_STOP
UPSTREAM = UpstreamCall(request_id="up-1", status=200)
USAGE = Usage(input_tokens=10, output_tokens=5)


# -- what providers say ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Pause:
    """The provider says nothing for that long."""

    seconds: float


class Hang:
    """The provider says nothing more, ever."""


Item = ChatChunk | TollwayError | Pause | Hang
Script = Sequence[Item] | ChatResponse | EmbeddingResponse | CountTokensResponse | TollwayError | Hang
Passed = ForwardResponse | TollwayError | Pause | Hang
"""What a call that is passed on is answered with, one after the other."""
Request = CreateCompletionRequest | StreamCompletionRequest | CreateEmbeddingsRequest | ForwardRequest


def text(words: str, index: int = 0) -> ChatChunk:
    return ChatChunk(id="chat-1", model="m-2026", deltas=[Delta(index=index, text=words)])


def role(index: int = 0) -> ChatChunk:
    return ChatChunk(id="chat-1", model="m-2026", deltas=[Delta(index=index, role=Role.ROLE_ASSISTANT)])


def finish(index: int = 0, reason: FinishReason.ValueType = STOP) -> ChatChunk:
    return ChatChunk(id="chat-1", model="m-2026", deltas=[Delta(index=index, finish_reason=reason)])


def usage(counted: Usage = USAGE) -> ChatChunk:
    return ChatChunk(id="chat-1", model="m-2026", usage=counted)


def answer(words: str = "Hello", counted: Usage | None = USAGE) -> ChatResponse:
    message = Message(role=Role.ROLE_ASSISTANT, content=[ContentPart(text=words)])
    return ChatResponse(
        id="chat-1", model="m-2026", choices=[Choice(message=message, finish_reason=STOP)], usage=counted
    )


def streamed(words: str = "Hello") -> list[Item]:
    """A whole answer that goes well."""
    return [role(), *(text(word) for word in words), finish(), usage()]


def vectors(*values: list[float], counted: Usage | None = USAGE) -> EmbeddingResponse:
    made = [Embedding(index=place, values=each) for place, each in enumerate(values)]
    return EmbeddingResponse(model="m-2026", embeddings=made, usage=counted)


def passed(*pieces: bytes, kind: str = "audio/wav", counted: Usage | None = None) -> list[Passed]:
    """An answer that is passed on whole, piece by piece."""
    first = ForwardResponse(head=ForwardedHead(content_type=kind), data=pieces[0], upstream=UPSTREAM)
    return [first, *(ForwardResponse(data=each) for each in pieces[1:]), ForwardResponse(usage=counted)]


def error(reason: Reason, retry_after: float | None = None, message: str = "", **metadata: str) -> TollwayError:
    return TollwayError(reason, message or f"showed {reason}", metadata, retry_after)


@dataclass
class Call:
    """A call that reached the provider service."""

    request: Any
    """Whichever it is."""
    timeout: float | None
    trace: TraceContext
    at: float
    cancelled: bool = False
    pulled: int = 0
    """How many messages were asked for."""

    @property
    def deployment(self) -> str:
        return f"{self.request.provider}/{self.request.model}"


class FakeProviders:
    """Plays, for each deployment, its scripts one call after the other; the last again and again."""

    def __init__(self, clock: Clock, scripts: Mapping[str, Sequence[Script]] | None = None) -> None:
        self._clock = clock
        self.scripts = {name: list(each) for name, each in (scripts or {}).items()}
        self.passing: dict[str, list[Sequence[Passed]]] = {}
        """The scripts of calls that are passed on."""
        self.models: list[ProviderModel] = []
        self.upstream = UPSTREAM
        """What every answer says about the call."""
        self.calls: list[Call] = []
        self.health: dict[str, list[TollwayError | None]] = {}
        self.looks: list[tuple[str, float, float]] = []
        """Who was looked at, when, and with how much patience."""

    def asked(self) -> list[str]:
        return [call.deployment for call in self.calls]

    def _next(
        self, request: Request | CountTokensRequest, timeout: float | None, trace: TraceContext
    ) -> tuple[Call, Script]:
        call = Call(request, timeout, trace, self._clock.monotonic())
        self.calls.append(call)
        scripts = self.scripts[call.deployment]
        return call, scripts.pop(0) if len(scripts) > 1 else scripts[0]

    async def complete(
        self, request: CreateCompletionRequest, timeout: float | None, trace: TraceContext
    ) -> CreateCompletionResponse:
        script = await self._played(request, timeout, trace)
        return CreateCompletionResponse(
            chat=script if isinstance(script, ChatResponse) else answer(), upstream=self.upstream
        )

    async def embed(
        self, request: CreateEmbeddingsRequest, timeout: float | None, trace: TraceContext
    ) -> CreateEmbeddingsResponse:
        script = await self._played(request, timeout, trace)
        embedding = script if isinstance(script, EmbeddingResponse) else vectors([1.0])
        return CreateEmbeddingsResponse(embedding=embedding, upstream=self.upstream)

    async def count_tokens(
        self, request: CountTokensRequest, timeout: float | None, trace: TraceContext
    ) -> CountTokensResponse:
        script = await self._played(request, timeout, trace)
        assert isinstance(script, CountTokensResponse)
        return script

    def forward(self, request: ForwardRequest, timeout: float | None, trace: TraceContext) -> FakePassing:
        call = Call(request, timeout, trace, self._clock.monotonic())
        self.calls.append(call)
        scripts = self.passing[call.deployment]
        return FakePassing(call, scripts.pop(0) if len(scripts) > 1 else scripts[0], self._clock)

    async def _played(
        self, request: Request | CountTokensRequest, timeout: float | None, trace: TraceContext
    ) -> Script:
        call, script = self._next(request, timeout, trace)
        if isinstance(script, TollwayError):
            raise script
        try:
            async with self._clock.timeout(timeout):
                if isinstance(script, Hang):
                    await asyncio.Event().wait()
                for item in script if isinstance(script, (list, tuple)) else ():
                    if isinstance(item, Pause):
                        await self._clock.sleep(item.seconds)
                    elif isinstance(item, TollwayError):
                        raise item
        except asyncio.CancelledError:
            call.cancelled = True
            raise
        except TimeoutError:
            raise error(Reason.DEADLINE_EXCEEDED) from None
        return script

    def stream(self, request: StreamCompletionRequest, timeout: float | None, trace: TraceContext) -> FakeStream:
        call, script = self._next(request, timeout, trace)
        whole = (ChatResponse, EmbeddingResponse, CountTokensResponse)
        assert not isinstance(script, whole), "a whole answer cannot be streamed"
        items = [script] if isinstance(script, (TollwayError, Hang)) else script
        return FakeStream(call, items, self._clock, timeout, self.upstream)

    async def known_models(self) -> Sequence[ProviderModel]:
        return self.models

    async def check_health(self, provider: str, timeout: float) -> None:
        """Shows the provider's `health` scripts one look after the other; the last again and again."""
        self.looks.append((provider, self._clock.monotonic(), timeout))
        scripts = self.health.get(provider, [None])
        script = scripts.pop(0) if len(scripts) > 1 else scripts[0]
        if isinstance(script, TollwayError):
            raise script


class FakeStream:
    """Plays a stream's items, each when it is pulled, within the call's time."""

    def __init__(
        self, call: Call, items: Iterable[Item], clock: Clock, timeout: float | None, upstream: UpstreamCall
    ) -> None:
        self._call, self._items, self._clock, self._upstream = call, iter(items), clock, upstream
        self._end = None if timeout is None else clock.monotonic() + timeout
        self._first = True
        self._ended = False

    def __aiter__(self) -> AsyncIterator[StreamCompletionResponse]:
        return self

    async def __anext__(self) -> StreamCompletionResponse:
        if self._call.cancelled:
            raise asyncio.CancelledError
        self._call.pulled += 1
        left = None if self._end is None else self._end - self._clock.monotonic()
        try:
            async with self._clock.timeout(left):
                chunk = await self._play()
        except asyncio.CancelledError:
            self._call.cancelled = True
            raise
        except TimeoutError:
            raise error(Reason.DEADLINE_EXCEEDED) from None
        first, self._first = self._first, False
        return StreamCompletionResponse(chunk=chunk, upstream=self._upstream if first else None)

    async def _play(self) -> ChatChunk:
        for item in self._items:
            if isinstance(item, Pause):
                await self._clock.sleep(item.seconds)
            elif isinstance(item, Hang):
                await asyncio.Event().wait()
            elif isinstance(item, TollwayError):
                self._ended = True
                raise item
            else:
                return item
        self._ended = True
        raise StopAsyncIteration

    def cancel(self) -> None:
        if not self._ended:
            self._call.cancelled = True


class FakePassing:
    """Plays what is passed on, each when it is pulled."""

    def __init__(self, call: Call, items: Iterable[Passed], clock: Clock) -> None:
        self._call, self._items, self._clock = call, iter(items), clock
        self._ended = False

    def __aiter__(self) -> AsyncIterator[ForwardResponse]:
        return self

    async def __anext__(self) -> ForwardResponse:
        self._call.pulled += 1
        try:
            for item in self._items:
                if isinstance(item, Pause):
                    await self._clock.sleep(item.seconds)
                elif isinstance(item, Hang):
                    await asyncio.Event().wait()
                elif isinstance(item, TollwayError):
                    self._ended = True
                    raise item
                else:
                    return item
        except asyncio.CancelledError:
            self._call.cancelled = True
            raise
        self._ended = True
        raise StopAsyncIteration

    def cancel(self) -> None:
        if not self._ended:
            self._call.cancelled = True


# -- what is written down ----------------------------------------------------------------------------------------------


class MemoryJournal:
    """Implements `Journal`, and keeps what was written as it was then."""

    def __init__(self) -> None:
        self.full = False
        self.opens: dict[int, Attempt] = {}
        self.ends: dict[int, Attempt] = {}

    async def opened(self, attempt: Attempt) -> int:
        if self.full:
            raise error(Reason.SERVICE_UNAVAILABLE, message="The attempt journal cannot be written (disk is full)")
        number = len(self.opens)
        self.opens[number] = _copy(attempt)
        return number

    def settled(self, opened: int, attempt: Attempt) -> None:
        assert opened not in self.ends, "an attempt was settled twice"
        self.ends[opened] = _copy(attempt)

    @property
    def rows(self) -> list[Attempt]:
        """How each attempt ended, in the order of opening; every one must have."""
        assert self.ends.keys() == self.opens.keys(), "an attempt was not settled"
        return [self.ends[number] for number in self.opens]


def _copy(attempt: Attempt) -> Attempt:
    return Attempt.FromString(attempt.SerializeToString())


class FixedPrices:
    """Implements `PriceSource` with one price for everything."""

    def __init__(self, price: Price | None = None) -> None:
        self.price = price
        self.to_learn: Price | None = None
        """What is known once it was waited for."""
        self.learning: asyncio.Future[None] | None = None
        """What whoever wants to learn waits for."""

    def find(self, provider: str, model: str, at: float) -> Price | None:
        return self.price

    async def learn(self, provider: str, model: str) -> None:
        if self.learning is not None:
            await asyncio.wait([self.learning])
        self.price = self.price or self.to_learn


# -- what is told ------------------------------------------------------------------------------------------------------


@dataclass
class SeenSpan:
    """Implements `Span`."""

    name: str
    kind: Kind
    parent: TraceContext | None
    context: TraceContext
    links: Sequence[TraceContext]
    attributes: dict[str, AttributeValue] = field(default_factory=dict)
    error: str = ""
    message: str = ""
    ended: int = 0
    recording: bool = True

    def set(self, attributes: Mapping[str, AttributeValue]) -> None:
        assert not self.ended, f"{self.name} was written to after its end"
        self.attributes.update(attributes)

    def event(self, name: str, attributes: Mapping[str, AttributeValue] | None = None) -> None: ...

    def fail(self, error_type: str, message: str = "") -> None:
        self.error, self.message = error_type, message

    def end(self) -> None:
        self.ended += 1


class SeeingTracer:
    """Implements `Tracer`; every trace is sampled."""

    def __init__(self) -> None:
        self.spans: list[SeenSpan] = []

    def start(
        self,
        name: str,
        kind: Kind,
        parent: TraceContext | None,
        attributes: Mapping[str, AttributeValue] | None = None,
        links: Sequence[TraceContext] = (),
    ) -> SeenSpan:
        context = TraceContext(parent.trace_id if parent else new_trace_id(), new_span_id(), True)
        span = SeenSpan(name, kind, parent, context, links, dict(attributes or {}))
        self.spans.append(span)
        return span

    def named(self, beginning: str) -> list[SeenSpan]:
        return [span for span in self.spans if span.name.startswith(beginning)]


class SeeingMetrics:
    """Implements `Metrics`."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, float, dict[str, str | int | bool]]] = []

    def count(self, name: str, value: int, labels: Mapping[str, str | int | bool]) -> None:
        self.seen.append((name, value, dict(labels)))

    def record(self, name: str, value: float, labels: Mapping[str, str | int | bool]) -> None:
        self.seen.append((name, value, dict(labels)))

    def gauge(self, name: str, value: float, labels: Mapping[str, str | int | bool]) -> None:
        self.seen.append((name, value, dict(labels)))

    def values(self, name: str) -> list[float]:
        return [value for seen, value, _ in self.seen if seen == name]


def chat(model: str = "gpt", words: str = "Say hello", **fields: object) -> ChatRequest:
    request = ChatRequest(model=model, messages=[Message(role=Role.ROLE_USER, content=[ContentPart(text=words)])])
    for name, value in fields.items():
        setattr(request, name, value)
    return request


class FakeLedger:
    """Implements `LedgerClient` as the contract says: rows only move forward, and each attempt is answered for."""

    def __init__(self) -> None:
        self.gone = False
        self.refused: set[str] = set()
        self.rows: dict[str, Attempt] = {}
        self.moves: dict[str, list[int]] = {}
        """The states each row has been in."""
        self.requests: list[RecordAttemptsRequest] = []
        self.traces: list[TraceContext] = []
        self.given_back: list[ReturnLeaseRequest] = []
        self.prices: asyncio.Queue[PriceBook | TollwayError | None] = asyncio.Queue()
        self.catalogue: dict[tuple[str, str], Price | TollwayError] = {}
        """What it finds when it is asked."""
        self.asked: list[tuple[str, str]] = []
        """The models whose price it was asked for."""

    async def record(
        self, request: RecordAttemptsRequest, timeout: float, trace: TraceContext
    ) -> Sequence[RecordedAttempt]:
        await asyncio.sleep(0)
        if self.gone:
            raise error(Reason.SERVICE_UNAVAILABLE, message="nobody listens")
        self.requests.append(request)
        self.traces.append(trace)
        return [RecordedAttempt(attempt_id=each.attempt_id, **self._book(each)) for each in request.attempts]

    async def give_back(self, request: ReturnLeaseRequest, timeout: float) -> None:
        if self.gone:
            raise error(Reason.SERVICE_UNAVAILABLE, message="nobody listens")
        self.given_back.append(request)

    def _book(self, attempt: Attempt) -> dict[str, Any]:
        if attempt.attempt_id in self.refused:
            return {"outcome": RecordOutcome.RECORD_OUTCOME_REFUSED, "message": "tags: are too many"}
        row = self.rows.get(attempt.attempt_id)
        if row is not None and attempt.state <= row.state:
            return {"outcome": RecordOutcome.RECORD_OUTCOME_DUPLICATE}
        self.rows[attempt.attempt_id] = attempt
        self.moves.setdefault(attempt.attempt_id, []).append(attempt.state)
        return {"outcome": RecordOutcome.RECORD_OUTCOME_RECORDED}

    async def find_price(self, provider: str, model: str, timeout: float) -> Price | None:
        self.asked.append((provider, model))
        await asyncio.sleep(0)
        found = self.catalogue.get((provider, model))
        if isinstance(found, TollwayError):
            raise found
        return found

    async def watch_prices(self) -> AsyncGenerator[PriceBook, None]:
        """Sends what is put into `prices`; None ends the stream."""
        while (item := await self.prices.get()) is not None:
            if isinstance(item, TollwayError):
                raise item
            yield item


def attempt(number: int = 0, **fields: Any) -> Attempt:
    """An attempt that has been opened."""
    values: dict[str, Any] = {
        "attempt_id": uuid7(1_700_000_000 + number),
        "request_id": f"req-{number}",
        "trace_id": f"{number + 1:032x}",
        "span_id": f"{number + 1:016x}",
        "state": AttemptState.ATTEMPT_STATE_OPENED,
        "provider_name": "a",
        "model_used": "m",
    }
    return Attempt(**{**values, **fields})


def ended(opened: Attempt) -> Attempt:
    """The same attempt once it has ended."""
    row = _copy(opened)
    row.state = AttemptState.ATTEMPT_STATE_SETTLED
    row.status = AttemptStatus.ATTEMPT_STATUS_OK
    return row
