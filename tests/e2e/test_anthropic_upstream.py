"""The official OpenAI SDK, unmodified, in front of Tollway, and Anthropic's Messages API behind it, in every topology.

What stands in for Anthropic here listens on a real socket and plays a script. Where it streams, it sends a piece of
text only when the client has the one before: an answer that were held back anywhere would never end.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import openai
import pytest
import pytest_asyncio
from aiohttp import web
from openai import AsyncOpenAI

from tests.e2e.processes import TOPOLOGIES, Mesh

pytestmark = pytest.mark.asyncio(loop_scope="module")

Json = dict[str, Any]

CONFIG = """
providers: {{claude: {{dialect: anthropic, base_url: "http://127.0.0.1:{port}/v1", api_key: sk-ant-1}}}}
models: {{m: {{deployments: [{{provider: claude, model: claude-opus-5}}]}}}}
defaults: {{retries: 0}}
"""
LIMIT = 20.0
PNG = "iVBORw0KGgo="
LOOK: list[Any] = [
    {"role": "system", "content": "Be brief."},
    {
        "role": "user",
        "content": [
            {"type": "text", "text": "Where is this, and how is the weather?"},
            {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
        ],
    },
]
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER: list[Any] = [{"type": "function", "function": {"name": "get_weather", "parameters": SCHEMA}}]
COUNTS = {
    "input_tokens": 20,
    "cache_read_input_tokens": 100,
    "cache_creation_input_tokens": 0,
    "output_tokens": 1,
    "service_tier": "standard",
}


class StandIn:
    """Anthropic's API as far as a script plays it. `heard` is what it was asked: headers and body."""

    def __init__(self) -> None:
        self.play()

    def play(self) -> None:
        """Forgets everything, for another script."""
        self.heard: list[tuple[str, dict[str, str], Json]] = []
        self.status = 200
        self.body: Json = {}
        self.events: list[Json] = []
        self.received = asyncio.Semaphore(0)
        """Released by the client for each piece of text that it has."""

    async def messages(self, request: web.Request) -> web.StreamResponse:
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.heard.append((request.path, headers, await request.json()))
        if not self.events:
            return web.json_response(self.body, status=self.status, headers={"request-id": "req_1"})
        answer = web.StreamResponse(headers={"content-type": "text/event-stream", "request-id": "req_1"})
        await answer.prepare(request)
        for event in self.events:
            await answer.write(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode())
            if event.get("delta", {}).get("type") in ("text_delta", "input_json_delta"):
                await asyncio.wait_for(self.received.acquire(), LIMIT)
        await answer.write_eof()
        return answer


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[StandIn, Path]]:
    stand_in, config = StandIn(), tmp_path_factory.mktemp("claude") / "tollway.yaml"
    app = web.Application()
    app.router.add_post("/v1/messages", stand_in.messages)
    runner = web.AppRunner(app, shutdown_timeout=1.0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    config.write_text(CONFIG.format(port=port))
    yield stand_in, config
    await runner.cleanup()


@pytest.fixture
def anthropic(running: tuple[StandIn, Path]) -> StandIn:
    running[0].play()
    return running[0]


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=list(TOPOLOGIES))
async def mesh(
    request: pytest.FixtureRequest, running: tuple[StandIn, Path], tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Mesh]:
    mesh = TOPOLOGIES[request.param](tmp_path_factory.mktemp("mesh"), running[1])
    try:
        await asyncio.to_thread(mesh.wait_until_ready)
        yield mesh
    finally:
        await asyncio.to_thread(mesh.stop)


@pytest_asyncio.fixture(loop_scope="module")
async def client(mesh: Mesh) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=mesh.base_url, api_key="none", max_retries=0, timeout=LIMIT) as client:
        yield client


def start() -> Json:
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-opus-5", "content": []}
    return {"type": "message_start", "message": {**message, "usage": COUNTS}}


