from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import anthropic
import pytest
from anthropic import AsyncAnthropic

from mesh.errors import Reason, TollwayError
from tests.unit.gateway_http.edge import Edge
from tollway.chat.v1 import chat_pb2 as pb
from tollway.router.v1 import router_pb2 as rpc

QUESTION: dict[str, Any] = {"model": "claude", "messages": [{"role": "user", "content": "Hi"}]}


@pytest.fixture
async def client(edge: Edge) -> AsyncIterator[AsyncAnthropic]:
    async with AsyncAnthropic(
        base_url=edge.gateway.url, api_key="sk-test", max_retries=0, _strict_response_validation=True
    ) as client:
        yield client


async def test_the_sdk_reads_how_many_tokens_a_question_has(edge: Edge, client: AsyncAnthropic) -> None:
    edge.router.count = rpc.CountTokensResponse(input_tokens=42, deployment="anthropic/claude")
    headers = {"x-tollway-tags": "nightly", "x-tollway-session": "s", "x-tollway-drop-unsupported": "1"}

    raw = await client.messages.with_raw_response.count_tokens(**QUESTION, system="Be brief.", extra_headers=headers)

    counted: Any = await raw.parse()
    assert counted.input_tokens == 42
    assert counted.tollway == {"deployment": "anthropic/claude", "trace_id": raw.headers["x-tollway-trace-id"]}
    assert raw.headers["x-tollway-deployment"] == "anthropic/claude"
    (request,) = edge.router.requests
    assert isinstance(request, rpc.CountTokensRequest)
    assert [message.role for message in request.chat.messages] == [pb.ROLE_SYSTEM, pb.ROLE_USER]
    assert (request.request_id, list(request.tags)) == (raw.headers["request-id"], ["nightly"])
    assert (request.preferences.session, request.preferences.drop_unsupported) == ("s", True)
    assert edge.router.metadata[0]["authorization"] == "Bearer sk-test"


async def test_a_guess_is_called_one(edge: Edge, client: AsyncAnthropic) -> None:
    edge.router.count = rpc.CountTokensResponse(input_tokens=7, estimated=True)

    counted: Any = await client.messages.count_tokens(**QUESTION)

    assert (counted.input_tokens, counted.tollway["estimated"]) == (7, True)


async def test_what_was_left_out_of_the_count_is_listed(edge: Edge, client: AsyncAnthropic) -> None:
    edge.router.count = rpc.CountTokensResponse(input_tokens=7, dropped=["chat.user", "chat.metadata.a b"])

    raw = await client.messages.with_raw_response.count_tokens(**QUESTION)

    counted: Any = await raw.parse()
    assert raw.headers["x-tollway-dropped"] == "chat.user, chat.metadata.a%20b"
    assert counted.tollway["dropped"] == ["chat.user", "chat.metadata.a b"]


async def test_the_sdk_reads_how_many_there_were_before_any_were_cleared(edge: Edge, client: AsyncAnthropic) -> None:
    edge.router.count = rpc.CountTokensResponse(input_tokens=7, original_input_tokens=70)
    cleared = await client.beta.messages.count_tokens(**QUESTION)
    edge.router.count = rpc.CountTokensResponse(input_tokens=7)
    as_it_was = await client.beta.messages.count_tokens(**QUESTION)

    assert cleared.context_management is not None
    assert (cleared.input_tokens, cleared.context_management.original_input_tokens) == (7, 70)
    assert as_it_was.context_management is None


async def test_errors_are_of_the_class_the_sdk_has_for_them(edge: Edge, client: AsyncAnthropic) -> None:
    edge.router.count = TollwayError(Reason.MODEL_NOT_FOUND, "no such model")

    with pytest.raises(anthropic.NotFoundError) as raised:
        await client.messages.count_tokens(**QUESTION)

    assert (raised.value.type, raised.value.error_code) == ("not_found_error", "model_not_found")
