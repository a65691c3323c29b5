"""A mesh whose processes are killed and started again while questions keep coming, and what is found in its book.

Everything that has to remember lives in the process of the test: the upstream, which writes down what it was called
with and what it answered, the load, which asks whether or not it is answered, and who kills whom at what time. All else
are processes of their own and may be killed: gateway, two routers that share a journal's directory, ledger, PostgreSQL.
"""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import aiohttp
import asyncpg
import grpc
from aiohttp import web

from tests import postgres
from tests.chaos.books import entries_in_journals
from tests.e2e.processes import Mesh, Process, clean_environment, four_processes
from tollway.chat.v1 import chat_pb2
from tollway.router.v1 import router_pb2, router_pb2_grpc

INPUT_NANOS, OUTPUT_NANOS = 1_000, 3_000
"""What a token costs: $1 and $3 for a million."""
IN_BETWEEN = 0.75
"""Seconds by which a clock here and one there, or a byte sent and a byte read, may be apart on a busy machine."""
_MODEL = "m"


@dataclass(slots=True)
class Served:
    """A call as the upstream saw it: tokens in and out, and when it came and ended, in Unix time."""

    attempt_id: str
    tokens: tuple[int, int]
    came: float
    ended: float = 0.0
    usage_sent: bool = False

    @property
    def cost_nanos(self) -> int:
        return self.tokens[0] * INPUT_NANOS + self.tokens[1] * OUTPUT_NANOS


class Upstream:
    """A provider whose answers are as long, and take as long, as chance will have it: mostly short, some very long."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self.calls: list[Served] = []

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[int]:
        """The port."""
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self._answer)
        runner = web.AppRunner(app, handler_cancellation=True, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        try:
            yield runner.addresses[0][1]
        finally:
            await runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        chance = self._chance
        words = min(int(chance.paretovariate(0.9)), 60)
        served = Served(request.headers["x-client-request-id"], (chance.randrange(1, 5000), words), time.time())
        self.calls.append(served)
        pause = chance.uniform(0.005, 0.05)
        body = await request.json()
        try:
            if body.get("stream"):
                return await self._stream(request, served, words, pause)
            await asyncio.sleep(words * pause)
            response = web.json_response(_chunk("message", "w " * words, "stop", served))
            await response.prepare(request)
            await response.write_eof()
            served.usage_sent = True
            return response
        finally:
            served.ended = time.time()

    async def _stream(self, request: web.Request, served: Served, words: int, pause: float) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        for word in range(words):
            await asyncio.sleep(pause)
            await _send(response, _chunk("delta", f"w{word} ", None))
        await _send(response, _chunk("delta", "", "stop"))
        await _send(response, {**_chunk("delta", "", None, served), "choices": []})
        served.usage_sent = True
        await response.write(b"data: [DONE]\n\n")
        return response


def _chunk(kind: str, text: str, finish: str | None, usage_of: Served | None = None) -> dict[str, Any]:
    choice = {"index": 0, kind: {"role": "assistant", "content": text}, "finish_reason": finish}
    chunk: dict[str, Any] = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": _MODEL}
    chunk["choices"] = [choice]
    if usage_of is not None:
        given, made = usage_of.tokens
        chunk["usage"] = {"prompt_tokens": given, "completion_tokens": made, "total_tokens": given + made}
    return chunk


async def _send(response: web.StreamResponse, chunk: dict[str, Any]) -> None:
    await response.write(b"data: " + json.dumps(chunk).encode() + b"\n\n")


class Victim(Protocol):
    """What can be killed and started again."""

    @property
    def running(self) -> bool: ...

    def start(self) -> None: ...

    def kill(self) -> None: ...


@dataclass
class Kill:
    """Who was killed, and when: Unix time from just before until just after."""

    victim: str
    began: float
    ended: float


class Supervisor:
    """Starts what has ended, whatever ended it, as a machine's own supervisor does; and kills."""

    def __init__(self, victims: dict[str, Victim], chance: random.Random) -> None:
        self._victims, self._chance = victims, chance
        self._down_until = dict.fromkeys(victims, 0.0)
        self.kills: list[Kill] = []
        self.starts: Counter[str] = Counter()

    async def look_after(self) -> None:
        """For ever."""
        while True:
            for name, victim in self._victims.items():
                if not victim.running and time.monotonic() >= self._down_until[name]:
                    victim.start()
                    self.starts[name] += 1
                    self._down_until[name] = time.monotonic() + 0.5  # one that cannot start yet is tried again
            await asyncio.sleep(0.05)

    async def kill_at_random(self, seconds: float) -> None:
        """Everyone in turn, in an order and at moments that chance chooses, for so long."""
        end = time.monotonic() + seconds
        turn: list[str] = []
        while True:
            await asyncio.sleep(self._chance.uniform(0.6, 2.4))
            if time.monotonic() >= end:
                return
            turn = turn or self._chance.sample(sorted(self._victims), len(self._victims))
            name = turn.pop()
            self._down_until[name] = time.monotonic() + self._chance.uniform(0.0, 1.5)
            began = time.time()
            await asyncio.to_thread(self._victims[name].kill)
            self.kills.append(Kill(name, began, time.time()))


