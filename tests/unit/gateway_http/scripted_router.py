"""A router that answers what a test wrote down, and a gateway in front of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from mesh.errors import TollwayError
from mesh.status import abort
from mesh.tracing import AttributeValue, Kind, Span, TraceContext, new_span_id, new_trace_id
from tollway.chat.v1 import chat_pb2 as pb
from tollway.chat.v1 import embedding_pb2, forwarding_pb2
from tollway.router.v1 import router_pb2 as rpc
from tollway.router.v1.router_pb2_grpc import RouterServiceServicer

DEPLOYMENT = "openai/gpt-4o"


def receipt(cost_nanos: int | None = None, attempts: int = 1) -> rpc.Receipt:
    return rpc.Receipt(deployment=DEPLOYMENT, attempts=attempts, cost_nanos=cost_nanos)


def whole(text: str = "Hello!", **fields: Any) -> rpc.CreateChatCompletionResponse:
    """An answer with one choice that says `text`."""
    message = pb.Message(role=pb.ROLE_ASSISTANT, content=[pb.ContentPart(text=text)])
    chat = pb.ChatResponse(
        id="chatcmpl-1",
        model="gpt-4o-2024-08-06",
        choices=[pb.Choice(message=message, finish_reason=pb.FINISH_REASON_STOP)],
        usage=pb.Usage(input_tokens=9, output_tokens=3),
        **fields,
    )
    chat.create_time.seconds = 1_700_000_000
    return rpc.CreateChatCompletionResponse(chat=chat, receipt=receipt(cost_nanos=720_000))


def pieces(*texts: str) -> list[rpc.StreamChatCompletionResponse]:
    """A stream of one choice: its role, the texts, each in a message of its own, and its end."""
    first = pb.ChatChunk(id="chatcmpl-1", model="gpt-4o-2024-08-06", deltas=[pb.Delta(role=pb.ROLE_ASSISTANT)])
    first.create_time.seconds = 1_700_000_000
    messages = [
        rpc.StreamChatCompletionResponse(chunk=first, receipt=receipt()),
        *(rpc.StreamChatCompletionResponse(chunk=pb.ChatChunk(deltas=[pb.Delta(text=text)])) for text in texts),
        last(),
    ]
    messages[0].chunk.deltas.extend(messages.pop(1).chunk.deltas)
    return messages


def last() -> rpc.StreamChatCompletionResponse:
    """A stream's last message."""
    chunk = pb.ChatChunk(
        deltas=[pb.Delta(finish_reason=pb.FINISH_REASON_STOP)], usage=pb.Usage(input_tokens=9, output_tokens=3)
    )
    return rpc.StreamChatCompletionResponse(chunk=chunk, receipt=receipt(cost_nanos=720_000))


def embedded(*vectors: list[float]) -> rpc.CreateEmbeddingsResponse:
    """An answer with these vectors."""
    made = [embedding_pb2.Embedding(index=place, values=each) for place, each in enumerate(vectors)]
    embedding = embedding_pb2.EmbeddingResponse(
        model="text-embedding-3-small", embeddings=made, usage=pb.Usage(input_tokens=7)
    )
    return rpc.CreateEmbeddingsResponse(embedding=embedding, receipt=receipt(cost_nanos=140_000))


def passed(*pieces: bytes, kind: str = "audio/wav", length: int | None = None) -> list[rpc.ForwardResponse]:
    """An answer that is passed on, each piece in a message of its own."""
    head = forwarding_pb2.ForwardedHead(content_type=kind, content_length=length)
    first = rpc.ForwardResponse(head=head, data=pieces[0], receipt=receipt())
    rest = [rpc.ForwardResponse(data=piece) for piece in pieces[1:]]
    return [first, *rest, rpc.ForwardResponse(receipt=receipt(cost_nanos=5_000_000))]


