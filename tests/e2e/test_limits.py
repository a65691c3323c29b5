"""Limits that several processes share, to the last request; and what holds when what they share is gone."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import httpx2
import pytest

from tests.e2e.processes import Mesh, Process, clean_environment, one_process
from tests.redis_server import ThrowawayServer
from tollway.chat.v1 import chat_pb2
from tollway.router.v1 import router_pb2, router_pb2_grpc

LIMIT = 100
ASKED = 1000
QUESTION = {"model": "sim", "messages": [{"role": "user", "content": "hi"}]}


def configuration(folder: Path, state: str, limits: str, when_lost: str = "local", timeout: str = "250ms") -> Path:
    path = folder / "tollway.yaml"
    path.write_text(f'state: {{url: "{state}", when_lost: {when_lost}, timeout: {timeout}}}\nlimits: [{limits}]\n')
    return path


@contextmanager
def routers(folder: Path, config: Path, count: int) -> Iterator[list[str]]:
    """That many router processes beside one ledger; where each is reached."""
    ledger = f"unix:{folder}/ledger.sock"
    options = ["--data-dir", str(folder / "data"), "--config", str(config)]
    processes = [Process("ledger", ["serve", "ledger", "--listen", ledger, *options], folder, clean_environment())]
    targets = []
    for number in range(count):
        targets.append(f"unix:{folder}/router-{number}.sock")
        command = ["serve", "router,providers", "--listen", f"router={targets[-1]}", "--connect", f"ledger={ledger}"]
        processes.append(Process(f"router-{number}", [*command, *options], folder, clean_environment()))
    for process in processes:
        process.start()
    try:
        yield targets
        logs = "\n".join(process.log.read_text() for process in processes)
        assert "shared state cannot be reached" not in logs, logs
    finally:
        for process in processes:
            process.stop()


async def ask(stub: Any, streamed: bool) -> str:
    chat = chat_pb2.ChatRequest(
        model="sim",
        messages=[chat_pb2.Message(role=chat_pb2.ROLE_USER, content=[chat_pb2.ContentPart(text="hi")])],
    )
    try:
        if streamed:
            async for _ in stub.StreamChatCompletion(router_pb2.StreamChatCompletionRequest(chat=chat), timeout=60):
                pass
        else:
            await stub.CreateChatCompletion(router_pb2.CreateChatCompletionRequest(chat=chat), timeout=60)
    except grpc.aio.AioRpcError as error:
        return error.code().name
    return "OK"


async def all_at_once(targets: list[str]) -> Counter[str]:
    """What became of ASKED requests that were sent together, spread over the routers, half of them streamed."""
    channels = [grpc.aio.insecure_channel(target) for target in targets]
    try:
        for channel in channels:
            await asyncio.wait_for(channel.channel_ready(), 30)
        stubs = [router_pb2_grpc.RouterServiceStub(channel) for channel in channels]
        asked = (ask(stubs[number % len(stubs)], number % 8 < 4) for number in range(ASKED))
        return Counter(await asyncio.gather(*asked))
    finally:
        for channel in channels:
            await channel.close()


async def test_four_routers_that_share_redis_let_through_exactly_the_limit(tmp_path: Path) -> None:
    limits = f'{{scope: "project:*", requests: {LIMIT}/d, concurrency: {ASKED}}}'
    with ThrowawayServer() as server:
        config = configuration(tmp_path, server.url, limits, timeout="10s")
        with routers(tmp_path, config, 4) as targets:
            assert await all_at_once(targets) == {"OK": LIMIT, "RESOURCE_EXHAUSTED": ASKED - LIMIT}


async def test_two_routers_that_share_a_file_let_through_exactly_the_limit(tmp_path: Path) -> None:
    limits = f'{{scope: "project:*", requests: {LIMIT}/d, concurrency: {ASKED}}}'
    config = configuration(tmp_path, "sqlite:///{data_dir}/state.db", limits, timeout="10s")
    with routers(tmp_path, config, 2) as targets:
        assert await all_at_once(targets) == {"OK": LIMIT, "RESOURCE_EXHAUSTED": ASKED - LIMIT}


async def test_tokens_are_one_limit_that_is_settled_to_what_was_used(tmp_path: Path) -> None:
    chat = chat_pb2.ChatRequest(
        model="sim",
        messages=[chat_pb2.Message(role=chat_pb2.ROLE_USER, content=[chat_pb2.ContentPart(text="hi")])],
        sampling=chat_pb2.SamplingOptions(max_tokens=100_000),
    )
    request = router_pb2.CreateChatCompletionRequest(chat=chat)
    used = 0

    async def remaining(channel: grpc.aio.Channel) -> int:
        nonlocal used
        answer = await router_pb2_grpc.RouterServiceStub(channel).CreateChatCompletion(request, timeout=30)
        used += answer.chat.usage.input_tokens + answer.chat.usage.output_tokens
        return int(answer.receipt.rate_limits.tokens.remaining)

    with ThrowawayServer() as server:
        config = configuration(tmp_path, server.url, '{scope: "key:*", tokens: 1000000/d}', timeout="10s")
        with routers(tmp_path, config, 2) as targets:
            async with grpc.aio.insecure_channel(targets[0]) as one, grpc.aio.insecure_channel(targets[1]) as two:
                for channel in (one, two, one, two):
                    await asyncio.wait_for(channel.channel_ready(), 30)
                    end = time.monotonic() + 20
                    while True:  # until what was asked before has been settled, which is done beside its answer
                        before = used
                        left = await remaining(channel)
                        # Its own estimate is drawn; of a million a day, some ten come back each second.
                        if 900_000 - before - 1 <= left + 1 <= 900_000 - before + 12 * 60:
                            break
                        assert time.monotonic() < end, (left, before)


# -- over HTTP ---------------------------------------------------------------------------------------------------------


def answered(mesh: Mesh, **extra: Any) -> httpx2.Response:
    return httpx2.post(f"{mesh.base_url}/chat/completions", json={**QUESTION, **extra}, timeout=20)


def state_of(mesh: Mesh) -> tuple[int, str]:
    answer = httpx2.get(f"{mesh.http}/readyz", timeout=10)
    return answer.status_code, answer.json()["state"]


def wait_for_state(mesh: Mesh, wanted: str) -> None:
    end = time.monotonic() + 20
    while state_of(mesh)[1] != wanted:
        assert time.monotonic() < end, mesh.logs()
        time.sleep(0.05)


def test_answers_and_refusals_say_what_is_left(tmp_path: Path) -> None:
    config = configuration(tmp_path, "memory://", '{scope: "key:*", requests: 3/d, tokens: 5000/h}')
    mesh = one_process(tmp_path, config)
    try:
        mesh.wait_until_ready()
        whole, streamed = answered(mesh), answered(mesh, stream=True)
        assert [answer.headers["x-ratelimit-remaining-requests"] for answer in (whole, streamed)] == ["2", "1"]
        assert whole.headers["x-ratelimit-limit-requests"] == "3"
        assert whole.headers["x-ratelimit-limit-tokens"] == "5000"
        assert whole.headers["x-ratelimit-reset-requests"] == "8h0m0s"
        never = answered(mesh, max_tokens=6000)
        assert (never.status_code, never.headers["x-should-retry"]) == (429, "false")
        assert "retry-after" not in never.headers
        answered(mesh)
        refused = answered(mesh)
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, "rate_limit_exceeded")
        assert refused.json()["error"]["message"].startswith("key:local may make 3 requests a day")
        assert 28_000 < int(refused.headers["retry-after"]) <= 28_800
        assert refused.headers["x-ratelimit-remaining-requests"] == "0"
        assert state_of(mesh) == (200, "ok")
    finally:
        mesh.stop()


@pytest.mark.parametrize("gone", ["killed", "frozen"])
@pytest.mark.parametrize("when_lost", ["local", "deny"])
def test_when_redis_is_gone_the_declared_mode_holds_and_nothing_hangs(
    tmp_path: Path, when_lost: str, gone: str
) -> None:
    with ThrowawayServer() as server:
        config = configuration(tmp_path, server.url, '{scope: "key:*", requests: 6/d}', when_lost)
        mesh = one_process(tmp_path, config)
        try:
            mesh.wait_until_ready()
            assert state_of(mesh) == (200, "ok")
            assert [answered(mesh).status_code for _ in range(3)] == [200] * 3
            server.kill() if gone == "killed" else server.freeze()
            began = time.monotonic()
            statuses = [answered(mesh).status_code for _ in range(10)]
            assert time.monotonic() - began < 5
            assert statuses == ([200] * 6 + [429] * 4 if when_lost == "local" else [503] * 10)
            assert state_of(mesh) == (200, "lost")
            assert "tollway_state_lost 1.0" in httpx2.get(f"{mesh.http}/metrics").text
            if when_lost == "deny":
                assert answered(mesh).headers["retry-after"] == "1"
            server.start() if gone == "killed" else server.thaw()
            wait_for_state(mesh, "ok")
            assert answered(mesh).status_code == 200
            assert mesh.logs().count("the shared state cannot be reached") == 1
            assert mesh.logs().count("the shared state is back") == 1
        finally:
            assert mesh.stop() == {"up": 0}
