"""Plays the model's script over TCP: an OpenAI-compatible server, for other people's tests too.

`POST /v1/chat/completions` and what `endpoints` has, `GET /v1/models`, `GET /healthz`, and `GET /_sim/calls`, which
tells the `x-client-request-id` of every call in order of arrival, how many were served to their end, and how many
clients left before it.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import deque
from collections.abc import Mapping
from secrets import token_hex
from typing import Any

import orjson
from aiohttp import web
from aiohttp.typedefs import Handler

from mesh.config.schema import SimOptions
from services.providers.adapters.sim import wire
from services.providers.adapters.sim.behaviour import CATALOGUE
from services.providers.adapters.sim.endpoints import ENDPOINTS
from services.providers.adapters.sim.script import CHAT, End, Head, Model, Pause, Step, following

_MOST_CALLS = 100_000
_MAX_BODY = 64 * 2**20
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Sim:
    """A running server. `port` is the one it got, where any was asked for."""

    def __init__(self, runner: web.AppRunner, port: int) -> None:
        self._runner = runner
        self.port = port

    async def close(self) -> None:
        await self._runner.cleanup()


async def serve(host: str, port: int, options: SimOptions) -> Sim:
    """Listens there; port 0 takes any that is free. Raises OSError where it cannot."""
    calls = _Calls(Model(options))
    app = web.Application(client_max_size=_MAX_BODY, middlewares=[_refusals])
    for path in (CHAT, *ENDPOINTS):
        app.router.add_post(f"/v1{path}", calls.answer)
    app.router.add_get("/v1/models", _models)
    app.router.add_get("/healthz", _healthz)
    app.router.add_get("/_sim/calls", calls.tell)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port, backlog=1024).start()
    except OSError:
        await runner.cleanup()
        raise
    return Sim(runner, runner.addresses[0][1])


class _Calls:
    """Answers calls, and remembers the last of them."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._ids: deque[str] = deque(maxlen=_MOST_CALLS)
        self._total = self._served = self._cut = 0

    async def answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        identifier = request.headers.get("x-client-request-id", "")
        self._ids.append(identifier)
        self._total += 1
        play = _Play(request)
        try:
            path, kind = request.path.removeprefix("/v1"), request.headers.get("content-type", "")
            steps = self._model.script(body, identifier, path, kind)
            while (step := await following(steps)) is not None:
                await play.step(step)
            response = await play.end()
        except (asyncio.CancelledError, ConnectionError):
            self._cut += 1
            raise
        self._served += 1
        return response

    async def tell(self, request: web.Request) -> web.Response:
        return _json({"total": self._total, "served": self._served, "cut": self._cut, "calls": list(self._ids)})


class _Play:
    """One script on one connection."""

    def __init__(self, request: web.Request) -> None:
        self._request = request
        self._response: web.StreamResponse | None = None

    async def step(self, step: Step) -> None:
        match step:
            case bytes():
                assert self._response is not None
                await self._response.write(step)
                await asyncio.sleep(0)  # a reader who is quick is never waited for; others must have their turn
            case Pause():
                await asyncio.sleep(step.seconds)
            case Head():
                self._response = web.StreamResponse(status=step.status, headers=step.headers)
                await self._response.prepare(self._request)
            case End.HANG:
                await asyncio.get_running_loop().create_future()
            case End.CUT | End.RESET:
                self._hang_up(reset=step is End.RESET)

    async def end(self) -> web.StreamResponse:
        if self._response is None:
            return web.Response()  # for a connection that is gone
        if self._request.transport is not None and not self._request.transport.is_closing():
            await self._response.write_eof()
        return self._response

    def _hang_up(self, *, reset: bool) -> None:
        transport = self._request.transport
        if transport is None:
            return
        if reset:
            connection: socket.socket = transport.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            transport.abort()
        else:
            transport.close()


@web.middleware
async def _refusals(request: web.Request, handler: Handler) -> web.StreamResponse:
    """What this server itself declines (a path, a method, a body that is too large), in OpenAI's shape, too."""
    try:
        return await handler(request)
    except web.HTTPClientError as refusal:
        body = wire.error(f"{request.method} {request.path}: {refusal.reason}", "invalid_request_error")
        allowed = {"allow": refusal.headers["allow"]} if "allow" in refusal.headers else {}
        return _json(body, refusal.status, {**allowed, "x-request-id": f"sim-{token_hex(8)}"})


async def _models(request: web.Request) -> web.Response:
    data = [
        {
            "id": model.name,
            "object": "model",
            "created": wire.CREATED,
            "owned_by": "sim",
            "description": model.description,
        }
        for model in CATALOGUE
    ]
    return _json({"object": "list", "data": data})


async def _healthz(request: web.Request) -> web.Response:
    return _json({"status": "ok"})


def _json(data: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.Response(body=orjson.dumps(data), status=status, headers=headers, content_type="application/json")
