"""Both topologies: what holds on one must hold on the other."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue

from mesh.channels import InProcessChannel, InProcessServer, dial
from mesh.metrics import NoMetrics
from mesh.tracing import NoTracer


class Topology(Protocol):
    """One way for a client to reach servicers."""

    name: str

    async def connect(
        self, register: Callable[[grpc.aio.Server], None], interceptors: Sequence[grpc.aio.ServerInterceptor] = ()
    ) -> grpc.aio.Channel:
        """A channel to a new server with what `register` adds to it."""

    @property
    def servers(self) -> list[grpc.aio.Server]: ...

    async def close(self) -> None: ...


class OneProcess:
    name = "one process"

    def __init__(self) -> None:
        self.servers: list[grpc.aio.Server] = []

    async def connect(
        self, register: Callable[[grpc.aio.Server], None], interceptors: Sequence[grpc.aio.ServerInterceptor] = ()
    ) -> grpc.aio.Channel:
        server = InProcessServer(interceptors)
        register(server)
        self.servers.append(server)
        return InProcessChannel(server)

    async def close(self) -> None:
        for server in self.servers:
            await server.stop(None)


class UnixSockets:
    name = "unix sockets"

    def __init__(self, folder: Path) -> None:
        self.servers: list[grpc.aio.Server] = []
        self._channels: list[grpc.aio.Channel] = []
        self._folder = folder

    async def connect(
        self, register: Callable[[grpc.aio.Server], None], interceptors: Sequence[grpc.aio.ServerInterceptor] = ()
    ) -> grpc.aio.Channel:
        server = grpc.aio.server(interceptors=interceptors)
        register(server)
        address = f"unix:{self._folder}/{len(self.servers)}.sock"
        server.add_insecure_port(address)
        await server.start()
        self.servers.append(server)
        self._channels.append(dial(address, tracer=NoTracer(), metrics=NoMetrics()))
        return self._channels[-1]

    async def close(self) -> None:
        for channel in self._channels:
            await channel.close()
        for server in self.servers:
            await server.stop(None)


@pytest.fixture
def socket_folder() -> Iterator[Path]:
    """A folder with a path short enough for unix sockets."""
    with tempfile.TemporaryDirectory(prefix="tollway-") as folder:
        yield Path(folder)


@pytest.fixture(params=["one process", "unix sockets"])
async def topology(request: pytest.FixtureRequest, socket_folder: Path) -> AsyncIterator[Topology]:
    made: Topology = OneProcess() if request.param == "one process" else UnixSockets(socket_folder)
    yield made
    await made.close()


SERVICE = "tollway.test.v1.ScriptedService"


class ScriptedStub:
    """The stub of a service with one method of each shape, whose messages are `StringValue`."""

    def __init__(self, channel: grpc.aio.Channel, topology: str) -> None:
        codec: dict[str, Any] = {
            "request_serializer": StringValue.SerializeToString,
            "response_deserializer": StringValue.FromString,
        }
        self.channel = channel
        self.topology = topology
        self.unary: Any = channel.unary_unary(f"/{SERVICE}/Unary", **codec)
        self.down: Any = channel.unary_stream(f"/{SERVICE}/Down", **codec)
        self.up: Any = channel.stream_unary(f"/{SERVICE}/Up", **codec)
        self.both: Any = channel.stream_stream(f"/{SERVICE}/Both", **codec)


def scripted(server: grpc.aio.Server, **handlers: Callable[..., Any]) -> None:
    """Adds the service with the handlers given: `unary`, `down`, `up`, `both`."""
    codec: dict[str, Any] = {
        "request_deserializer": StringValue.FromString,
        "response_serializer": StringValue.SerializeToString,
    }
    shapes: dict[str, Any] = {
        "unary": grpc.unary_unary_rpc_method_handler,
        "down": grpc.unary_stream_rpc_method_handler,
        "up": grpc.stream_unary_rpc_method_handler,
        "both": grpc.stream_stream_rpc_method_handler,
    }
    methods = {name.capitalize(): shapes[name](handler, **codec) for name, handler in handlers.items()}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, methods),))


@pytest.fixture
def serve(topology: Topology) -> Callable[..., Awaitable[ScriptedStub]]:
    """Serves handlers by shape (`unary`, `down`, `up`, `both`), behind `interceptors`, and answers with their stub."""

    async def start(
        *, interceptors: Sequence[grpc.aio.ServerInterceptor] = (), **handlers: Callable[..., Any]
    ) -> ScriptedStub:
        channel = await topology.connect(lambda server: scripted(server, **handlers), interceptors)
        return ScriptedStub(channel, topology.name)

    return start
