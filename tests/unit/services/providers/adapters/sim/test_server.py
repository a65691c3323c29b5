from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import openai
import orjson
import pytest
from pydantic import BaseModel

from mesh.config.schema import SimOptions
from services.providers.adapters.sim.behaviour import CATALOGUE
from services.providers.adapters.sim.server import Sim, serve

USER: Any = [{"role": "user", "content": "Hello there"}]


class Place(BaseModel):
    country: str
    population: int


@pytest.fixture
async def client(sim_server: Sim) -> AsyncIterator[openai.AsyncOpenAI]:
    url = f"http://127.0.0.1:{sim_server.port}/v1"
    async with openai.AsyncOpenAI(base_url=url, api_key="any", max_retries=0) as client:
        yield client


async def get(sim: Sim, path: str) -> Any:
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{sim.port}{path}") as response:
        assert response.status == 200
        return await response.json()


async def until_told(sim: Sim, count: str, number: int) -> None:
    for _ in range(2000):
        if (await get(sim, "/_sim/calls"))[count] == number:
            return
        await asyncio.sleep(0.005)
    raise AssertionError(f"{count} did not become {number}")


async def test_openai_s_own_client_gets_an_answer(client: openai.AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(model="echo", messages=USER)
    assert answer.choices[0].message.content == "Hello there"
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + 2


async def test_openai_s_own_client_streams_an_answer(client: openai.AsyncOpenAI) -> None:
    async with client.chat.completions.stream(model="sim", messages=USER, stream_options={"include_usage": True}) as s:
        completion = await s.get_final_completion()
    assert completion.choices[0].finish_reason == "stop"
    assert completion.usage is not None
    assert completion.usage.completion_tokens == 20


async def test_openai_s_own_client_parses_a_structured_answer(client: openai.AsyncOpenAI) -> None:
    answer = await client.chat.completions.parse(model="sim", messages=USER, response_format=Place)
    assert isinstance(answer.choices[0].message.parsed, Place)


async def test_openai_s_own_client_has_its_tools_called(client: openai.AsyncOpenAI) -> None:
    tool = openai.pydantic_function_tool(Place, name="find")
    async with client.chat.completions.stream(model="sim", messages=USER, tools=[tool]) as stream:
        completion = await stream.get_final_completion()
    calls = completion.choices[0].message.tool_calls
    assert calls is not None
    assert [type(call.function.parsed_arguments) for call in calls] == [Place]


@pytest.mark.parametrize(
    ("model", "error"),
    [
        ("status-401", openai.AuthenticationError),
        ("status-429", openai.RateLimitError),
        ("status-503", openai.InternalServerError),
        ("context-length", openai.BadRequestError),
        ("model-not-found", openai.NotFoundError),
        ("reset", openai.APIConnectionError),
    ],
)
async def test_openai_s_own_client_raises_what_it_raises_for_openai(
    client: openai.AsyncOpenAI, model: str, error: type[Exception]
) -> None:
    with pytest.raises(error):
        await client.chat.completions.create(model=model, messages=USER)


async def test_the_models_are_listed(client: openai.AsyncOpenAI) -> None:
    assert [model.id async for model in client.models.list()] == [model.name for model in CATALOGUE]


async def test_a_request_that_makes_no_sense_is_told_so_in_openai_s_shape(client: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        await client.chat.completions.create(model="sim", messages=[])
    assert caught.value.param == "messages"


async def test_the_configuration_sets_the_pace(client: openai.AsyncOpenAI) -> None:
    sim = await serve("127.0.0.1", 0, SimOptions.model_validate({"tokens": 3, "ttft": "60ms"}))
    loop = asyncio.get_running_loop()
    started = loop.time()
    slow = client.with_options(base_url=f"http://127.0.0.1:{sim.port}/v1")
    answer = await slow.chat.completions.create(model="sim", messages=USER)
    assert loop.time() - started >= 0.06
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 3
    await sim.close()


async def test_calls_are_remembered_in_order_with_how_they_ended(sim_server: Sim, client: openai.AsyncOpenAI) -> None:
    for name in ("a", "b"):
        await client.chat.completions.create(model="sim", messages=USER, extra_headers={"x-client-request-id": name})
    with pytest.raises(openai.APITimeoutError):
        await client.chat.completions.create(
            model="silence", messages=USER, timeout=0.3, extra_headers={"x-client-request-id": "c"}
        )
    await until_told(sim_server, "cut", 1)
    assert await get(sim_server, "/_sim/calls") == {"total": 3, "served": 2, "cut": 1, "calls": ["a", "b", "c"]}


async def test_what_is_not_there_is_told_in_openai_s_shape(sim_server: Sim) -> None:
    url = f"http://127.0.0.1:{sim_server.port}"
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{url}/v1/nothing") as response:
            assert (response.status, response.content_type) == (404, "application/json")
            assert (await response.json())["error"]["message"] == "GET /v1/nothing: Not Found"
        async with session.get(f"{url}/v1/chat/completions") as response:
            assert (response.status, response.content_type) == (405, "application/json")
            assert response.headers["allow"] == "POST"
            assert (await response.json())["error"]["type"] == "invalid_request_error"


async def test_every_answer_has_an_id_of_its_own_unless_its_client_gave_it_one(sim_server: Sim) -> None:
    url = f"http://127.0.0.1:{sim_server.port}/v1/chat/completions"
    identifiers = []
    async with aiohttp.ClientSession() as session:
        for headers in ({}, {}, {"x-client-request-id": "mine"}):
            async with session.post(url, json={"model": "sim", "messages": USER}, headers=headers) as response:
                identifiers.append(response.headers["x-request-id"])
    assert len(set(identifiers)) == 3
    assert all(len(identifier) == len("sim-") + 16 for identifier in identifiers[:2])
    assert identifiers[2] == "sim-mine"


async def test_the_process_says_that_it_lives(sim_server: Sim) -> None:
    assert await get(sim_server, "/healthz") == {"status": "ok"}


@pytest.mark.parametrize(
    "fields", [{"model": "sim"}, {"model": "echo"}, {"model": "echo", "stream": True}, {"model": "text:tokens=100000"}]
)
async def test_others_have_their_turn_while_a_large_question_is_answered(
    sim_server: Sim, fields: dict[str, Any]
) -> None:
    content = "Hi" if "tokens" in fields["model"] else "a b " * 4_000_000
    body = orjson.dumps({"messages": [{"role": "user", "content": content}], **fields})
    url = f"http://127.0.0.1:{sim_server.port}/v1/chat/completions"
    longest = 0.0

    async def watch() -> None:
        nonlocal longest
        loop = asyncio.get_running_loop()
        while True:
            before = loop.time()
            await asyncio.sleep(0.001)
            longest = max(longest, loop.time() - before)

    async with aiohttp.ClientSession() as session:
        watching = asyncio.ensure_future(watch())
        async with session.post(url, data=body, headers={"content-type": "application/json"}) as response:
            assert response.status == 200
            async for _ in response.content.iter_any():
                pass
        watching.cancel()
    assert longest < 2.0  # seconds, for a busy machine: a twentieth of it is usual, and it was four and more


async def test_a_port_that_is_taken_is_an_error_at_once(sim_server: Sim) -> None:
    with pytest.raises(OSError, match="address already in use"):
        await serve("127.0.0.1", sim_server.port, SimOptions())


async def test_closing_does_not_wait_for_calls_that_hang(client: openai.AsyncOpenAI, sim_server: Sim) -> None:
    hanging = asyncio.ensure_future(client.chat.completions.create(model="silence", messages=USER))
    await until_told(sim_server, "total", 1)
    async with asyncio.timeout(2):
        await sim_server.close()
    with pytest.raises(openai.APIConnectionError):
        await hanging
