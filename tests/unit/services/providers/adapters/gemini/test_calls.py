"""Calls over TCP, as the handlers make them: where they go, and when a stream without an end mark is over."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import pytest

from mesh.clock import SystemClock
from mesh.errors import Reason, TollwayError
from mesh.telemetry.in_memory import InMemoryTelemetry
from services.providers.adapters import gemini
from services.providers.adapters.credentials import key_headers, place_of
from services.providers.adapters.transport import HttpTransport
from services.providers.domain.wire import Outgoing
from services.providers.handlers.calling import Surroundings
from services.providers.handlers.check_health import CheckHealth, check_health
from services.providers.handlers.create_completion import CreateCompletion, create_completion
from services.providers.handlers.stream_completion import StreamCompletion, stream_completion
from services.providers.ports import Credentials, Dialect, Provider, Providers
from tests.unit.services.providers.house import asking
from tests.unit.services.providers.upstream import Exchange, Play, Upstream, upstream
from tollway.providers.v1 import providers_pb2

FINISHED = {"candidates": [{"content": {"parts": [{"text": " Blanc"}]}, "finishReason": "STOP"}]}
USED = {"usageMetadata": {"promptTokenCount": 4, "candidatesTokenCount": 2}}


def event(body: object) -> bytes:
    return b"data: " + json.dumps(body).encode() + b"\r\n\r\n"


BEGUN = event({"candidates": [{"content": {"parts": [{"text": "Mont"}]}}]})


class Signing:
    async def sign(self, call: Outgoing) -> Outgoing:
        return call._replace(headers={**call.headers, "authorization": "Bearer token"})


@asynccontextmanager
async def calling(
    play: Play, credentials: Credentials | None = None
) -> AsyncIterator[tuple[Providers, Surroundings, Upstream]]:
    clock, telemetry = SystemClock(), InMemoryTelemetry()
    transport = HttpTransport(clock)
    key = {} if credentials else key_headers(place_of(gemini.credentials), "AIza-key")
    async with upstream(play) as server:
        provider = Provider(
            "g", cast(Dialect, gemini), transport, server.url, key, redact=str, credentials=credentials
        )  # fmt: skip
        yield {"g": provider}, Surroundings(clock, telemetry.tracer, telemetry.metrics), server
    await transport.close()


async def stream(providers: Providers, around: Surroundings) -> list[providers_pb2.StreamCompletionResponse]:
    request = providers_pb2.StreamCompletionRequest(**asking("gemini-3-pro", "g"))
    return [
        each async for each in stream_completion(StreamCompletion(request, None), providers=providers, around=around)
    ]


async def test_a_stream_is_asked_for_as_events_and_over_when_it_ends() -> None:
    async def play(exchange: Exchange) -> None:
        await exchange.head()
        for piece in (BEGUN, event(FINISHED), event(USED), b""):
            await exchange.chunk(piece)

    async with calling(play) as (providers, around, server):
        responses = await stream(providers, around)
    assert server.requests[0].startswith("POST /v1/models/gemini-3-pro:streamGenerateContent?alt=sse HTTP/1.1\r\n")
    assert server.headers()["x-goog-api-key"] == "AIza-key"
    assert "".join(delta.text for each in responses for delta in each.chunk.deltas) == "Mont Blanc"
    assert responses[-1].chunk.usage.output_tokens == 2


async def test_a_stream_that_ends_before_its_finish_is_cut() -> None:
    async def play(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.chunk(BEGUN)
        await exchange.chunk(b"")

    async with calling(play) as (providers, around, _):
        with pytest.raises(TollwayError) as caught:
            await stream(providers, around)
    assert caught.value.reason is Reason.UPSTREAM_CUT


async def test_a_whole_answer_is_asked_for_with_whatever_signs_the_call() -> None:
    async def play(exchange: Exchange) -> None:
        await exchange.whole(json.dumps({**FINISHED, **USED}).encode())

    async with calling(play, Signing()) as (providers, around, server):
        request = providers_pb2.CreateCompletionRequest(**asking("gemini-3-pro", "g"))
        answer = await create_completion(CreateCompletion(request, None), providers=providers, around=around)
    assert server.requests[0].startswith("POST /v1/models/gemini-3-pro:generateContent HTTP/1.1\r\n")
    assert server.headers()["authorization"] == "Bearer token"
    assert "x-goog-api-key" not in server.headers()
    assert answer.chat.choices[0].message.content[0].text == " Blanc"


async def test_health_is_asked_of_the_list_of_models() -> None:
    async def play(exchange: Exchange) -> None:
        await exchange.whole(b'{"models": []}')

    async with calling(play) as (providers, around, server):
        await check_health(CheckHealth("g", None), providers=providers, around=around)
    assert server.requests[0].startswith("GET /v1/models HTTP/1.1\r\n")
