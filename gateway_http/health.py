"""`/healthz`, `/readyz` and `/metrics`: for those who watch the process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import grpc
from aiohttp import web
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from gateway_http.exchange import Exchange
from gateway_http.json_output import encode_json

HOPS = (
    "tollway.router.v1.RouterService",
    "tollway.providers.v1.ProviderService",
    "tollway.ledger.v1.LedgerService",
)
"""What has to answer for a completion to be given and booked. The router is asked for all: it asks on."""

_STATE = "tollway.state"
"""What routers share. Without it they go on as the configuration says, so it is told and makes nobody unready."""

_BUDGETS = "tollway.budgets"
"""What hard budgets are leased from. Without it, too, routers go on as configured."""

_ANSWER_WITHIN = 3.0
_SERVING = "SERVING"
_STATES = {_SERVING: "ok", "NOT_SERVING": "lost"}
_JSON = {"content-type": "application/json", "cache-control": "no-store"}
_PROMETHEUS_TEXT = {"content-type": "text/plain; version=0.0.4; charset=utf-8"}


async def healthz(exchange: Exchange) -> web.StreamResponse:
    """The process lives: it has answered."""
    return web.Response(body=b'{"status":"ok"}', headers=_JSON)


class Readiness:
    """Whether every hop behind the edge answers, and if not, which one does not; and whether shared state, or
    budgets, are lost."""

    def __init__(self, router: grpc.aio.Channel) -> None:
        self._health = HealthStub(router)

    async def __call__(self, exchange: Exchange) -> web.StreamResponse:
        state, budgets, *statuses = await asyncio.gather(*(self._check(name) for name in (_STATE, _BUDGETS, *HOPS)))
        ready = all(status == _SERVING for status in statuses)
        body = {
            "status": "ready" if ready else "not ready",
            "services": dict(zip(HOPS, statuses, strict=True)),
            "state": _STATES.get(state, "unknown"),
            "budgets": _STATES.get(budgets, "unknown"),
        }
        return web.Response(status=200 if ready else 503, body=encode_json(body), headers=_JSON)

    async def _check(self, service: str) -> str:
        try:
            answer = await self._health.Check(HealthCheckRequest(service=service), timeout=_ANSWER_WITHIN)
        except grpc.aio.AioRpcError as error:
            return error.code().name
        return str(HealthCheckResponse.ServingStatus.Name(answer.status))


class MetricsPage:
    """What Prometheus reads."""

    def __init__(self, page: Callable[[], bytes]) -> None:
        self._page = page

    async def __call__(self, exchange: Exchange) -> web.StreamResponse:
        return web.Response(body=self._page(), headers=_PROMETHEUS_TEXT)
