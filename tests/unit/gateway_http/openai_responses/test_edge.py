"""Responses over a socket: what the SDK gets to see, and what becomes of requests that cannot be accepted."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest

from mesh.errors import Reason, TollwayError
from tests.unit.gateway_http.edge import Edge
from tests.unit.gateway_http.scripted_router import DEPLOYMENT, last, pieces, receipt
from tollway.chat.v1 import chat_pb2 as pb
from tollway.router.v1 import router_pb2 as rpc

PATH = "/v1/responses"
JSON = {"content-type": "application/json"}
QUESTION: dict[str, Any] = {"model": "gpt-4o", "input": "Hi"}


async def test_the_openai_sdk_reads_a_whole_answer(edge: Edge) -> None:
    answer = await edge.openai().responses.create(model="gpt-4o", input="Hi", instructions="Be brief.")

    assert (answer.output_text, answer.status, answer.model) == ("Hello!", "completed", "gpt-4o-2024-08-06")
    assert answer.usage is not None
    assert (answer.usage.input_tokens, answer.usage.output_tokens, answer.usage.total_tokens) == (9, 3, 12)
    (request,) = edge.router.requests
    assert (request.chat.dialect, request.chat.messages[0].role) == ("openai_responses", pb.ROLE_SYSTEM)


async def test_the_openai_sdk_reads_a_stream(edge: Edge) -> None:
    edge.router.messages = pieces("Hel", "lo", "!")

    async with edge.openai().responses.stream(model="gpt-4o", input="Hi") as stream:
        texts = [event.delta async for event in stream if event.type == "response.output_text.delta"]
        answer = await stream.get_final_response()

    assert texts == ["Hel", "lo", "!"]
    assert answer.output_text == "Hello!"
    assert answer.usage is not None
    assert answer.usage.total_tokens == 12


async def test_headers_and_the_last_event_say_how_it_came_about(edge: Edge) -> None:
    reply = await edge.ask("POST", PATH, json.dumps({**QUESTION, "stream": True}).encode(), JSON)

    assert reply.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert reply.headers["x-tollway-deployment"] == DEPLOYMENT
    *_, end = reply.body.decode().strip().split("\n\n")
    assert end.startswith("event: response.completed\ndata: ")
    assert json.loads(end.partition("data: ")[2])["tollway"]["deployment"] == DEPLOYMENT


async def test_a_stream_that_breaks_off_raises_and_never_completes(edge: Edge) -> None:
    edge.router.messages = [*pieces("Hel")[:-1], TollwayError(Reason.UPSTREAM_CUT, "it broke off")]
    seen: list[Any] = []

    async def watch() -> None:
        async for event in await edge.openai().responses.create(model="gpt-4o", input="Hi", stream=True):
            seen.append(event)  # noqa: PERF401 - what came before the error counts

    with pytest.raises(openai.APIError) as raised:
        await watch()

    assert raised.value.code == "upstream_cut"
    assert [event.type for event in seen[-2:]] == ["response.output_text.delta", "response.failed"]
    assert [event.sequence_number for event in seen] == list(range(len(seen)))


async def test_a_stream_whose_end_is_missing_is_cut(edge: Edge) -> None:
    edge.router.messages = pieces("Hel")[:-1]

    reply = await edge.ask("POST", PATH, json.dumps({**QUESTION, "stream": True}).encode(), JSON)

    assert b"response.failed" in reply.body
    assert b"response.completed" not in reply.body


async def test_an_error_before_the_first_content_is_a_status(edge: Edge) -> None:
    edge.router.messages = [TollwayError(Reason.UPSTREAM_RATE_LIMITED, "slow down")]

    with pytest.raises(openai.RateLimitError):
        await edge.openai().responses.create(model="gpt-4o", input="Hi", stream=True)


async def test_an_answer_that_is_another_request_s_keeps_its_name(edge: Edge) -> None:
    first = rpc.StreamChatCompletionResponse(chunk=pb.ChatChunk(deltas=[pb.Delta(text="Hi")]), receipt=receipt())
    first.receipt.replayed, first.receipt.request_id = True, "req_0"
    edge.router.messages = [first, last()]

    reply = await edge.ask("POST", PATH, json.dumps({**QUESTION, "stream": True}).encode(), JSON)

    assert reply.body.count(b'"id":"resp_req_0"') == 3


@pytest.mark.parametrize(
    ("question", "param"),
    [
        ({"input": "Hi"}, "model"),
        ({"model": "gpt-4o"}, "input"),
        ({**QUESTION, "previous_response_id": "resp_1"}, "previous_response_id"),
        ({**QUESTION, "conversation": "conv_1"}, "conversation"),
        ({**QUESTION, "background": True}, "background"),
        ({"model": "gpt-4o", "input": [{"type": "item_reference", "id": "x"}]}, "input[0].type"),
        (
            {"model": "gpt-4o", "input": [{"role": "user", "content": [{"type": "input_text"}]}]},
            "input[0].content[0].text",
        ),
        ({**QUESTION, "text": "json"}, "text"),
        ({**QUESTION, "tools": [{"type": "function"}]}, "tools[0].name"),
        ({**QUESTION, "include": "logprobs"}, "include"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_what_cannot_be_accepted_is_a_400_that_names_the_field(
    edge: Edge, question: dict[str, Any], param: str, stream: bool
) -> None:
    reply = await edge.ask("POST", PATH, json.dumps({**question, "stream": stream}).encode(), JSON)

    assert (reply.status, reply.error["param"], reply.error["type"]) == (400, param, "invalid_request_error")
    assert reply.headers["x-should-retry"] == "false"
    assert edge.router.requests == []


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'"Hi"', b'{"model":"a","input":"\\u0000"}', b"\xff"])
async def test_what_is_no_question_at_all_is_a_400(edge: Edge, body: bytes) -> None:
    assert (await edge.ask("POST", PATH, body, JSON)).status == 400


@pytest.mark.parametrize("path", [PATH, "/v1/completions"])
async def test_other_methods_and_types_are_refused(edge: Edge, path: str) -> None:
    assert (await edge.ask("GET", path)).status == 405
    assert (await edge.ask("POST", path, b"{}", {"content-type": "text/plain"})).status == 415
    assert (await edge.ask("GET", f"{path}/resp_1")).status == 404
