"""What a service is to whoever runs it, in whichever topology."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

import grpc


class Service(Protocol):
    """A started service: it can be put on any number of servers, and is closed once."""

    @property
    def name(self) -> str:
        """What the command line and telemetry call it: `router`."""

    @property
    def proto_services(self) -> tuple[str, ...]:
        """The fully qualified names of the gRPC services it answers: `tollway.router.v1.RouterService`."""

    @property
    def hops(self) -> Mapping[str, grpc.aio.Channel]:
        """Where each gRPC service it depends on is reached. Health asks through these."""

    def register(self, server: grpc.aio.Server) -> None:
        """Adds its servicers to a server."""

    async def close(self) -> None:
        """Ends background tasks, ships and flushes what is left, closes stores. Called once, after servers drained."""


@runtime_checkable
class Conditional(Protocol):
    """A service that can be running and unable to serve: health asks it."""

    @property
    def serving(self) -> bool:
        """Whether it can do now what it is there for."""
