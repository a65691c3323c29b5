"""A gateway that listens, in front of a scripted router: over a wire, and in one process."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import pytest
from grpc_health.v1.health_pb2_grpc import add_HealthServicer_to_server

from gateway_http.bootstrap import start
from gateway_http.settings import GatewaySettings
from mesh.channels import InProcessChannel, InProcessServer
from mesh.clock import SystemClock
from tests.unit.gateway_http.edge import Edge
from tests.unit.gateway_http.scripted_router import RecordingMetrics, RecordingTracer, ScriptedHealth, ScriptedRouter
from tollway.router.v1.router_pb2_grpc import add_RouterServiceServicer_to_server

OpenEdge = Callable[..., Awaitable[Edge]]


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A folder whose path is short enough for a socket in it."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


@asynccontextmanager
async def over_a_wire(router: ScriptedRouter, health: ScriptedHealth) -> AsyncIterator[grpc.aio.Channel]:
    any_size = (("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1))
    server = grpc.aio.server(options=any_size)
    add_RouterServiceServicer_to_server(router, server)
    add_HealthServicer_to_server(health, server)
    with tempfile.TemporaryDirectory() as folder:
        server.add_insecure_port(f"unix:{folder}/router.sock")
        await server.start()
        async with grpc.aio.insecure_channel(f"unix:{folder}/router.sock", options=any_size) as channel:
            yield channel
        await server.stop(None)


@asynccontextmanager
async def in_one_process(router: ScriptedRouter, health: ScriptedHealth) -> AsyncIterator[grpc.aio.Channel]:
    server = InProcessServer()
    add_RouterServiceServicer_to_server(router, server)
    add_HealthServicer_to_server(health, server)
    async with InProcessChannel(server) as channel:
        yield channel
    await server.stop(None)


@pytest.fixture(params=[over_a_wire, in_one_process], ids=lambda topology: topology.__name__)
async def open_edge(request: pytest.FixtureRequest) -> AsyncIterator[OpenEdge]:
    """Opens edges with settings of one's own, and a clock."""
    router, health = ScriptedRouter(), ScriptedHealth()
    edges: list[Edge] = []
    async with request.param(router, health) as channel, aiohttp.ClientSession() as session:

        async def open_(clock: Any = None, metrics_page: Any = None, **settings: Any) -> Edge:
            tracer, metrics = RecordingTracer(), RecordingMetrics()
            gateway = await start(
                GatewaySettings(**{"listen": "127.0.0.1:0", "drain": 0.2, **settings}),
                router=channel,
                clock=clock or SystemClock(),
                tracer=tracer,
                metrics=metrics,
                metrics_page=metrics_page,
            )
            edges.append(Edge(gateway, router, health, tracer, metrics, session))
            return edges[-1]

        yield open_
        for edge in edges:
            await edge.close()


@pytest.fixture
async def edge(open_edge: OpenEdge) -> Edge:
    return await open_edge()
