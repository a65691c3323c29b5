"""Anthropic's SDK in front of a provider that speaks OpenAI's dialect: nothing is lost, and nothing waits.

The provider is the stand-alone sim, or a server that says what a test wrote down, piece by piece, and keeps what it was
asked.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from anthropic import AsyncAnthropic

from tests.e2e.processes import TOPOLOGIES, Mesh, Process, clean_environment, free_port

CONFIG = """
providers: {{far: {{base_url: "{url}"}}}}
models: {{m: {{deployments: [{{provider: far, model: {model}}}]}}}}
"""
PICTURE = b"\x89PNG\r\n\x1a\n"
TOOLS: list[Any] = [
    {
        "name": name,
        "description": f"The {name} somewhere.",
        "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    }
    for name in ("weather", "time")
]
TURNS: list[Any] = [
    {
        "role": "user",
        "content": [
            {
                "type": "image",
                "source": {"type": "base64", "media_type": "image/png", "data": base64.b64encode(PICTURE).decode()},
            },
            {"type": "text", "text": "What is it like where this was taken?"},
        ],
    },
    {
        "role": "assistant",
        "content": [
            {"type": "text", "text": "Let me see."},
            {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Ulm"}},
            {"type": "tool_use", "id": "toolu_2", "name": "time", "input": {"city": "Ulm"}},
        ],
    },
    {
        "role": "user",
        "content": [
            {"type": "tool_result", "tool_use_id": "toolu_1", "content": "21 °C"},
            {"type": "tool_result", "tool_use_id": "toolu_2", "content": [{"type": "text", "text": "noon"}]},
            {"type": "text", "text": "And in Bonn?"},
        ],
    },
]


class Upstream:
    """Speaks OpenAI's dialect. Says each of `deltas` when it is told to."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.deltas: list[Any] = []
        self.may_speak = asyncio.Semaphore(0)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(await request.json())
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        for delta in self.deltas:
            await self.may_speak.acquire()
            reason = delta.pop("finish_reason", None)
            choice = {"index": 0, "delta": delta, "finish_reason": reason}
            chunk = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": "far-1", "choices": [choice]}
            await response.write(b"data: " + json.dumps(chunk).encode() + b"\n\n")
        await response.write(b"data: [DONE]\n\n")
        await response.write_eof()
        return response


