"""What one process serves: its services to each other, inside the process, and to others, over sockets."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence

import grpc
from grpc_health.v1.health_pb2_grpc import add_HealthServicer_to_server
from grpc_reflection.v1alpha import reflection

from mesh import health
from mesh.channels.dial import message_limits
from mesh.channels.inprocess.channel import InProcessChannel
from mesh.channels.inprocess.server import InProcessServer
from mesh.clock import Clock
from mesh.interceptors.draining import Draining
from mesh.interceptors.errors import Errors
from mesh.interceptors.guard import Guard
from mesh.interceptors.registration import Registration
from mesh.interceptors.telemetry import Telemetry
from mesh.listening import Tls, bind, refuse_exposed
from mesh.metrics import Metrics
from mesh.service import Service
from mesh.tracing import Tracer

_CLEAN_UP = 5.0
"""Seconds that handlers which had to be cancelled have to come to their end."""


class Server:
    """Serves whatever is added, behind the same interceptors everywhere, until it is drained.

    `max_body` is the size in bytes that a body at the edge may have; messages may be as large. With `share_ports`,
    other processes may listen where this one does.
    """

    def __init__(
        self,
        *,
        tracer: Tracer,
        metrics: Metrics,
        clock: Clock,
        max_body: int = 32 * 2**20,
        share_ports: bool = False,
    ) -> None:
        self._share_ports = share_ports
        self._draining = Draining()
        self._interceptors = (Telemetry(tracer, metrics), Errors(), self._draining)
        self._options = (
            *message_limits(max_body),
            ("grpc.so_reuseport", int(share_ports)),  # a port is one server's, but for workers
            ("grpc.http2.min_ping_interval_without_data_ms", 10_000),  # what `dial` needs to notice a dead connection
            ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
        )
        self._health = health.Health(clock)
        self._inprocess = InProcessServer(self._interceptors)
        self._listening: list[grpc.aio.Server] = []
        add_HealthServicer_to_server(self._health, self._inprocess)

    def channel(self) -> InProcessChannel:
        """A channel to the services that have been added, or will be."""
        return InProcessChannel(self._inprocess)

    def add(self, service: Service) -> None:
        """Serves one more inside the process, and answers for its health."""
        service.register(self._inprocess)
        self._health.add(service)

    def tell(self, name: str, is_well: Callable[[], bool]) -> None:
        """Answers under that name for the health of something that services here can do without."""
        self._health.tell(name, is_well)

    async def listen(
        self,
        address: str,
        services: Sequence[Service],
        *,
        tls: Tls | None = None,
        allow_insecure: bool = False,
        guard: Guard | None = None,
    ) -> str:
        """Serves added services at `host:port` or `unix:/path` as well, with health and reflection beside them.

        With a guard, every service is taken to ask its callers who they are, or to be guarded. Answers with the address
        as it became: port 0 is replaced. Raises mesh.listening.CannotListen.
        """
        refuse_exposed(address, tls, allow_insecure, keyed=guard is not None)
        around = self._interceptors if guard is None else (*self._interceptors, guard)
        server = Registration(grpc.aio.server(options=self._options), around)
        for service in services:
            service.register(server)
        add_HealthServicer_to_server(self._health, server)
        _reflect((name for service in services for name in service.proto_services), server)
        bound = bind(server, address, tls, shared=self._share_ports)
        await server.start()
        self._listening.append(server)
        return bound

    async def drain(self, grace: float) -> None:
        """Takes nothing new over sockets: health says NOT_SERVING, watches end, and what runs has `grace` seconds.

        What still runs then is cancelled. Returns once every handler has come to its end, or would not. Services of
        this process still reach each other: one that closes may have something left to tell another.
        """
        self._health.drain()
        self._draining.begin()
        await asyncio.gather(*(server.stop(grace) for server in self._listening))
        await asyncio.gather(self._draining.settled(_CLEAN_UP), self._inprocess.settled(_CLEAN_UP))

    async def close(self) -> None:
        """Ends serving inside the process too: what still runs is cancelled. For when the services have closed."""
        await self._inprocess.stop(0)


def _reflect(names: Iterable[str], server: grpc.aio.Server) -> None:
    reflection.enable_server_reflection((*names, health.SERVICE_NAME, reflection.SERVICE_NAME), server)
