"""Requests that are sent again, by the official SDK and over gRPC, against the real thing in every topology."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from typing import Any

import grpc
import openai
import pytest
from openai import AsyncOpenAI

from tests.e2e.asking import headers, rows, text_of
from tests.e2e.processes import Mesh
from tollway.chat.v1 import chat_pb2
from tollway.ledger.v1 import ledger_pb2
from tollway.router.v1 import router_pb2, router_pb2_grpc

SLOW = "sim/text:rate=40,tokens=60"
"""Takes a second and a half."""
QUESTION: list[Any] = [{"role": "user", "content": "Tell me a story"}]


@pytest.fixture
async def client(mesh: Mesh) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=mesh.base_url, api_key="none", max_retries=0, timeout=20) as client:
        yield client


@pytest.fixture
def tag() -> str:
    """Names the rows of one test."""
    return f"test-{uuid.uuid4().hex}"


async def test_a_client_whose_connection_broke_asks_again_and_gets_all_of_it_billed_once(
    mesh: Mesh, client: AsyncOpenAI, tag: str
) -> None:
    async def ask() -> Any:
        return await client.chat.completions.create(
            model=SLOW, messages=QUESTION, stream=True, extra_headers=headers("broken", tag)
        )

    stream = await ask()
    first = [await anext(aiter(stream)) for _ in range(3)]
    await stream.close()  # the connection is gone, in the middle of the answer
    await asyncio.sleep(0.3)
    again = await ask()
    assert again.response.headers["x-tollway-replayed"] == "1"
    text, receipt = await text_of(again)
    assert text.startswith("".join(chunk.choices[0].delta.content or "" for chunk in first))
    assert len(text.split()) > 30
    same, once_more = await text_of(await ask())
    assert same == text
    assert {**once_more, "trace_id": ""} == {**receipt, "trace_id": ""}
    assert receipt["replayed"] is True
    (row,) = await rows(mesh.ledger, tag, 1)
    assert (row.status, row.usage.output_tokens) == (ledger_pb2.ATTEMPT_STATUS_OK, 60)
    assert row.cost_nanos == round(receipt["cost_usd"] * 1e9)


async def test_streams_under_one_key_at_once_are_one_call(mesh: Mesh, client: AsyncOpenAI, tag: str) -> None:
    async def ask() -> tuple[str, Any]:
        stream = await client.chat.completions.create(
            model=SLOW, messages=QUESTION, stream=True, extra_headers=headers("at once", tag)
        )
        return await text_of(stream)

    answers = await asyncio.gather(*(ask() for _ in range(5)))
    assert len({text for text, _ in answers}) == 1
    assert len(await rows(mesh.ledger, tag, 1)) == 1
    assert sum(not receipt.get("replayed", False) for _, receipt in answers) == 1


@pytest.mark.parametrize("stream", [False, True])
async def test_another_body_under_the_key_is_a_conflict(
    mesh: Mesh, client: AsyncOpenAI, tag: str, stream: bool
) -> None:
    key = headers(f"conflict {stream}", tag)
    await client.chat.completions.create(model="sim/echo", messages=QUESTION, extra_headers=key)
    other: list[Any] = QUESTION if stream else [{"role": "user", "content": "Something else"}]
    with pytest.raises(openai.ConflictError) as caught:
        await client.chat.completions.create(model="sim/echo", messages=other, stream=stream, extra_headers=key)
    assert caught.value.code == "idempotency_conflict"
    assert caught.value.response.headers["x-should-retry"] == "false"


async def test_a_failure_that_may_pass_is_tried_again(mesh: Mesh, client: AsyncOpenAI, tag: str) -> None:
    asked = [0]
    model = "sim/status-429:retry-after=0,tokens=3"  # asked by nobody else, so that its breaker is closed
    for _ in range(2):
        with pytest.raises(openai.RateLimitError):
            await client.chat.completions.create(model=model, messages=QUESTION, extra_headers=headers("429", tag))
        asked.append(len(await rows(mesh.ledger, tag, asked[-1] + 1)))
    assert asked[0] < asked[1] < asked[2]


async def test_an_error_that_would_only_come_again_is_given_again(mesh: Mesh, client: AsyncOpenAI, tag: str) -> None:
    for replayed in (None, "1"):
        with pytest.raises(openai.BadRequestError) as caught:
            await client.chat.completions.create(
                model="sim/context-length", messages=QUESTION, extra_headers=headers("too long", tag)
            )
        assert caught.value.response.headers.get("x-tollway-replayed") == replayed
    assert len(await rows(mesh.ledger, tag, 1)) == 1


async def test_the_key_works_over_grpc_and_is_the_same_there(mesh: Mesh, client: AsyncOpenAI, tag: str) -> None:
    raw = await client.chat.completions.with_raw_response.create(
        model="sim/echo", messages=QUESTION, extra_headers=headers("both", tag)
    )
    part = chat_pb2.ContentPart(text="Tell me a story")
    message = chat_pb2.Message(role=chat_pb2.ROLE_USER, content=[part])
    request = router_pb2.CreateChatCompletionRequest(
        chat=chat_pb2.ChatRequest(model="sim/echo", messages=[message]),
        tags=[tag],
        preferences=router_pb2.Preferences(idempotency_key="both"),
    )
    async with grpc.aio.insecure_channel(mesh.grpc) as channel:
        answer = await router_pb2_grpc.RouterServiceStub(channel).CreateChatCompletion(request)
    assert answer.receipt.replayed
    assert answer.chat.id == raw.parse().id
    assert len(await rows(mesh.ledger, tag, 1)) == 1


@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_out_of_the_cache_costs_nothing_and_is_a_row_of_its_own(
    mesh: Mesh, client: AsyncOpenAI, tag: str, stream: bool
) -> None:
    create: Any = client.chat.completions.with_raw_response.create

    async def ask(mode: str) -> Any:
        raw = await create(
            model=SLOW, messages=[{"role": "user", "content": tag}], stream=stream,
            extra_headers={"x-tollway-tags": tag, "x-tollway-cache": mode},
        )  # fmt: skip
        parsed = raw.parse()
        text = (await text_of(parsed))[0] if stream else parsed.choices[0].message.content
        return raw.headers, text

    miss, first = await ask("use")
    began = asyncio.get_running_loop().time()
    hit, second = await ask("use")
    took = asyncio.get_running_loop().time() - began
    refreshed, _ = await ask("refresh")
    assert [each["x-tollway-cache"] for each in (miss, hit, refreshed)] == ["miss", "hit", "refreshed"]
    assert second == first
    assert took < 1.0
    assert int(hit["age"]) >= 0
    assert (hit["x-tollway-cost-usd"], hit["x-tollway-attempts"]) == ("0.00", "0")
    kinds = {row.kind: row for row in await rows(mesh.ledger, tag, 3)}
    assert kinds.keys() == {ledger_pb2.ATTEMPT_KIND_UNSPECIFIED, ledger_pb2.ATTEMPT_KIND_CACHE_HIT}
    row = kinds[ledger_pb2.ATTEMPT_KIND_CACHE_HIT]
    assert (row.cost_nanos, row.provenance, row.usage.output_tokens) == (0, ledger_pb2.PROVENANCE_CACHED, 0)
    assert row.trace_id == hit["x-tollway-trace-id"]