class Load:
    """Questions that come as they come, answered or not: `rate` a second, half over HTTP and half over gRPC."""

    def __init__(self, base_url: str, grpc_target: str, rate: float, chance: random.Random) -> None:
        self._base_url, self._target, self._rate, self._chance = base_url, grpc_target, rate, chance
        self.outcomes: Counter[str] = Counter()
        self.asked = 0

    async def run(self, seconds: float) -> None:
        """Asks for so long, and waits for what was asked."""
        end = time.monotonic() + seconds
        asking: set[asyncio.Task[None]] = set()
        connector = aiohttp.TCPConnector(limit=0)
        async with (
            aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=30)) as http,
            grpc.aio.insecure_channel(self._target) as channel,
        ):
            router = router_pb2_grpc.RouterServiceStub(channel)
            next_at = time.monotonic()
            while (now := time.monotonic()) < end:
                next_at += self._chance.expovariate(self._rate)
                await asyncio.sleep(max(0.0, next_at - now))
                streamed, over_http = self._chance.random() < 0.6, self.asked % 2 == 0
                question = self._over_http(http, streamed) if over_http else self._over_grpc(router, streamed)
                task = asyncio.create_task(self._count(question))
                asking.add(task)
                task.add_done_callback(asking.discard)
                self.asked += 1
            await asyncio.gather(*asking)

    async def _count(self, question: Any) -> None:
        try:
            self.outcomes[await question] += 1
        except grpc.aio.AioRpcError as error:
            self.outcomes[f"gRPC {error.code().name}"] += 1
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            self.outcomes[type(error).__name__] += 1

    async def _over_http(self, http: aiohttp.ClientSession, streamed: bool) -> str:
        body = {"model": _MODEL, "stream": streamed, "messages": [{"role": "user", "content": "go"}]}
        async with http.post(f"{self._base_url}/chat/completions", json=body) as answer:
            text = await answer.text()
        if answer.status != 200:
            return f"HTTP {answer.status}"
        return "answered" if '"finish_reason":"stop"' in text else "in-band error"

    async def _over_grpc(self, router: router_pb2_grpc.RouterServiceAsyncStub, streamed: bool) -> str:
        message = chat_pb2.Message(role=chat_pb2.ROLE_USER, content=[chat_pb2.ContentPart(text="go")])
        chat = chat_pb2.ChatRequest(model=_MODEL, messages=[message])
        if not streamed:
            await router.CreateChatCompletion(router_pb2.CreateChatCompletionRequest(chat=chat), timeout=30)
            return "answered"
        async for _ in router.StreamChatCompletion(router_pb2.StreamChatCompletionRequest(chat=chat), timeout=30):
            pass
        return "answered"


@dataclass(frozen=True, slots=True)
class Row:
    """Of the ledger. `cost_nanos` is None where the row has none."""

    state: str
    provenance: str
    cost_nanos: int | None
    timestamp: float


@dataclass
class Run:
    """What was asked, called, killed and booked, and what an audit of the book came to."""

    calls: list[Served]
    kills: list[Kill]
    rows: dict[str, Row]
    load: Load
    starts: Counter[str]
    audit: subprocess.CompletedProcess[str]
    logs: str
    seconds_until_booked: float

    @property
    def twice(self) -> list[str]:
        """Ids that the upstream was called with more than once."""
        return [
            identifier for identifier, times in Counter(call.attempt_id for call in self.calls).items() if times > 1
        ]

    @property
    def rowless(self) -> list[str]:
        """Calls without a row."""
        return [call.attempt_id for call in self.calls if call.attempt_id not in self.rows]

    @property
    def settled_without_call(self) -> list[str]:
        """Rows without a call that say something else than that they are unsettled."""
        called = {call.attempt_id for call in self.calls}
        return [each for each, row in self.rows.items() if each not in called and row.state != "unsettled"]

    @property
    def wrong_amounts(self) -> list[str]:
        """Rows that have the provider's word, and another amount than that costs."""
        return [
            f"{call.attempt_id}: {row.cost_nanos} where its usage costs {call.cost_nanos}"
            for call in self.calls
            if (row := self.rows.get(call.attempt_id)) is not None
            and row.provenance == "provider_reported"
            and row.cost_nanos != call.cost_nanos
        ]

    @property
    def not_reported(self) -> list[Served]:
        """Calls whose usage was sent, and whose row does not have it."""
        return [
            call
            for call in self.calls
            if call.usage_sent and (row := self.rows.get(call.attempt_id)) and row.provenance != "provider_reported"
        ]

    @property
    def lost_by_nobody(self) -> list[str]:
        """Of those, the ones for which no kill can be blamed: nobody between the upstream and the client was killed
        from the call's beginning until its usage had been read."""
        blamed = ("gateway", "router", "router2")
        return [
            f"{call.attempt_id}: {self.rows[call.attempt_id]}"
            for call in self.not_reported
            if not any(
                kill.victim in blamed and kill.ended >= call.came and kill.began <= call.ended + IN_BETWEEN
                for kill in self.kills
            )
        ]

    def figures(self) -> str:
        """For people."""
        states = Counter(row.state for row in self.rows.values())
        called = {call.attempt_id for call in self.calls}
        booked = sum(row.cost_nanos or 0 for row in self.rows.values())
        lines = [
            ("questions asked", self.load.asked),
            ("… and what came of them", dict(self.load.outcomes.most_common())),
            ("killed", dict(Counter(kill.victim for kill in self.kills))),
            ("upstream calls", len(self.calls)),
            ("… with usage sent", sum(call.usage_sent for call in self.calls)),
            ("rows", f"{len(self.rows)}: {dict(states)}"),
            ("calls without a row", len(self.rowless)),
            ("calls with the same id", len(self.twice)),
            ("rows without a call, all unsettled", len(self.rows.keys() - called) - len(self.settled_without_call)),
            ("rows without a call that claim one", len(self.settled_without_call)),
            ("amounts other than the usage's", len(self.wrong_amounts)),
            ("usage sent, and cut off by a kill", len(self.not_reported) - len(self.lost_by_nobody)),
            ("usage sent, and lost otherwise", len(self.lost_by_nobody)),
            ("nano-USD booked", f"{booked:,}"),
            ("seconds until all was booked", f"{self.seconds_until_booked:.1f}"),
            ("audit", "clean" if self.audit.returncode == 0 else "NOT CLEAN"),
        ]
        width = max(len(name) for name, _ in lines)
        return "\n".join(f"{name:<{width}}  {value}" for name, value in lines)