class ScriptedRouter(RouterServiceServicer):
    """Answers with `completion`, or with `messages` one after the other, an error among them ending the stream.

    A message that is an event is waited for. What was asked is in `requests`, and its metadata in `metadata`.
    """

    def __init__(self) -> None:
        self.completion: rpc.CreateChatCompletionResponse | TollwayError | asyncio.Event = whole()
        self.messages: Iterable[rpc.StreamChatCompletionResponse | TollwayError | asyncio.Event] = pieces("Hel", "lo!")
        self.vectors: rpc.CreateEmbeddingsResponse | TollwayError = embedded([0.1, -2.5], [1.0, 0.0])
        self.passed: Iterable[rpc.ForwardResponse | TollwayError | asyncio.Event] = passed(b"RIFF", b"tone")
        self.sent = 0
        """Messages of what is passed on that were taken."""
        self.models = [rpc.Model(name="gpt-4o", owner="openai"), rpc.Model(name="local/llama", owner="local")]
        self.models_error: TollwayError | None = None
        self.page_size = 100
        self.explanation: rpc.ExplainRouteResponse | TollwayError = rpc.ExplainRouteResponse()
        self.count: rpc.CountTokensResponse | TollwayError = rpc.CountTokensResponse(input_tokens=9)
        self.requests: list[Any] = []
        self.metadata: list[dict[str, str]] = []
        self.time_remaining: float | None = None
        self.reached = asyncio.Event()
        """A completion is being asked for."""
        self.cancelled = asyncio.Event()
        """The completion that was being asked for is no longer wanted."""

    def _asked(self, request: Any, context: Any) -> None:
        self.requests.append(request)
        self.metadata.append(dict(context.invocation_metadata()))
        self.time_remaining = context.time_remaining()
        self.reached.set()

    async def CreateChatCompletion(
        self, request: rpc.CreateChatCompletionRequest, context: Any
    ) -> rpc.CreateChatCompletionResponse:
        self._asked(request, context)
        if isinstance(self.completion, TollwayError):
            await abort(context, self.completion)
        if isinstance(self.completion, asyncio.Event):
            await self._wait(self.completion)
            return whole()
        return self.completion

    async def StreamChatCompletion(
        self, request: rpc.StreamChatCompletionRequest, context: Any
    ) -> AsyncIterator[rpc.StreamChatCompletionResponse]:
        self._asked(request, context)
        for message in self.messages:
            if isinstance(message, TollwayError):
                await abort(context, message)
            elif isinstance(message, asyncio.Event):
                await self._wait(message)
            else:
                yield message

    async def CreateEmbeddings(
        self, request: rpc.CreateEmbeddingsRequest, context: Any
    ) -> rpc.CreateEmbeddingsResponse:
        self._asked(request, context)
        if isinstance(self.vectors, TollwayError):
            await abort(context, self.vectors)
        return self.vectors

    async def Forward(self, request: rpc.ForwardRequest, context: Any) -> AsyncIterator[rpc.ForwardResponse]:
        self._asked(request, context)
        for message in self.passed:
            if isinstance(message, TollwayError):
                await abort(context, message)
            elif isinstance(message, asyncio.Event):
                await self._wait(message)
            else:
                self.sent += 1
                yield message

    async def _wait(self, event: asyncio.Event) -> None:
        try:
            await event.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise

    async def CountTokens(self, request: rpc.CountTokensRequest, context: Any) -> rpc.CountTokensResponse:
        self._asked(request, context)
        if isinstance(self.count, TollwayError):
            await abort(context, self.count)
        return self.count

    async def ListModels(self, request: rpc.ListModelsRequest, context: Any) -> rpc.ListModelsResponse:
        self._asked(request, context)
        if self.models_error is not None:
            await abort(context, self.models_error)
        begin = int(request.page_token or 0)
        end = begin + self.page_size
        return rpc.ListModelsResponse(
            models=self.models[begin:end], next_page_token=str(end) if end < len(self.models) else ""
        )

    async def ExplainRoute(self, request: rpc.ExplainRouteRequest, context: Any) -> rpc.ExplainRouteResponse:
        self._asked(request, context)
        if isinstance(self.explanation, TollwayError):
            await abort(context, self.explanation)
        return self.explanation

    async def ListDeployments(self, request: rpc.ListDeploymentsRequest, context: Any) -> rpc.ListDeploymentsResponse:
        return rpc.ListDeploymentsResponse()


class ScriptedHealth(health_pb2_grpc.HealthServicer):  # type: ignore[misc] # it comes without types
    """Answers SERVING, except for the services in `statuses`; where an event stands there, when it is set."""

    def __init__(self) -> None:
        self.statuses: dict[str, int | grpc.StatusCode | asyncio.Event] = {}

    async def Check(self, request: health_pb2.HealthCheckRequest, context: Any) -> health_pb2.HealthCheckResponse:
        status = self.statuses.get(request.service, health_pb2.HealthCheckResponse.SERVING)
        if isinstance(status, asyncio.Event):
            await status.wait()
            status = health_pb2.HealthCheckResponse.SERVING
        if isinstance(status, grpc.StatusCode):
            await context.abort(status, "as written")
        return health_pb2.HealthCheckResponse(status=status)


class RecordedSpan:
    recording = True

    def __init__(self, name: str, kind: Kind, parent: TraceContext | None) -> None:
        self.name, self.kind, self.parent = name, kind, parent
        trace_id = parent.trace_id if parent is not None else new_trace_id()
        self._context = TraceContext(trace_id, new_span_id(), True, parent.state if parent is not None else "")
        self.attributes: dict[str, AttributeValue] = {}
        self.error: tuple[str, str] | None = None
        self.ends = 0

    @property
    def context(self) -> TraceContext:
        return self._context

    def set(self, attributes: Mapping[str, AttributeValue]) -> None:
        self.attributes.update(attributes)

    def event(self, name: str, attributes: Mapping[str, AttributeValue] | None = None) -> None: ...

    def fail(self, error_type: str, message: str = "") -> None:
        self.error = (error_type, message)

    def end(self) -> None:
        self.ends += 1


class RecordingTracer:
    """Keeps every span it started."""

    def __init__(self) -> None:
        self.spans: list[RecordedSpan] = []

    def start(
        self,
        name: str,
        kind: Kind,
        parent: TraceContext | None,
        attributes: Mapping[str, AttributeValue] | None = None,
        links: Sequence[TraceContext] = (),
    ) -> Span:
        self.spans.append(RecordedSpan(name, kind, parent))
        return self.spans[-1]


class RecordingMetrics:
    """Keeps every value that was recorded or counted, with its name and labels."""

    def __init__(self) -> None:
        self.recorded: list[tuple[str, float, dict[str, str | int | bool]]] = []
        self.counted: list[tuple[str, int, dict[str, str | int | bool]]] = []

    def count(self, name: str, value: int, labels: Mapping[str, str | int | bool]) -> None:
        self.counted.append((name, value, dict(labels)))

    def record(self, name: str, value: float, labels: Mapping[str, str | int | bool]) -> None:
        self.recorded.append((name, value, dict(labels)))

    def gauge(self, name: str, value: float, labels: Mapping[str, str | int | bool]) -> None: ...
