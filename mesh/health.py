"""`grpc.health.v1`: whether this process serves, and whether what it depends on does.

What it can do without is told under a name of its own, and changes no other answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any

import grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthServicer, HealthStub

from mesh.clock import Clock
from mesh.service import Conditional, Service

SERVICE_NAME = "grpc.health.v1.Health"
_HOP_TIMEOUT = 2.0
"""Seconds a hop has to answer."""

_HOP_INTERVAL = 5.0
"""Seconds between two looks at a hop, or a service that may be unable to serve, that is watched."""

_SERVING = HealthCheckResponse.SERVING
_NOT_SERVING = HealthCheckResponse.NOT_SERVING
_UNKNOWN = HealthCheckResponse.SERVICE_UNKNOWN


class Health(HealthServicer):  # type: ignore[misc]  # published without types
    """Answers for the process as a whole (""), for its own services, and by asking for the services they depend on."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._own: dict[str, Conditional | None] = {"": None}
        self._hops: dict[str, grpc.aio.Channel] = {}
        self._aids: dict[str, Callable[[], bool]] = {}
        self._draining = asyncio.Event()

    def add(self, service: Service) -> None:
        """Answers for one more service and its hops."""
        condition = service if isinstance(service, Conditional) else None
        self._own.update(dict.fromkeys(service.proto_services, condition))
        self._hops.update(service.hops)

    def tell(self, name: str, is_well: Callable[[], bool]) -> None:
        """Answers for something that services here can do without."""
        self._aids[name] = is_well

    def drain(self) -> None:
        """Answers NOT_SERVING from here on, and tells whoever watches."""
        self._draining.set()

    async def Check(self, request: HealthCheckRequest, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
        status = await self._status(request.service)
        if status == _UNKNOWN:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"{request.service} is neither served nor used here")
        return HealthCheckResponse(status=status)

    async def Watch(
        self, request: HealthCheckRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[Any]:
        told = None
        steady = request.service in self._own and self._own[request.service] is None
        interval = None if steady else _HOP_INTERVAL
        draining = False
        while not draining:
            draining = self._draining.is_set()  # before the status, so that a drain meanwhile is told in another round
            status = await self._status(request.service)
            if status != told:
                yield HealthCheckResponse(status=status)
                told = status
            with suppress(TimeoutError):
                async with self._clock.timeout(interval):
                    await self._draining.wait()

    async def _status(self, name: str) -> Any:
        if self._draining.is_set():
            return _NOT_SERVING
        if name in self._own:
            condition = self._own[name]
            return _SERVING if condition is None or condition.serving else _NOT_SERVING
        if name in self._aids:
            return _SERVING if self._aids[name]() else _NOT_SERVING
        if name in self._hops:
            return await self._ask(name)
        return _UNKNOWN

    async def _ask(self, name: str) -> Any:
        stub = HealthStub(self._hops[name])
        try:
            answer = await stub.Check(HealthCheckRequest(service=name), timeout=_HOP_TIMEOUT)
        except grpc.aio.AioRpcError:
            return _NOT_SERVING  # unreachable, silent, or somebody else
        return answer.status
