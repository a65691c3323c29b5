"""A stand-in for a model provider, for machines without a compiler: `upstream.rs` in Python, same face.

python -m bench.upstream PORT [TOKENS [GAP_US [TTFT_US]]]

Chat completions, JSON and SSE, at a path of any name. A request may set its own shape with headers: x-tokens, x-gap-us,
x-ttft-us, x-status. GET /count answers how many completions were served, and how many streams were cut by the client;
GET /ids the x-client-request-id of every call, in order of arrival.
"""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import dataclass, field, replace
from typing import Any

import uvloop
from aiohttp import web

Chunk = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Shape:
    """Tokens of an answer, and microseconds between and before them."""

    tokens: int = 20
    gap: int = 0
    ttft: int = 0


@dataclass(slots=True)
class Seen:
    """What has happened so far."""

    served: int = 0
    cut: int = 0
    ids: list[str] = field(default_factory=list)


def _asked(request: web.Request, shape: Shape) -> Shape:
    headers = {"tokens": "x-tokens", "gap": "x-gap-us", "ttft": "x-ttft-us"}
    return replace(
        shape, **{name: int(request.headers[key]) for name, key in headers.items() if key in request.headers}
    )


def _answer(**rest: Any) -> Chunk:
    return {"id": "chatcmpl-mock", "created": 1, "model": "mock", **rest}


def _usage(shape: Shape) -> Chunk:
    return {"prompt_tokens": 12, "completion_tokens": shape.tokens, "total_tokens": shape.tokens + 12}


async def _pause(microseconds: int) -> None:
    if microseconds > 0:
        await asyncio.sleep(microseconds / 1e6)


class Provider:
    """Answers every completion the same way, and counts."""

    def __init__(self, shape: Shape) -> None:
        self._shape, self._seen = shape, Seen()

    def application(self) -> web.Application:
        app = web.Application(client_max_size=64 * 2**20)
        app.router.add_get("/count", self._count)
        app.router.add_get("/ids", self._ids)
        app.router.add_get("/{path:.*}", self._models)
        app.router.add_post("/{path:.*}", self._complete)
        return app

    async def _count(self, _: web.Request) -> web.Response:
        return web.json_response({"served": self._seen.served, "cut": self._seen.cut})

    async def _ids(self, _: web.Request) -> web.Response:
        return web.Response(text="\n".join(self._seen.ids))

    async def _models(self, _: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [{"id": "mock", "object": "model", "owned_by": "mock"}]})

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        if given := request.headers.get("x-client-request-id"):
            self._seen.ids.append(given)
        body, shape = await request.json(), _asked(request, self._shape)
        if (status := int(request.headers.get("x-status", "200"))) != 200:
            error = {"message": "injected", "type": "server_error", "code": None, "param": None}
            return web.json_response({"error": error}, status=status, headers={"Retry-After": "1"})
        await _pause(shape.ttft)
        response = await (self._stream if body.get("stream") else self._whole)(request, body, shape)
        self._seen.served += 1
        return response

    async def _whole(self, _: web.Request, __: Chunk, shape: Shape) -> web.StreamResponse:
        await _pause(shape.gap * max(0, shape.tokens - 1))
        message = {"role": "assistant", "content": "".join(f" tok{i}" for i in range(shape.tokens))}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return web.json_response(_answer(object="chat.completion", choices=[choice], usage=_usage(shape)))

    async def _stream(self, request: web.Request, body: Chunk, shape: Shape) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)

        async def send(delta: Chunk | None, finish: str | None = None, **rest: Any) -> None:
            choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
            chunk = _answer(object="chat.completion.chunk", choices=choices, **rest)
            await response.write(b"data: " + json.dumps(chunk, separators=(",", ":")).encode() + b"\n\n")

        try:
            await send({"role": "assistant", "content": ""})
            for i in range(shape.tokens):
                await _pause(shape.gap if i else 0)
                await send({"content": f" tok{i}"})
            await send({}, "stop")
            if (body.get("stream_options") or {}).get("include_usage"):
                await send(None, usage=_usage(shape))
            await response.write(b"data: [DONE]\n\n")
            await response.write_eof()
        except ConnectionResetError:
            self._seen.cut += 1
            raise
        return response


if __name__ == "__main__":
    uvloop.install()
    port, *given = (int(text) for text in sys.argv[1:])
    web.run_app(Provider(Shape(*given)).application(), host="127.0.0.1", port=port, print=None, access_log=None)
