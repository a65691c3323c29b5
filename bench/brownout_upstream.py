"""Three deployments of one model, one of which is in a brownout now and then: what `bench.brownout` routes around.

python -m bench.brownout_upstream SEED PORT PORT PORT

The first port is the deployment that browns out: `slower` times slower and, for a fraction of its calls, 503 where its
first token would have come. When, how fast and which calls fail follows from the seed alone. POST /start begins the
schedule and the counts anew; GET /count answers how many completions each deployment was asked for.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
from dataclasses import dataclass

import uvloop
from aiohttp import web

TOKENS = 8
GAP = 0.002
SLOWER = 20.0
FAILING = 0.2
_USAGE = {"prompt_tokens": 12, "completion_tokens": TOKENS, "total_tokens": 12 + TOKENS}


@dataclass(frozen=True, slots=True)
class Schedule:
    """When a deployment is browned out: spells that come and go, of a few seconds each, by the seed."""

    seed: int
    shortest: float = 2.0
    longest: float = 6.0

    def browned_out(self, at: float) -> bool:
        """Whether it is, that many seconds after the start. It begins healthy."""
        lengths, end, brown = random.Random(self.seed), 0.0, True
        while end <= at:
            end += lengths.uniform(self.shortest, self.longest)
            brown = not brown
        return brown


@dataclass(slots=True)
class Deployment:
    """One of the three. `draw` gives the healthy time to first token and the lot that decides whether a call fails."""

    name: str
    schedule: Schedule | None
    draw: random.Random
    calls: int = 0

    async def answer(self, request: web.Request, at: float) -> web.StreamResponse:
        self.calls += 1
        body = await request.json()
        first = self.draw.lognormvariate(-3.6, 0.35)  # median 27 ms
        failing = self.draw.random() < FAILING
        browned_out = self.schedule is not None and self.schedule.browned_out(at)
        slowness = SLOWER if browned_out else 1.0
        await asyncio.sleep(first * slowness)
        if browned_out and failing:
            return web.json_response({"error": {"message": "overloaded", "type": "server_error"}}, status=503)
        return await self._stream(request, slowness) if body.get("stream") else await self._whole(slowness)

    async def _whole(self, slowness: float) -> web.StreamResponse:
        await asyncio.sleep(GAP * slowness * TOKENS)
        message = {"role": "assistant", "content": " tok" * TOKENS}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return web.json_response(
            {"id": "b", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": _USAGE}
        )

    async def _stream(self, request: web.Request, slowness: float) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        for number in range(TOKENS + 1):
            last = number == TOKENS
            choice = {
                "index": 0,
                "delta": {} if last else {"content": " tok"},
                "finish_reason": "stop" if last else None,
            }
            event = {"id": "b", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
            if last:
                event["usage"] = _USAGE
            await response.write(b"data: " + json.dumps(event).encode() + b"\n\n")
            await asyncio.sleep(0 if last else GAP * slowness)
        await response.write(b"data: [DONE]\n\n")
        return response


class Upstream:
    """The three, with one clock and one seed."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self.begin()

    def begin(self) -> None:
        """Starts everything anew: the same again."""
        self._started = asyncio.get_event_loop().time()
        schedules = (Schedule(self._seed), None, None)
        self.deployments = [
            Deployment(name, schedule, random.Random(f"{self._seed}{name}"))
            for name, schedule in zip("abc", schedules, strict=True)
        ]

    def application(self, place: int) -> web.Application:
        """What answers for the deployment at that place."""

        async def complete(request: web.Request) -> web.StreamResponse:
            at = asyncio.get_running_loop().time() - self._started
            return await self.deployments[place].answer(request, at)

        async def start(_: web.Request) -> web.Response:
            self.begin()
            return web.Response()

        async def count(_: web.Request) -> web.Response:
            return web.json_response({each.name: each.calls for each in self.deployments})

        async def models(_: web.Request) -> web.Response:
            return web.json_response({"object": "list", "data": []})

        app = web.Application()
        app.router.add_post("/start", start)
        app.router.add_get("/count", count)
        app.router.add_get("/v1/models", models)
        app.router.add_post("/v1/chat/completions", complete)
        return app


async def _serve(ports: list[int], seed: int) -> None:
    upstream = Upstream(seed)
    for place, port in enumerate(ports):
        runner = web.AppRunner(upstream.application(place), access_log=None, handler_cancellation=True)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(_serve([int(port) for port in sys.argv[2:]], int(sys.argv[1])))