def configuration(folder: Path, upstream: int) -> Path:
    path = folder / "tollway.yaml"
    path.write_text(
        f'providers: {{upstream: {{dialect: openai, base_url: "http://127.0.0.1:{upstream}/v1"}}}}\n'
        f"models: {{{_MODEL}: {{deployments: [{{provider: upstream}}]}}}}\n"
        "prices: [{provider: upstream, input: $1, output: $3}]\n"
    )
    return path


def second_router(mesh: Mesh, folder: Path) -> str:
    """Adds another router beside the first, on the same data directory."""
    target = mesh.grpc.replace("router.sock", "router2.sock")
    arguments = [target if argument == mesh.grpc else argument for argument in mesh.processes["router"].arguments]
    mesh.processes["router2"] = Process("router2", arguments, folder, clean_environment())
    mesh.processes["router2"].start()
    return target


async def run(server: postgres.Server, folder: Path, *, seconds: float, rate: float, seed: int) -> Run:
    """Loads a mesh for so long while its processes are killed, waits until all is booked, and audits."""
    chance = random.Random(seed)
    upstream = Upstream(random.Random(chance.random()))
    async with upstream.serving() as port:
        mesh = four_processes(folder, configuration(folder, port), TOLLWAY_LEDGER__URL=server.url)
        target = second_router(mesh, folder)
        victims: dict[str, Victim] = {name: process for name, process in mesh.processes.items() if name != "providers"}
        supervisor = Supervisor(victims | {"postgres": server}, random.Random(chance.random()))
        load = Load(mesh.base_url, target, rate, random.Random(chance.random()))
        try:
            await asyncio.to_thread(mesh.wait_until_ready)
            looking_after = asyncio.create_task(supervisor.look_after())
            async with asyncio.TaskGroup() as both:
                both.create_task(load.run(seconds))
                both.create_task(supervisor.kill_at_random(seconds))
            began = time.monotonic()
            rows = await _all_booked(mesh, server.url)
            took = time.monotonic() - began
            looking_after.cancel()
            audit = await asyncio.to_thread(_audit, server.url)
        finally:
            await asyncio.to_thread(mesh.stop)
    return Run(upstream.calls, supervisor.kills, rows, load, supervisor.starts, audit, mesh.logs(), took)


async def _all_booked(mesh: Mesh, url: str, limit: float = 90) -> dict[str, Row]:
    """The rows, once none is open and no journal holds anything back."""
    end = time.monotonic() + limit
    rows: dict[str, Row] = {}
    while time.monotonic() < end:
        await asyncio.sleep(0.5)
        if await asyncio.to_thread(entries_in_journals, mesh):
            continue
        try:
            rows = await _rows(url)
        except (OSError, asyncpg.PostgresError):
            continue
        if all(row.state != "opened" for row in rows.values()):
            return rows
    held_back = await asyncio.to_thread(entries_in_journals, mesh)
    states = Counter(row.state for row in rows.values())
    raise AssertionError(f"{held_back} entries not shipped, {states}\n{mesh.logs()}")


async def _rows(url: str) -> dict[str, Row]:
    connection = await asyncpg.connect(url, timeout=5)
    try:
        found: Sequence[Any] = await connection.fetch(
            "SELECT attempt_id::text, state, provenance, cost_nanos, extract(epoch FROM timestamp)::float8 "
            "FROM request_logs"
        )
    finally:
        await connection.close()
    return {row[0]: Row(*row[1:]) for row in found}


def _audit(url: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tollway_cli", "audit"]
    environment = clean_environment(TOLLWAY_LEDGER__URL=url)
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment, check=False)
