"""Both topologies: what holds on one must hold on the other."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue

from mesh.channels import InProcessChannel, InProcessServer, dial
from mesh.metrics import Labels
from mesh.tracing import AttributeValue, Kind, Span, TraceContext, Unsampled, new_span_id, new_trace_id


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

    def __init__(self, folder: Path, recorder: Recorder) -> None:
        self.servers: list[grpc.aio.Server] = []
        self._recorder = recorder
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
        self._channels.append(dial(address, tracer=self._recorder, metrics=self._recorder))
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
async def topology(request: pytest.FixtureRequest, socket_folder: Path, recorder: Recorder) -> AsyncIterator[Topology]:
    made: Topology = OneProcess() if request.param == "one process" else UnixSockets(socket_folder, recorder)
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


class RecordedSpan:
    """A span that tests look at."""

    recording = True

    def __init__(
        self, name: str, kind: Kind, parent: TraceContext | None, on_end: Callable[[], None] = lambda: None
    ) -> None:
        trace_id = parent.trace_id if parent else new_trace_id()
        self.name, self.kind, self.parent = name, kind, parent
        self.context = TraceContext(trace_id, new_span_id(), sampled=True, state=parent.state if parent else "")
        self.attributes: dict[str, AttributeValue] = {}
        self.error: str | None = None
        self.ended = 0
        self._on_end = on_end

    def set(self, attributes: Mapping[str, AttributeValue]) -> None:
        self.attributes.update(attributes)

    def event(self, name: str, attributes: Mapping[str, AttributeValue] | None = None) -> None: ...

    def fail(self, error_type: str, message: str = "") -> None:
        self.error = error_type

    def end(self) -> None:
        self.ended += 1
        self._on_end()


class Recorder:
    """A tracer and metrics in one: keeps every span it starts, and every measurement. Honours the parent's sampling."""

    def __init__(self) -> None:
        self.spans: list[RecordedSpan] = []
        self.measured: list[tuple[str, float, Labels]] = []
        self._changed = asyncio.Event()

    def start(
        self,
        name: str,
        kind: Kind,
        parent: TraceContext | None,
        attributes: Mapping[str, AttributeValue] | None = None,
        links: Sequence[TraceContext] = (),
    ) -> Span:
        if parent is not None and not parent.sampled:
            return Unsampled(parent)
        span = RecordedSpan(name, kind, parent, self._changed.set)
        span.set(attributes or {})
        self.spans.append(span)
        return span

    def count(self, name: str, value: int, labels: Labels) -> None: ...

    def gauge(self, name: str, value: float, labels: Labels) -> None: ...

    def record(self, name: str, value: float, labels: Labels) -> None:
        self.measured.append((name, value, labels))
        self._changed.set()

    async def until(self, ended: int = 0, measured: int = 0, served: int = 0) -> None:
        """Waits for so many spans to have ended, so many of servers, and so many measurements.

        A server's come after its answer.
        """
        async with asyncio.timeout(10):
            while (
                sum(span.ended for span in self.spans) < ended
                or sum(span.ended for span in self.of(Kind.SERVER)) < served
                or len(self.measured) < measured
            ):
                self._changed.clear()
                await self._changed.wait()

    def of(self, kind: Kind) -> list[RecordedSpan]:
        return [span for span in self.spans if span.kind is kind]


@pytest.fixture
def recorder() -> Recorder:
    """What the servers and channels of the test tell. Give it to `Telemetry`; `topology` dials with it already."""
    return Recorder()