def block(index: int, opening: Json, *deltas: Json) -> list[Json]:
    return [
        {"type": "content_block_start", "index": index, "content_block": opening},
        {"type": "ping"},
        *({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": index},
    ]


def text(*pieces: str) -> list[Json]:
    return block(0, {"type": "text", "text": ""}, *({"type": "text_delta", "text": piece} for piece in pieces))


def call(index: int, identifier: str, *pieces: str) -> list[Json]:
    opening = {"type": "tool_use", "id": identifier, "name": "get_weather", "input": {}}
    return block(index, opening, *({"type": "input_json_delta", "partial_json": piece} for piece in pieces))


def end(reason: str) -> list[Json]:
    ending = {"stop_reason": reason, "stop_sequence": None}
    return [{"type": "message_delta", "delta": ending, "usage": {"output_tokens": 30}}, {"type": "message_stop"}]


async def test_an_openai_client_talks_to_claude_with_a_picture_and_tools_token_by_token(
    client: AsyncOpenAI, anthropic: StandIn
) -> None:
    anthropic.events = [
        start(),
        *text("Oslo, ", "I ", "think."),
        *call(1, "toolu_1", '{"ci', 'ty": "Ős', 'lo"}'),
        *call(2, "toolu_2", '{"city": "Rome"}'),
        *end("tool_use"),
    ]
    said: list[str] = []
    calls: dict[int, Json] = {}
    stream = await client.chat.completions.create(
        model="m", messages=LOOK, tools=WEATHER, tool_choice="required", stream=True, max_completion_tokens=500,
        reasoning_effort="low", stream_options={"include_usage": True},
    )  # fmt: skip
    finishes, usage = [], None
    async for chunk in stream:
        usage = chunk.usage or usage
        for choice in chunk.choices:
            if choice.delta.content:
                said.append(choice.delta.content)
                anthropic.received.release()
            for piece in choice.delta.tool_calls or ():
                whole = calls.setdefault(piece.index, {"id": "", "name": "", "arguments": ""})
                assert piece.function is not None
                whole["id"] += piece.id or ""
                whole["name"] += piece.function.name or ""
                whole["arguments"] += piece.function.arguments or ""
                if piece.function.arguments:
                    anthropic.received.release()
            finishes += [choice.finish_reason] if choice.finish_reason else []
    assert said == ["Oslo, ", "I ", "think."]
    assert calls == {
        0: {"id": "toolu_1", "name": "get_weather", "arguments": '{"city": "Őslo"}'},
        1: {"id": "toolu_2", "name": "get_weather", "arguments": '{"city": "Rome"}'},
    }
    assert finishes == ["tool_calls"]
    assert usage is not None
    assert (usage.prompt_tokens, usage.completion_tokens) == (120, 30)
    assert usage.prompt_tokens_details is not None
    assert usage.prompt_tokens_details.cached_tokens == 100

    ((path, headers, body),) = anthropic.heard
    assert path == "/v1/messages"
    assert (headers["x-api-key"], headers["anthropic-version"]) == ("sk-ant-1", "2023-06-01")
    assert "authorization" not in headers
    assert body == {
        "model": "claude-opus-5",
        "max_tokens": 500,
        "system": "Be brief.",
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "Where is this, and how is the weather?"},
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
                ],
            }
        ],
        "tools": [{"name": "get_weather", "input_schema": SCHEMA}],
        "tool_choice": {"type": "any"},
        "output_config": {"effort": "low"},
        "stream": True,
    }


async def test_what_tools_answered_goes_back_and_the_last_word_comes_whole(
    client: AsyncOpenAI, anthropic: StandIn
) -> None:
    anthropic.body = {
        "id": "msg_2", "type": "message", "role": "assistant", "model": "claude-opus-5",
        "content": [{"type": "text", "text": "7 °C in Oslo."}],
        "stop_reason": "end_turn", "stop_sequence": None, "usage": COUNTS,
    }  # fmt: skip
    asked = [
        {"id": f"toolu_{n}", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}} for n in "12"
    ]
    answered: list[Any] = [
        *LOOK,
        {"role": "assistant", "content": None, "tool_calls": asked},
        {"role": "tool", "tool_call_id": "toolu_1", "content": "7 °C"},
        {"role": "tool", "tool_call_id": "toolu_2", "content": [{"type": "text", "text": "no such city"}]},
        {"role": "user", "content": "Well?"},
    ]
    answer = await client.chat.completions.create(model="m", messages=answered, tools=WEATHER)
    assert answer.choices[0].message.content == "7 °C in Oslo."
    assert answer.choices[0].finish_reason == "stop"
    ((_, _, body),) = anthropic.heard
    assert body["max_tokens"] == 128_000
    assert body["messages"][1:] == [
        {
            "role": "assistant",
            "content": [{"type": "tool_use", "id": f"toolu_{n}", "name": "get_weather", "input": {}} for n in "12"],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "toolu_1", "content": "7 °C"},
                {"type": "tool_result", "tool_use_id": "toolu_2", "content": "no such city"},
                {"type": "text", "text": "Well?"},
            ],
        },
    ]


async def test_what_claude_cannot_be_told_is_refused_or_left_out_as_the_client_wants(
    client: AsyncOpenAI, anthropic: StandIn
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        await client.chat.completions.create(model="m", messages=LOOK, seed=7)
    assert caught.value.code == "unsupported_feature"
    assert "chat.sampling.seed has no place in Anthropic's API" in caught.value.message
    assert anthropic.heard == []
    anthropic.events = [start(), *text("Oslo."), *end("end_turn")]
    anthropic.received.release()
    raw = await client.chat.completions.with_raw_response.create(
        model="m", messages=LOOK, seed=7, stream=True, extra_headers={"x-tollway-drop-unsupported": "1"}
    )
    assert raw.headers["x-tollway-dropped"] == "chat.sampling.seed"
    assert [chunk async for chunk in raw.parse()][-1].choices[0].finish_reason == "stop"


async def test_errors_of_claudes_are_of_the_class_the_sdk_has_for_them(client: AsyncOpenAI, anthropic: StandIn) -> None:
    anthropic.status = 400
    anthropic.body = {
        "type": "error",
        "error": {"type": "invalid_request_error", "message": "prompt is too long: 214521 tokens > 200000 maximum"},
    }
    with pytest.raises(openai.BadRequestError) as refused:
        await client.chat.completions.create(model="m", messages=LOOK)
    assert refused.value.code == "context_length_exceeded"
    assert "prompt is too long" in refused.value.message

    overloaded = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    anthropic.events = [start(), *text("Os")[:3], overloaded]
    stream = await client.chat.completions.create(model="m", messages=LOOK, stream=True)
    heard = [(await anext(stream)).choices[0] for _ in ("the role", "the text")]
    assert [(choice.delta.content or "", choice.finish_reason) for choice in heard] == [("", None), ("Os", None)]
    anthropic.received.release()
    with pytest.raises(openai.APIError, match="Overloaded"):
        await anext(stream)
