"""The providers service, started for a test, and a caller that asks it through its stub."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc

from mesh.channels import InProcessChannel, InProcessServer
from mesh.clock import Clock, SystemClock
from mesh.config.schema import Config
from mesh.errors import TollwayError
from mesh.interceptors.errors import Errors
from mesh.interceptors.telemetry import Telemetry
from mesh.status import from_rpc_error
from mesh.telemetry.in_memory import InMemoryTelemetry
from services.providers import bootstrap
from services.providers.settings import ProvidersSettings
from tollway.chat.v1 import chat_pb2, embedding_pb2, forwarding_pb2
from tollway.providers.v1 import providers_pb2, providers_pb2_grpc

ATTEMPT = "018c2a5e-0000-7000-8000-000000000001"
TRACEPARENT = f"00-{'a' * 32}-{'b' * 16}-01"

Responses = list[providers_pb2.StreamCompletionResponse]
Passed = list[providers_pb2.ForwardResponse]


class House:
    """The service behind a channel. `telemetry` is what it told."""

    def __init__(self, channel: InProcessChannel, telemetry: InMemoryTelemetry) -> None:
        self.stub = providers_pb2_grpc.ProviderServiceStub(channel)
        self.telemetry = telemetry

    async def create(self, model: str, provider: str = "sim", **fields: Any) -> providers_pb2.CreateCompletionResponse:
        """Raises TollwayError for whatever the service answers."""
        request = providers_pb2.CreateCompletionRequest(**asking(model, provider, **fields))
        try:
            return await self.stub.CreateCompletion(request, metadata=(("traceparent", TRACEPARENT),))
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from None

    async def embed(
        self, *texts: str, model: str = "sim", provider: str = "sim", **fields: Any
    ) -> providers_pb2.CreateEmbeddingsResponse:
        """Vectors of texts. Raises TollwayError for whatever the service answers."""
        timeouts = timeouts_in(fields)
        inputs = [embedding_pb2.EmbeddingInput(text=text) for text in texts]
        embedding = embedding_pb2.EmbeddingRequest(**{"model": "alias", "inputs": inputs, **fields})
        request = providers_pb2.CreateEmbeddingsRequest(
            provider=provider, model=model, attempt_id=ATTEMPT, embedding=embedding, timeouts=timeouts
        )
        try:
            return await self.stub.CreateEmbeddings(request, metadata=(("traceparent", TRACEPARENT),))
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from None

    async def count(
        self, model: str = "sim", provider: str = "sim", **fields: Any
    ) -> providers_pb2.CountTokensResponse:
        """The tokens of a question. Raises TollwayError for whatever the service answers."""
        leave_out = fields.pop("drop_unsupported", False)
        asked = asking(model, provider, **fields)
        del asked["attempt_id"]
        request = providers_pb2.CountTokensRequest(**asked, drop_unsupported=leave_out)
        try:
            return await self.stub.CountTokens(request)
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from None

    def forward(
        self, question: forwarding_pb2.ForwardedQuestion, model: str = "sim", provider: str = "sim", **timeouts: float
    ) -> Any:
        """A question that has been passed on, and whose answer is not read yet."""
        limits = timeouts_in(dict(timeouts))
        request = providers_pb2.ForwardRequest(
            provider=provider, model=model, attempt_id=ATTEMPT, question=question, timeouts=limits
        )
        return self.stub.Forward(request, metadata=(("traceparent", TRACEPARENT),))

    async def pass_on(
        self, question: forwarding_pb2.ForwardedQuestion, model: str = "sim", provider: str = "sim", **timeouts: float
    ) -> tuple[Passed, TollwayError | None]:
        """What came, and the error that came after it."""
        responses: Passed = []
        try:
            async for response in self.forward(question, model, provider, **timeouts):
                responses.append(response)
        except grpc.aio.AioRpcError as error:
            return responses, from_rpc_error(error)
        return responses, None

    def call(self, model: str, provider: str = "sim", **fields: Any) -> Any:
        """A stream that has been asked for, and is not read yet."""
        request = providers_pb2.StreamCompletionRequest(**asking(model, provider, **fields))
        return self.stub.StreamCompletion(request, metadata=(("traceparent", TRACEPARENT),))

    async def stream(self, model: str, provider: str = "sim", **fields: Any) -> Responses:
        """A stream that ends well. Raises TollwayError for any other."""
        responses, error = await self.stream_to_its_end(model, provider, **fields)
        if error is not None:
            raise error
        return responses

    async def stream_to_its_end(
        self, model: str, provider: str = "sim", **fields: Any
    ) -> tuple[Responses, TollwayError | None]:
        """What came, and the error that came after it."""
        responses: Responses = []
        try:
            async for response in self.call(model, provider, **fields):
                responses.append(response)
        except grpc.aio.AioRpcError as error:
            return responses, from_rpc_error(error)
        return responses, None

    async def error(self, model: str, provider: str = "sim", **fields: Any) -> TollwayError:
        """The error that a stream ends with."""
        _, error = await self.stream_to_its_end(model, provider, **fields)
        assert error is not None, "the stream ended well"
        return error


def asking(model: str, provider: str, **fields: Any) -> dict[str, Any]:
    """A request's fields. Limits are in seconds; what is left is the ChatRequest's."""
    timeouts = timeouts_in(fields)
    said = chat_pb2.Message(role=chat_pb2.ROLE_USER, content=[chat_pb2.ContentPart(text=fields.pop("text", "Hi"))])
    attempt = fields.pop("attempt_id", ATTEMPT)
    chat = chat_pb2.ChatRequest(messages=[said], **fields)
    return {"provider": provider, "model": model, "attempt_id": attempt, "chat": chat, "timeouts": timeouts}


def timeouts_in(fields: dict[str, Any]) -> providers_pb2.CallTimeouts:
    """Takes the limits out of the fields."""
    timeouts = providers_pb2.CallTimeouts()
    for name in ("connect", "headers", "first_token", "gap"):
        if (seconds := fields.pop(name, None)) is not None:
            getattr(timeouts, name).FromNanoseconds(round(seconds * 1e9))
    return timeouts


@asynccontextmanager
async def open_house(
    providers: dict[str, Any] | None = None, clock: Clock | None = None, sample: float = 1.0
) -> AsyncIterator[House]:
    """Starts the service with these providers, by default the sim alone."""
    config = Config.model_validate({"providers": providers or {"sim": {"dialect": "sim"}}})
    telemetry = InMemoryTelemetry(sample=sample)
    runtime = await bootstrap.start(
        ProvidersSettings.from_config(config, data_dir=None),  # type: ignore[arg-type]  # it keeps nothing
        clock=clock or SystemClock(),
        tracer=telemetry.tracer,
        metrics=telemetry.metrics,
    )
    server = InProcessServer((Telemetry(telemetry.tracer, telemetry.metrics), Errors()))
    runtime.register(server)
    try:
        yield House(InProcessChannel(server), telemetry)
    finally:
        await server.stop(None)
        await runtime.close()


def text_of(responses: Responses) -> str:
    return "".join(delta.text for response in responses for delta in response.chunk.deltas)
