"""The load generator and the stand-in provider in Python, against each other."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import ClientSession, web

from bench import load
from bench.upstream import Provider, Shape


@pytest.fixture
async def provider() -> AsyncIterator[str]:
    runner = web.AppRunner(Provider(Shape(tokens=5)).application())
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    yield f"{host}:{port}"
    await runner.cleanup()


async def run(target: str, *options: str) -> dict[str, Any]:
    return await load.load(load.parse([target, "--conns", "2", "--secs", "5", "--n-requests", "6", *options]))


async def test_whole_answers_are_counted(provider: str) -> None:
    figures = await run(provider)
    assert (figures["done"], figures["errors"], figures["ttft_ms"]) == (6, {}, None)
    assert figures["lat_ms"]["p50"] <= figures["lat_ms"]["max"]


async def test_streamed_answers_are_counted_by_token_and_event(provider: str) -> None:
    figures = await run(provider, "--stream")
    assert (figures["done"], figures["errors"]) == (6, {})
    assert figures["events"] == 6 * 9  # the role, five tokens, the finish, the usage, the end mark
    assert figures["ttft_ms"]["p50"] <= figures["lat_ms"]["p50"]


async def test_a_failing_answer_is_an_error_of_its_status_and_no_completion(provider: str) -> None:
    figures = await run(provider, "--header", "x-status: 503")
    assert (figures["done"], figures["errors"]) == (0, {"http503": 6})


async def test_nobody_there_is_an_error_too() -> None:
    figures = await run("127.0.0.1:1")
    assert (figures["done"], figures["errors"]) == (0, {"ConnectionRefusedError": 6})


async def test_an_open_loop_keeps_its_rate(provider: str) -> None:
    started = asyncio.get_running_loop().time()
    await run(provider, "--rate", "50")
    assert asyncio.get_running_loop().time() - started >= 5 / 50


async def test_the_provider_tells_what_it_served_and_to_whom(provider: str) -> None:
    await run(provider, "--header", "x-client-request-id: one")
    async with ClientSession() as session, session.get(f"http://{provider}/count") as count:
        assert await count.json() == {"served": 6, "cut": 0}
    async with ClientSession() as session, session.get(f"http://{provider}/ids") as ids:
        assert await ids.text() == "\n".join(["one"] * 6)
