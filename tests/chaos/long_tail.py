"""A provider whose answers are of every length: python -m tests.chaos.long_tail PORT

Most are short and a few very long; of the model `thinks`, two in a hundred think for 2,000 tokens first, and show
nothing of it. A cap on tokens holds, thinking included. `GET /made` says how many tokens it made for each call,
thinking included, by its `x-client-request-id`.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
from itertools import count
from typing import Any

import uvloop
from aiohttp import web

INPUT_TOKENS = 12
"""Of every prompt, whatever it says."""
HIDDEN_EVERY, HIDDEN_TOKENS = 50, 2_000
"""Every how many calls of a model that thinks there are so many. Not by chance: a few hundred could be without any."""
_MEDIAN, _SPREAD, _LONGEST = 60, 1.0, 6_000
_TOGETHER = 20
"""Tokens in an event."""
_GAP = 0.1
"""Seconds between two events."""
_THINKING = 0.5
"""Seconds of it."""


class Provider:
    def __init__(self) -> None:
        self._random = random.Random(11)
        self._thought = count(1)
        self._made: dict[str, int] = {}

    def application(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/made", self._tell)
        app.router.add_post("/v1/chat/completions", self._complete)
        return app

    async def _tell(self, _: web.Request) -> web.Response:
        return web.json_response(self._made)

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        call = request.headers["x-client-request-id"]
        self._made[call] = 0
        hidden = HIDDEN_TOKENS if body["model"] == "thinks" and next(self._thought) % HIDDEN_EVERY == 0 else 0
        tokens = min(max(round(self._random.lognormvariate(0, _SPREAD) * _MEDIAN), 1), _LONGEST)
        cap = body.get("max_completion_tokens", body.get("max_tokens", 10**9))
        finish = "length" if hidden + tokens > cap else "stop"
        hidden = min(hidden, cap)
        tokens = min(tokens, cap - hidden)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        if body.get("stream"):
            await response.prepare(request)
            await self._send(response, {"role": "assistant", "content": ""})
        if hidden:
            self._made[call] = hidden
            await asyncio.sleep(_THINKING)
        if not body.get("stream"):
            await asyncio.sleep(_GAP * tokens / _TOGETHER)
            self._made[call] += tokens
            return self._whole(tokens, hidden, finish)
        for first in range(0, tokens, _TOGETHER):
            await asyncio.sleep(_GAP)
            piece = min(_TOGETHER, tokens - first)
            self._made[call] += piece
            await self._send(response, {"content": " word" * piece})
        await self._send(response, {}, finish)
        await self._send(response, None, usage=_usage(tokens, hidden))
        await response.write(b"data: [DONE]\n\n")
        await response.write_eof()
        return response

    def _whole(self, tokens: int, hidden: int, finish: str) -> web.Response:
        message = {"role": "assistant", "content": " word" * tokens}
        choices = [{"index": 0, "message": message, "finish_reason": finish}]
        answer = {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": choices}
        return web.json_response({**answer, "usage": _usage(tokens, hidden)})

    async def _send(
        self, response: web.StreamResponse, delta: dict[str, Any] | None, finish: str | None = None, **rest: Any
    ) -> None:
        choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
        chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": choices, **rest}
        await response.write(b"data: " + json.dumps(chunk, separators=(",", ":")).encode() + b"\n\n")


def _usage(tokens: int, hidden: int) -> dict[str, Any]:
    return {
        "prompt_tokens": INPUT_TOKENS,
        "completion_tokens": tokens + hidden,
        "total_tokens": INPUT_TOKENS + tokens + hidden,
        "completion_tokens_details": {"reasoning_tokens": hidden},
    }


if __name__ == "__main__":
    uvloop.install()
    web.run_app(
        Provider().application(), host="127.0.0.1", port=int(sys.argv[1]), print=None, access_log=None,
        handler_cancellation=True, backlog=4096,
    )  # fmt: skip
