"""The endpoint itself: a listening edge, and Anthropic's SDK or bytes in front of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import anthropic
import pytest
from anthropic import AsyncAnthropic

from mesh.errors import Reason, TollwayError
from tests.unit.gateway_http.anthropic.reading import events
from tests.unit.gateway_http.edge import Edge, Reply
from tests.unit.gateway_http.scripted_router import DEPLOYMENT, last, pieces, receipt
from tollway.chat.v1 import chat_pb2 as pb
from tollway.router.v1 import router_pb2 as rpc

PATH = "/v1/messages"
VERSION = {"anthropic-version": "2023-06-01"}
QUESTION: dict[str, Any] = {"model": "claude", "max_tokens": 64, "messages": [{"role": "user", "content": "Hi"}]}

OF_ANY_QUESTION: list[tuple[dict[str, Any], str]] = [
    ({"messages": [{"role": "user", "content": 7}]}, "messages[0].content: must be a string or an array of blocks"),
    ({"messages": [{"role": "user", "content": [{"type": "tool_result", "content": "42"}]}]},
     "messages[0].content[0].tool_use_id: must be given: the id of the call that this answers"),
    ({"messages": [{"role": "robot", "content": "Hi"}]}, "messages[0].role: must be one of user, assistant, system"),
    ({"tools": [{"name": "f"}]}, "tools[0].input_schema: must be given"),
    ({"model": None}, "model: must be given: the name of the model to ask"),
]  # fmt: skip
WRONG = [
    (PATH, {"max_tokens": None}, "max_tokens: must be given: the most tokens that the answer may have"),
    (PATH, {"stream": "yes"}, "stream: must be a boolean, not a string"),
    *((path, wrong, problem) for path in (PATH, f"{PATH}/count_tokens") for wrong, problem in OF_ANY_QUESTION),
]


@pytest.fixture
async def client(edge: Edge) -> AsyncIterator[AsyncAnthropic]:
    async with AsyncAnthropic(
        base_url=edge.gateway.url, api_key="sk-test", max_retries=0, _strict_response_validation=True
    ) as client:
        yield client


async def post(edge: Edge, question: Any = None, headers: dict[str, str] | None = None, path: str = PATH) -> Reply:
    body = json.dumps(QUESTION if question is None else question).encode()
    return await edge.ask("POST", path, body, {"content-type": "application/json", **VERSION, **(headers or {})})


async def test_the_sdk_reads_a_whole_answer(edge: Edge, client: AsyncAnthropic) -> None:
    raw = await client.messages.with_raw_response.create(**QUESTION, system="Be brief.")
    answer = await raw.parse()

    assert [block.to_dict() for block in answer.content] == [{"type": "text", "text": "Hello!"}]
    assert (answer.id, answer.stop_reason) == ("msg_chatcmpl-1", "end_turn")
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (9, 3)
    (request,) = edge.router.requests
    assert request.request_id == answer._request_id == raw.headers["request-id"] == raw.headers["x-request-id"]
    assert raw.headers["x-tollway-deployment"] == DEPLOYMENT
    assert raw.headers["x-tollway-cost-usd"] == "0.00072"
    assert edge.router.metadata[0]["authorization"] == "Bearer sk-test"
    assert [message.role for message in request.chat.messages] == [pb.ROLE_SYSTEM, pb.ROLE_USER]


async def test_the_sdk_reads_a_stream(edge: Edge, client: AsyncAnthropic) -> None:
    edge.router.messages = pieces("Hel", "lo", "!")

    async with client.messages.stream(**QUESTION) as stream:
        texts = [text async for text in stream.text_stream]
        answer = await stream.get_final_message()

    assert texts == ["Hel", "lo", "!"]
    assert answer.content[0].to_dict() == {"type": "text", "text": "Hello!"}
    assert (answer.stop_reason, answer.usage.input_tokens, answer.usage.output_tokens) == ("end_turn", 9, 3)
    assert stream.request_id == edge.router.requests[0].request_id


async def test_the_receipt_is_on_the_event_that_ends_the_message(edge: Edge) -> None:
    reply = await post(edge, {**QUESTION, "stream": True})
    *_, delta, stop = events(reply.body)

    assert delta["tollway"] == {
        "cost_usd": 0.00072,
        "attempts": 1,
        "deployment": DEPLOYMENT,
        "trace_id": reply.headers["x-tollway-trace-id"],
    }
    assert stop == {"type": "message_stop"}
    assert reply.headers["content-type"] == "text/event-stream; charset=utf-8"


async def test_what_a_router_message_brings_is_not_kept_back(edge: Edge) -> None:
    rest = asyncio.Event()
    first, *others = pieces("Hel", "lo!")
    edge.router.messages = [first, rest, *others]

    async with edge.socket() as client:
        body = json.dumps({**QUESTION, "stream": True}).encode()
        client.send_request(body, "Anthropic-Version: 2023-06-01", path=PATH)
        assert b"event: content_block_start" in await client.reader.readuntil(b'"Hel"')
        rest.set()
        assert b"event: message_delta" in await client.reader.readuntil(b"event: message_stop")


async def test_betas_travel_with_the_question(edge: Edge, client: AsyncAnthropic) -> None:
    await client.beta.messages.create(**QUESTION, betas=["context-1m-2025-08-07", "new-2030-01-01"])

    assert json.loads(edge.router.requests[0].chat.extra_json) == {
        "anthropic_beta": ["context-1m-2025-08-07", "new-2030-01-01"]
    }


async def test_a_question_without_its_version_is_refused(edge: Edge) -> None:
    body = json.dumps(QUESTION).encode()

    reply = await edge.ask("POST", PATH, body, {"content-type": "application/json"})

    assert (reply.status, reply.error["type"]) == (400, "invalid_request_error")
    assert reply.error["message"] == "anthropic-version: must be given, and be one of 2023-06-01, 2026-10-21"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("reason", "kind", "named"),
    [
        (Reason.MODEL_NOT_FOUND, anthropic.NotFoundError, "not_found_error"),
        (Reason.UNAUTHENTICATED, anthropic.AuthenticationError, "authentication_error"),
        (Reason.PERMISSION_DENIED, anthropic.PermissionDeniedError, "permission_error"),
        (Reason.UPSTREAM_REJECTED, anthropic.BadRequestError, "invalid_request_error"),
        (Reason.UPSTREAM_RATE_LIMITED, anthropic.RateLimitError, "rate_limit_error"),
        (Reason.UPSTREAM_FAILED, anthropic.InternalServerError, "api_error"),
        (Reason.BODY_TOO_LARGE, anthropic.ContentTooLargeError, "request_too_large"),
    ],
)
async def test_errors_are_of_the_class_the_sdk_has_for_them(
    edge: Edge, client: AsyncAnthropic, reason: Reason, kind: type[anthropic.APIStatusError], named: str, stream: bool
) -> None:
    edge.router.completion = TollwayError(reason, "it went wrong")
    edge.router.messages = [TollwayError(reason, "it went wrong")]

    with pytest.raises(kind) as raised:
        await client.messages.create(**QUESTION, stream=stream)

    assert (raised.value.type, raised.value.api_message) == (named, "it went wrong")
    assert raised.value.request_id == edge.router.requests[0].request_id
    body: Any = raised.value.body
    assert body["request_id"] == raised.value.request_id
    assert body["trace_id"] == raised.value.response.headers["x-tollway-trace-id"]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("reason", "upstream", "kind", "named"),
    [
        (Reason.UPSTREAM_FAILED, "529", anthropic.OverloadedError, "overloaded_error"),
        (Reason.UPSTREAM_REJECTED, "413", anthropic.ContentTooLargeError, "request_too_large"),
        (Reason.UPSTREAM_REJECTED, "404", anthropic.NotFoundError, "not_found_error"),
        (Reason.UPSTREAM_REJECTED, "422", anthropic.BadRequestError, "invalid_request_error"),
    ],
)
async def test_what_a_provider_answers_with_anthropics_statuses_is_called_as_there(
    edge: Edge,
    client: AsyncAnthropic,
    reason: Reason,
    upstream: str,
    kind: type[anthropic.APIStatusError],
    named: str,
    stream: bool,
) -> None:
    error = TollwayError(reason, "it went wrong", {"upstream_status": upstream})
    edge.router.completion, edge.router.messages = error, [error]

    with pytest.raises(kind) as raised:
        await client.messages.create(**QUESTION, stream=stream)

    assert raised.value.type == named
    assert raised.value.response.headers.get("x-should-retry") == (None if error.row.repeatable else "false")


async def test_a_stream_that_breaks_off_ends_with_one_error_and_no_stop(edge: Edge, client: AsyncAnthropic) -> None:
    *begun, _ = pieces("Hel", "lo")
    edge.router.messages = [*begun, TollwayError(Reason.UPSTREAM_CUT, "it broke off")]

    told = events((await post(edge, {**QUESTION, "stream": True})).body)
    with pytest.raises(anthropic.APIStatusError, match="it broke off"):
        async with client.messages.stream(**QUESTION) as stream:
            await stream.get_final_message()

    assert [event["type"] for event in told].count("error") == 1
    assert told[-1]["error"]["details"]["error_code"] == "upstream_cut"
    assert not {"message_delta", "message_stop"} & {event["type"] for event in told}


async def test_a_stream_without_a_finish_reason_ends_with_an_error(edge: Edge) -> None:
    *edge.router.messages, _ = pieces("Hel", "lo")

    assert events((await post(edge, {**QUESTION, "stream": True})).body)[-1]["type"] == "error"


async def test_a_call_that_goes_on_after_its_end_ends_the_stream_with_an_error(edge: Edge) -> None:
    def call(index: int, arguments: str) -> rpc.StreamChatCompletionResponse:
        delta = pb.Delta(tool_calls=[pb.ToolCallDelta(index=index, name="f", arguments=arguments)])
        return rpc.StreamChatCompletionResponse(chunk=pb.ChatChunk(deltas=[delta]), receipt=receipt())

    edge.router.messages = [call(0, "{}"), call(1, "{}"), call(0, "{}"), last()]

    told = events((await post(edge, {**QUESTION, "stream": True})).body)

    assert told[-1]["error"]["details"]["error_code"] == "upstream_malformed"


@pytest.mark.parametrize(("path", "wrong", "problem"), WRONG)
async def test_what_is_wrong_is_said_with_its_path(edge: Edge, path: str, wrong: dict[str, Any], problem: str) -> None:
    reply = await post(edge, {**QUESTION, **wrong}, path=path)

    assert reply.status == 400
    assert (reply.json["type"], reply.error["type"], reply.error["message"]) == (
        "error",
        "invalid_request_error",
        problem,
    )
    assert reply.error["details"]["param"] == problem.partition(":")[0]
    assert reply.json["request_id"] == reply.headers["request-id"]
    assert reply.headers["x-should-retry"] == "false"
    assert not edge.router.requests


async def test_other_methods_are_refused_in_anthropics_shape(edge: Edge) -> None:
    reply = await edge.ask("GET", PATH)

    assert (reply.status, reply.headers["allow"]) == (405, "POST, OPTIONS")
    assert (reply.json["type"], reply.json["request_id"]) == ("error", reply.headers["request-id"])


async def test_a_question_may_be_explained(edge: Edge) -> None:
    reply = await post(edge, headers={"x-tollway-explain": "1"})

    assert reply.status == 200
    assert edge.router.requests[0].chat.model == "claude"


async def test_other_dialects_have_no_request_id_header_of_anthropics(edge: Edge) -> None:
    assert "request-id" not in (await edge.post()).headers
