"""Keys on their way through the edge: they arrive at the router, or nowhere."""

from __future__ import annotations

import logging
from typing import Any

import openai
import pytest

from mesh.errors import Reason, TollwayError
from tests.unit.gateway_http.edge import CHAT, QUESTION, Edge

CANARY = "tw-canary-0123456789"
BODY = b'{"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}]}'
UNKNOWN = TollwayError(Reason.UNAUTHENTICATED, "This API key is not known here")
DENIED = TollwayError(Reason.PERMISSION_DENIED, "The key ci may not ask for the model 'gpt-4o'")


@pytest.mark.parametrize(
    "headers",
    [{"authorization": f"Bearer {CANARY}"}, {"x-api-key": CANARY}, {"api-key": CANARY}],
    ids=["OpenAI", "Anthropic", "Azure"],
)
async def test_the_router_is_shown_the_key_wherever_the_client_puts_it(edge: Edge, headers: dict[str, str]) -> None:
    await edge.post(headers=headers)
    await edge.post({**QUESTION, "stream": True}, headers=headers)
    await edge.ask("GET", "/v1/models", headers=headers)
    assert [shown["authorization"] for shown in edge.router.metadata] == [f"Bearer {CANARY}"] * 3


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("refusal", "raised"), [(UNKNOWN, openai.AuthenticationError), (DENIED, openai.PermissionDeniedError)]
)
async def test_an_sdk_knows_what_it_was_refused_for(
    edge: Edge, refusal: TollwayError, raised: type[openai.APIStatusError], stream: bool
) -> None:
    edge.router.completion, edge.router.messages = refusal, [refusal]
    asked: dict[str, Any] = {**QUESTION, "stream": stream}
    with pytest.raises(raised) as caught:
        await edge.openai(max_retries=2).chat.completions.create(**asked)
    assert len(edge.router.requests) == 1, "it was asked again"
    assert caught.value.code in ("invalid_api_key", "permission_denied")
    assert ("www-authenticate" in caught.value.response.headers) == (refusal is UNKNOWN)


@pytest.mark.parametrize("name", ["Authorization: Bearer ", "x-api-key: ", "api-key: "])
@pytest.mark.parametrize(
    "value",
    [
        f"{CANARY}\x01",
        f"{CANARY}\x7f",
        f"{CANARY}\0",
        f"{CANARY}\rx: y",
        f"{CANARY}é",
        f"{CANARY}\N{FULLWIDTH DIGIT ONE}",
        CANARY * 300,
        CANARY * 1000,
    ],
    ids=["control", "delete", "null", "return", "latin", "wide", "6 kB", "20 kB"],
)
async def test_a_key_that_cannot_be_one_is_refused_at_the_edge_and_never_repeated(
    edge: Edge, name: str, value: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with edge.socket() as client:
        client.send_request(BODY, name + value)
        reply = await client.reply()
    assert reply.status == 400
    assert b"canary" not in reply.body
    assert "canary" not in str(reply.headers) + caplog.text
    assert edge.router.requests == []


async def test_a_header_that_came_twice_is_shown_twice(edge: Edge) -> None:
    async with edge.socket() as client:
        client.send_request(BODY, "Authorization: Bearer a", "authorization: Bearer b", "X-Api-Key: c", path=CHAT)
        assert (await client.reply()).status == 200
    assert edge.router.metadata[0]["authorization"] == "Bearer a, Bearer b, Bearer c"


async def test_a_key_is_in_no_span_and_no_log(edge: Edge, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    edge.router.completion = UNKNOWN
    reply = await edge.post(headers={"authorization": f"Bearer {CANARY}"})
    told = [str(vars(span)) for span in edge.tracer.spans] + [str(vars(edge.metrics))]
    assert reply.status == 401
    assert "canary" not in "".join(told) + caplog.text + reply.body.decode()
