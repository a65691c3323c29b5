"""kill -9, several times over, under 500 concurrent streams: every upstream call has exactly one row.

The upstream is the stand-alone sim, which remembers the `x-client-request-id` of every call. Half the load goes over
HTTP to the gateway and its router, half over gRPC: to the same router in one process, to a second one in the other
topology, so that two routers share a ledger and a journal directory.
"""

from __future__ import annotations

import asyncio
import random
import sqlite3
import time
from collections import Counter
from pathlib import Path

import aiohttp
import grpc
import pytest

from tests.chaos.books import entries_in_journals
from tests.e2e.processes import Mesh, Process, clean_environment, four_processes, free_port, one_process
from tollway.chat.v1 import chat_pb2
from tollway.router.v1 import router_pb2, router_pb2_grpc

STREAMS = 500
KILLS = 4
SECONDS_BETWEEN = 2.5
MODEL = "upstream/text:rate=5,tokens=8,ttft=200ms"


class Load:
    """STREAMS streams at a time, for ever; what fails is counted and asked again."""

    def __init__(self, mesh: Mesh, grpc_target: str) -> None:
        self._mesh, self._grpc_target = mesh, grpc_target
        self.outcomes: Counter[str] = Counter()
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Load:
        self._http = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        self._channel = grpc.aio.insecure_channel(self._grpc_target)
        self._router = router_pb2_grpc.RouterServiceStub(self._channel)
        kinds = (self._over_http, self._over_grpc)
        self._tasks = [asyncio.create_task(self._for_ever(kinds[n % 2])) for n in range(STREAMS)]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._channel.close()
        await self._http.close()

    async def _for_ever(self, ask: object) -> None:
        assert callable(ask)
        await asyncio.sleep(random.random())
        while True:
            try:
                self.outcomes[await ask()] += 1
            except (aiohttp.ClientError, grpc.aio.AioRpcError, OSError, TimeoutError) as error:
                self.outcomes[type(error).__name__] += 1
                await asyncio.sleep(0.2)

    async def _over_http(self) -> str:
        body = {"model": MODEL, "stream": True, "messages": [{"role": "user", "content": "go"}]}
        limit = aiohttp.ClientTimeout(total=30)
        async with self._http.post(f"{self._mesh.base_url}/chat/completions", json=body, timeout=limit) as answer:
            text = await answer.text()
        if answer.status != 200:
            return f"http {answer.status}"
        finished, errors = '"finish_reason":"stop"' in text or '"finish_reason":"length"' in text, '"error"' in text
        assert finished != errors, f"neither or both endings: {text}"
        return "finished" if finished else "in-band error"

    async def _over_grpc(self) -> str:
        message = chat_pb2.Message(role=chat_pb2.ROLE_USER, content=[chat_pb2.ContentPart(text="go")])
        chat = chat_pb2.ChatRequest(model=MODEL, messages=[message])
        finished = False
        request = router_pb2.StreamChatCompletionRequest(chat=chat)
        async for part in self._router.StreamChatCompletion(request, timeout=30):
            finished = any(delta.finish_reason for delta in part.chunk.deltas)
        assert finished, "an OK stream without a finish reason"
        return "finished"


def config(folder: Path, upstream: int) -> Path:
    path = folder / "tollway.yaml"
    path.write_text(
        f'providers: {{upstream: {{dialect: openai, base_url: "http://127.0.0.1:{upstream}/v1"}}}}\n'
        "models: {'upstream/*': {deployments: [{provider: upstream}]}}\n"
    )
    return path


async def calls_seen(upstream: int) -> list[str]:
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{upstream}/_sim/calls") as answer:
        seen: list[str] = (await answer.json())["calls"]
        return seen


def rows(mesh: Mesh) -> dict[str, str]:
    """State by attempt id."""
    with sqlite3.connect(f"file:{mesh.data_dir / 'ledger.db'}?mode=ro", uri=True, timeout=10) as database:
        return dict(database.execute("SELECT attempt_id, state FROM request_logs"))


async def all_booked(mesh: Mesh, limit: float = 60) -> dict[str, str]:
    """The rows, once none is open and no journal holds anything back."""
    end = time.monotonic() + limit
    while time.monotonic() < end:
        await asyncio.sleep(0.5)
        if not entries_in_journals(mesh) and "opened" not in (booked := rows(mesh)).values():
            return booked
    raise AssertionError(f"{entries_in_journals(mesh)} not shipped, {Counter(rows(mesh).values())}\n{mesh.logs()}")


def second_router(mesh: Mesh, folder: Path, config: Path) -> str:
    """Adds another router beside the first, on the same data directory."""
    target = mesh.grpc.replace("router.sock", "router2.sock")
    arguments = [target if argument == mesh.grpc else argument for argument in mesh.processes["router"].arguments]
    mesh.processes["router2"] = Process("router2", arguments, folder, clean_environment())
    mesh.processes["router2"].start()
    return target


@pytest.mark.timeout(240)
@pytest.mark.parametrize("topology", ["one process", "four processes and a second router"])
async def test_every_upstream_call_has_one_row_whatever_was_killed(topology: str, tmp_path: Path) -> None:
    upstream = Process("sim", ["sim", "--port", str(port := free_port())], tmp_path, clean_environment())
    upstream.start()
    settings = config(tmp_path, port)
    mesh = one_process(tmp_path, settings) if topology == "one process" else four_processes(tmp_path, settings)
    target = mesh.grpc if topology == "one process" else second_router(mesh, tmp_path, settings)
    victims = list(mesh.processes.values())
    random.Random(7).shuffle(victims)
    try:
        mesh.wait_until_ready()
        async with Load(mesh, target) as load:
            for kill in range(max(KILLS, len(victims))):
                await asyncio.sleep(SECONDS_BETWEEN)
                victim = victims[kill % len(victims)]
                victim.kill()
                victim.start()
                await asyncio.to_thread(mesh.wait_until_ready)
            await asyncio.sleep(SECONDS_BETWEEN)
        booked = await all_booked(mesh)
        seen = await calls_seen(port)
    finally:
        mesh.stop()
        upstream.stop()
    assert load.outcomes["finished"] > 0
    assert len(seen) == len(set(seen)) > STREAMS
    assert set(seen) <= booked.keys(), f"{len(set(seen) - booked.keys())} calls without a row"
    without_call = {state for attempt, state in booked.items() if attempt not in set(seen)}
    assert without_call <= {"unsettled"}
