from __future__ import annotations

import json

import pytest

from mesh.errors import Reason
from services.providers.adapters.sim.text import count
from tests.unit.services.providers.house import House, open_house, text_of
from tests.unit.services.providers.upstream import Exchange, Play, upstream
from tollway.chat.v1 import chat_pb2

ANSWER = {
    "id": "c",
    "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
}


def answering(body: bytes, kind: str, *headers: str) -> Play:
    async def play(exchange: Exchange) -> None:
        await exchange.head("200 OK", kind, f"content-length: {len(body)}", *headers)
        await exchange.send(body)

    return play


async def test_the_first_message_alone_tells_of_the_call(house: House) -> None:
    responses = await house.stream("text:rate=200,tokens=3")
    assert responses[0].upstream.status == 200
    assert responses[0].upstream.request_id.startswith("sim-")
    assert len(responses) > 1
    assert not any(response.HasField("upstream") for response in responses[1:])


async def test_what_arrives_together_travels_together(house: House) -> None:
    (response,) = await house.stream("text:tokens=20")
    role, text, finish = response.chunk.deltas
    assert (role.role, role.text) == (chat_pb2.ROLE_ASSISTANT, "")
    assert count(text.text) == 20
    assert (finish.text, finish.finish_reason) == ("", chat_pb2.FINISH_REASON_STOP)
    assert response.chunk.usage.output_tokens == 20


async def test_the_provider_s_limits_are_passed_on() -> None:
    stream = b'data: {"choices": [{"index": 0, "delta": {"content": "Hi"}, "finish_reason": "stop"}]}\n\n'
    play = answering(stream, "text/event-stream", "X-RateLimit-Remaining-Requests: 9")
    async with upstream(play) as server, open_house({"p": {"base_url": server.url}}) as house:
        responses = await house.stream("m", "p")
    assert dict(responses[0].upstream.rate_limits) == {"x-ratelimit-remaining-requests": "9"}


async def test_a_server_that_does_not_stream_is_heard_all_the_same() -> None:
    play = answering(json.dumps(ANSWER).encode(), "application/json")
    async with upstream(play) as server, open_house({"p": {"base_url": server.url}}) as house:
        (response,) = await house.stream("m", "p")
    (delta,) = response.chunk.deltas
    assert (delta.text, delta.finish_reason) == ("Hi", chat_pb2.FINISH_REASON_STOP)
    assert response.chunk.usage.output_tokens == 2
    assert response.upstream.status == 200


@pytest.mark.parametrize("kind", ["text/plain", "application/octet-stream"])
async def test_a_stream_is_read_whatever_the_server_calls_it(kind: str) -> None:
    body = b'data: {"choices": [{"index": 0, "delta": {"content": "Hi"}, "finish_reason": "stop"}]}\n\n'
    async with upstream(answering(body, kind)) as server, open_house({"p": {"base_url": server.url}}) as house:
        assert text_of(await house.stream("m", "p")) == "Hi"


async def test_a_web_page_is_no_answer() -> None:
    play = answering(b"<html>Sign in</html>", "text/html")
    async with upstream(play) as server, open_house({"p": {"base_url": server.url}}) as house:
        assert (await house.error("m", "p")).reason is Reason.UPSTREAM_MALFORMED


@pytest.mark.parametrize("model", ["error-event", "malformed", "cut"])
async def test_what_was_said_before_a_fault_is_delivered_before_the_error(house: House, model: str) -> None:
    responses, error = await house.stream_to_its_end(f"{model}:after=4,rate=0", "remote")
    assert count(text_of(responses)) == 4
    assert error is not None


async def test_no_usage_is_no_usage_and_not_a_zero(house: House) -> None:
    responses = await house.stream("no-usage")
    assert not any(response.chunk.HasField("usage") for response in responses)
    assert not (await house.create("no-usage")).chat.HasField("usage")


async def test_an_error_in_a_200_s_body_is_the_status_it_names() -> None:
    body = json.dumps({"error": {"code": 429, "message": "Slow down"}}).encode()
    play = answering(body, "application/json")
    async with upstream(play) as server, open_house({"p": {"base_url": server.url}}) as house:
        error = await house.error("m", "p")
    assert (error.reason, error.metadata["upstream_status"]) == (Reason.UPSTREAM_RATE_LIMITED, "429")