@pytest.fixture
async def upstream() -> AsyncIterator[tuple[Upstream, str]]:
    server, app = Upstream(), web.Application()
    app.router.add_post("/v1/chat/completions", server.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    yield server, f"http://127.0.0.1:{port}/v1"
    await runner.cleanup()


@asynccontextmanager
async def in_front_of(url: str, model: str, folder: Path, topology: str) -> AsyncIterator[AsyncAnthropic]:
    config = folder / "tollway.yaml"
    config.write_text(CONFIG.format(url=url, model=model))
    mesh: Mesh = TOPOLOGIES[topology](folder, config)
    try:
        await asyncio.to_thread(mesh.wait_until_ready)
        async with AsyncAnthropic(
            base_url=mesh.http, api_key="none", max_retries=0, timeout=20, _strict_response_validation=True
        ) as client:
            yield client
    finally:
        await asyncio.to_thread(mesh.stop)


def call(index: int, **fields: Any) -> dict[str, Any]:
    name = {"id": f"call_{index}", "type": "function"} if "name" in fields else {}
    return {"tool_calls": [{"index": index, **name, "function": fields}]}


@pytest.mark.parametrize("topology", list(TOPOLOGIES))
async def test_tools_and_pictures_pass_and_what_is_said_passes_piece_by_piece(
    upstream: tuple[Upstream, str], tmp_path: Path, topology: str
) -> None:
    server, url = upstream
    server.deltas = [
        {"role": "assistant", "reasoning_content": "Hm."},
        {"content": "In"},
        {"content": " Bonn"},
        call(0, name="weather", arguments='{"ci'),
        call(1, name="time", arguments=""),
        call(0, arguments='ty":"Bo'),
        call(1, arguments='{"city":'),
        call(1, arguments='"Bonn"}'),
        call(0, arguments='nn"}'),
        {"finish_reason": "tool_calls"},
    ]
    async with in_front_of(url, "far-1", tmp_path, topology) as client:
        seen: list[str] = []
        said = ["Hm.", "In", " Bonn", '{"ci', None, 'ty":"Bo', None, None, 'nn"}', None]
        server.may_speak.release()
        async with client.messages.stream(
            model="m", max_tokens=64, messages=TURNS, tools=TOOLS, system="Be brief."
        ) as s:
            events = aiter(s)
            for number, piece in enumerate(said):
                while piece is not None and piece not in seen:
                    event = await anext(events)  # comes before the server has said any more
                    if event.type == "content_block_delta":
                        seen += [text for text in event.delta.to_dict().values() if isinstance(text, str)]
                if number + 1 < len(said):
                    server.may_speak.release()
            answer = await s.get_final_message()

    assert [block.to_dict() for block in answer.content] == [
        {"type": "thinking", "thinking": "Hm.", "signature": ""},
        {"type": "text", "text": "In Bonn"},
        {"type": "tool_use", "id": "call_0", "name": "weather", "input": {"city": "Bonn"}},
        {"type": "tool_use", "id": "call_1", "name": "time", "input": {"city": "Bonn"}},
    ]
    assert (answer.stop_reason, answer.model) == ("tool_use", "far-1")
    (asked,) = server.asked
    check_question(asked)


def check_question(asked: Any) -> None:
    """That the question arrived, whole and in order."""
    system, user, assistant, first, second, rest = asked["messages"]
    assert (system["role"], system["content"]) == ("system", "Be brief.")
    picture = f"data:image/png;base64,{base64.b64encode(PICTURE).decode()}"
    assert user["content"][0]["image_url"]["url"] == picture
    assert user["content"][1]["text"] == "What is it like where this was taken?"
    assert assistant["content"] == "Let me see."
    calls = [(made["id"], made["function"]["name"]) for made in assistant["tool_calls"]]
    assert calls == [("toolu_1", "weather"), ("toolu_2", "time")]
    assert [json.loads(made["function"]["arguments"]) for made in assistant["tool_calls"]] == [{"city": "Ulm"}] * 2
    assert [(made["role"], made["tool_call_id"], made["content"]) for made in (first, second)] == [
        ("tool", "toolu_1", "21 °C"),
        ("tool", "toolu_2", "noon"),
    ]
    assert (rest["role"], rest["content"]) == ("user", "And in Bonn?")
    assert [tool["function"]["name"] for tool in asked["tools"]] == ["weather", "time"]
    assert asked["tools"][0]["function"]["parameters"]["required"] == ["city"]


@pytest.fixture
def sim(tmp_path: Path) -> Iterator[str]:
    """The stand-alone sim: its address."""
    port = free_port()
    process = Process("sim", ["sim", "--port", str(port)], tmp_path, clean_environment())
    process.start()
    yield f"http://127.0.0.1:{port}/v1"
    process.stop()


async def test_the_stand_alone_sim_calls_several_tools_and_hears_of_them(sim: str, tmp_path: Path) -> None:
    async with in_front_of(sim, '"text:calls=2,rate=200"', tmp_path, "one process") as client:
        ask: Callable[..., Awaitable[Any]] = client.messages.create
        async with client.messages.stream(model="m", max_tokens=400, messages=TURNS[:1], tools=TOOLS) as stream:
            pieces = [event.partial_json async for event in stream if event.type == "input_json"]
            first = await stream.get_final_message()
        calls: Any = first.content
        results = [{"type": "tool_result", "tool_use_id": made.id, "content": made.name} for made in calls]
        turns = [*TURNS[:1], {"role": "assistant", "content": calls}, {"role": "user", "content": results}]
        second = await ask(model="m", max_tokens=400, messages=turns, tools=TOOLS)

    assert [made.name for made in calls] == ["weather", "time"]
    assert all(made.input["city"] for made in calls)
    assert len(pieces) > len(calls)
    assert second.content[0].text == "The tools answered: weather time"
