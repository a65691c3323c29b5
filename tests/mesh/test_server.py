"""The server of a process: where it listens, what it refuses, and how it drains."""

from __future__ import annotations

import asyncio
import socket
import stat
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest
from grpc_reflection.v1alpha.reflection_pb2_grpc import ServerReflectionStub

from mesh.channels import dial
from mesh.clock import SystemClock
from mesh.credentials import metadata_of
from mesh.errors import Reason, TollwayError
from mesh.interceptors.guard import Guard
from mesh.listening import CannotListen, channel_credentials, refuse_exposed
from mesh.metrics import NoMetrics
from mesh.server import Server
from mesh.tracing import NoTracer

SERVICE = "tollway.test.v1.ScriptedService"
LOOPBACK = "127.0.0.1:0"
FILES = Path(__file__).parent / "tls"
TLS = SimpleNamespace(cert=str(FILES / "service.pem"), key=str(FILES / "service.key"), client_ca="")
MUTUAL_TLS = SimpleNamespace(cert=TLS.cert, key=TLS.key, client_ca=str(FILES / "ca.pem"))


class Scripted:
    """A service with handlers of a test's own, among them a watch."""

    name = "scripted"
    proto_services = (SERVICE,)
    hops: Mapping[str, grpc.aio.Channel] = {}

    def __init__(self, **handlers: Callable[..., Any]) -> None:
        self._handlers = handlers

    def register(self, server: grpc.aio.Server) -> None:
        codec: dict[str, Any] = {
            "request_deserializer": StringValue.FromString,
            "response_serializer": StringValue.SerializeToString,
        }
        make = {"Unary": grpc.unary_unary_rpc_method_handler}
        methods = {
            name: make.get(name, grpc.unary_stream_rpc_method_handler)(handler, **codec)
            for name, handler in self._handlers.items()
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, methods),))

    async def close(self) -> None: ...


async def echo(request: StringValue, context: Any) -> StringValue:
    return request


def remote(target: str, tls: grpc.ChannelCredentials | None = None) -> grpc.aio.Channel:
    return dial(target, tracer=NoTracer(), metrics=NoMetrics(), tls=tls)


def method(channel: grpc.aio.Channel, name: str) -> Any:
    shape = channel.unary_unary if name == "Unary" else channel.unary_stream
    return shape(f"/{SERVICE}/{name}", StringValue.SerializeToString, StringValue.FromString)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    made = Server(tracer=NoTracer(), metrics=NoMetrics(), clock=SystemClock())
    yield made
    await made.drain(0)
    await made.close()


def added(server: Server, **handlers: Callable[..., Any]) -> Scripted:
    service = Scripted(**(handlers or {"Unary": echo}))
    server.add(service)
    return service


async def test_a_service_is_reached_inside_the_process_and_over_every_address(
    server: Server, socket_folder: Path
) -> None:
    service = added(server)
    tcp = await server.listen(LOOPBACK, [service])
    unix = await server.listen(f"unix:{socket_folder}/s.sock", [service])
    assert tcp.startswith("127.0.0.1:")
    assert not tcp.endswith(":0")
    assert unix == f"unix:{socket_folder}/s.sock"
    for channel in (server.channel(), remote(tcp), remote(f"dns:///{tcp}"), remote(unix)):
        async with channel:
            assert await method(channel, "Unary")(StringValue(value="a"), timeout=2) == StringValue(value="a")


async def test_a_unix_socket_is_for_its_owner_and_group(server: Server, socket_folder: Path) -> None:
    await server.listen(f"unix:{socket_folder}/s.sock", [added(server)])
    mode = (socket_folder / "s.sock").stat().st_mode
    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == 0o660


async def test_a_socket_file_left_behind_is_replaced(server: Server, socket_folder: Path) -> None:
    path = socket_folder / "s.sock"
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(path))
    address = await server.listen(f"unix:{path}", [added(server)])
    async with remote(address) as channel:
        assert await method(channel, "Unary")(StringValue(), timeout=2) == StringValue()


async def test_a_socket_somebody_listens_on_is_left_alone(server: Server, socket_folder: Path) -> None:
    path = socket_folder / "s.sock"
    with socket.socket(socket.AF_UNIX) as taken:
        taken.bind(str(path))
        taken.listen()
        with pytest.raises(CannotListen, match="another process already does"):
            await server.listen(f"unix:{path}", [added(server)])
    assert path.exists()


async def test_a_file_that_is_no_socket_is_left_alone(server: Server, socket_folder: Path) -> None:
    path = socket_folder / "precious"
    path.write_text("data")
    with pytest.raises(CannotListen, match="no socket is in the way"):
        await server.listen(f"unix:{path}", [added(server)])
    assert path.read_text() == "data"


async def test_a_socket_needs_its_folder(server: Server, socket_folder: Path) -> None:
    with pytest.raises(CannotListen, match="there is no folder"):
        await server.listen(f"unix:{socket_folder}/missing/s.sock", [added(server)])


async def test_a_path_too_long_for_a_socket_is_refused(server: Server, socket_folder: Path) -> None:
    folder = socket_folder / ("x" * 120)
    folder.mkdir()
    with pytest.raises(CannotListen, match="cannot listen on unix:"):
        await server.listen(f"unix:{folder}/s.sock", [added(server)])


async def test_a_taken_port_is_named(server: Server) -> None:
    service = added(server)
    address = await server.listen(LOOPBACK, [service])
    with pytest.raises(CannotListen, match=rf"cannot listen on {address}: Address already in use"):
        await server.listen(address, [service])


async def test_a_host_that_is_not_ours_is_refused(server: Server) -> None:
    with pytest.raises(CannotListen, match=r"cannot listen on 192\.0\.2\.1:5000"):
        await server.listen("192.0.2.1:5000", [added(server)], allow_insecure=True)


@pytest.mark.parametrize("address", ["127.0.0.1:50051", "localhost:1", "[::1]:1", "unix:/run/tollway.sock"])
def test_this_machine_alone_needs_no_permission(address: str) -> None:
    refuse_exposed(address, None, False, keyed=False)


@pytest.mark.parametrize("address", ["0.0.0.0:50051", "[::]:50051", "192.0.2.1:1", "router:50051"])
def test_beyond_this_machine_callers_are_known_and_nobody_listens_in_unless_it_is_said_to_be_private(
    address: str,
) -> None:
    for keyed in (False, True):
        with pytest.raises(CannotListen, match=r"nothing there is encrypted"):
            refuse_exposed(address, None, False, keyed=keyed)
        refuse_exposed(address, MUTUAL_TLS, False, keyed=keyed)
        refuse_exposed(address, None, True, keyed=keyed)
    with pytest.raises(CannotListen, match=r"nothing there checks who calls: set grpc\.tls\.client_ca"):
        refuse_exposed(address, TLS, False, keyed=False)
    refuse_exposed(address, TLS, False, keyed=True)


def test_all_that_is_missing_to_listen_beyond_this_machine_is_named_at_once() -> None:
    with pytest.raises(CannotListen) as neither:
        refuse_exposed("0.0.0.0:50051", None, False, keyed=False)
    assert str(neither.value) == (
        "0.0.0.0:50051 can be reached from other machines, and nothing there is encrypted or checks who calls: set "
        "grpc.tls and grpc.tls.client_ca (for the router's address, keys will do), or listen on 127.0.0.1 or a unix "
        "socket, or, in a private network, run `tollway serve` with --allow-insecure."
    )
    with pytest.raises(CannotListen, match=r"nothing there is encrypted: set grpc\.tls, or listen on"):
        refuse_exposed("0.0.0.0:50051", None, False, keyed=True)
    with pytest.raises(CannotListen, match=r"nothing there checks who calls: set grpc\.tls\.client_ca"):
        refuse_exposed("0.0.0.0:50051", TLS, False, keyed=False)


async def test_an_exposed_address_is_refused_before_anything_is_bound(server: Server) -> None:
    with pytest.raises(CannotListen, match=r"grpc\.tls"):
        await server.listen("0.0.0.0:0", [added(server)])


async def test_tls_is_spoken_where_there_is_a_certificate(server: Server) -> None:
    port = (await server.listen(LOOPBACK, [added(server)], tls=TLS)).rpartition(":")[2]
    trusting = grpc.ssl_channel_credentials((FILES / "ca.pem").read_bytes())
    async with remote(f"localhost:{port}", trusting) as channel:
        assert await method(channel, "Unary")(StringValue(), timeout=2) == StringValue()
    async with remote(f"localhost:{port}") as channel:
        with pytest.raises(grpc.aio.AioRpcError):
            await method(channel, "Unary")(StringValue(), timeout=2)


async def test_mutual_tls_turns_strangers_away(server: Server) -> None:
    port = (await server.listen(LOOPBACK, [added(server)], tls=MUTUAL_TLS)).rpartition(":")[2]
    async with remote(f"localhost:{port}", channel_credentials(MUTUAL_TLS)) as channel:
        assert await method(channel, "Unary")(StringValue(), timeout=2) == StringValue()
    stranger = grpc.ssl_channel_credentials((FILES / "ca.pem").read_bytes())
    async with remote(f"localhost:{port}", stranger) as channel:
        with pytest.raises(grpc.aio.AioRpcError):
            await method(channel, "Unary")(StringValue(), timeout=2)


async def test_a_guard_asks_whoever_comes_over_a_socket_and_nobody_of_this_process(server: Server) -> None:
    def admit(credentials: str, called: str) -> None:
        if credentials != "Bearer known":
            raise TollwayError(Reason.UNAUTHENTICATED, f"who calls {called}?")

    address = await server.listen(LOOPBACK, [added(server)], guard=Guard([SERVICE], admit))
    assert await method(server.channel(), "Unary")(StringValue(), timeout=2) == StringValue()
    async with remote(address) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await method(channel, "Unary")(StringValue(), timeout=2)
        assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
        assert refused.value.details() == f"who calls /{SERVICE}/Unary?"
        known = metadata_of("known")
        assert await method(channel, "Unary")(StringValue(), metadata=known, timeout=2) == StringValue()
        answer = await HealthStub(channel).Check(HealthCheckRequest(), timeout=2)
        assert answer.status == HealthCheckResponse.SERVING


async def test_a_missing_tls_file_is_named(server: Server) -> None:
    tls = SimpleNamespace(cert="missing.pem", key=TLS.key, client_ca="")
    with pytest.raises(CannotListen, match=r"missing\.pem cannot be read: No such file"):
        await server.listen(LOOPBACK, [added(server)], tls=tls)


async def test_reflection_lists_what_is_served(server: Server) -> None:
    address = await server.listen(LOOPBACK, [added(server)])
    async with remote(address) as channel:
        requests = [ServerReflectionRequest(list_services="")]
        (answer,) = [each async for each in ServerReflectionStub(channel).ServerReflectionInfo(iter(requests))]
    names = [service.name for service in answer.list_services_response.service]
    assert sorted(names) == ["grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection", SERVICE]


async def test_a_body_of_the_greatest_size_passes_and_a_bigger_message_does_not(socket_folder: Path) -> None:
    server = Server(tracer=NoTracer(), metrics=NoMetrics(), clock=SystemClock(), max_body=2**20)
    address = await server.listen(f"unix:{socket_folder}/s.sock", [added(server)])
    async with dial(address, tracer=NoTracer(), metrics=NoMetrics(), max_body=2**20) as channel:
        whole = StringValue(value="x" * 2**20)
        assert await method(channel, "Unary")(whole, timeout=2) == whole
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await method(channel, "Unary")(StringValue(value="x" * 2**22), timeout=2)
    assert raised.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    await server.drain(0)
    await server.close()


class Slow:
    """A handler that waits to be released, and a watch that never ends."""

    def __init__(self) -> None:
        self.started, self.released, self.cleaned = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.watched, self.ended = asyncio.Event(), asyncio.Event()

    async def unary(self, request: StringValue, context: Any) -> StringValue:
        self.started.set()
        try:
            await self.released.wait()
        finally:
            await asyncio.sleep(0.02)
            self.cleaned.set()
        return request

    async def watch(self, request: StringValue, context: Any) -> AsyncIterator[StringValue]:
        try:
            yield request
            self.watched.set()
            await asyncio.sleep(30)
        finally:
            self.ended.set()


@pytest.fixture(params=["one process", "unix socket"])
async def reached(
    request: pytest.FixtureRequest, server: Server, socket_folder: Path
) -> AsyncIterator[tuple[Slow, grpc.aio.Channel]]:
    """The slow service, and a channel to it."""
    slow = Slow()
    service = added(server, Unary=slow.unary, WatchThings=slow.watch)
    channel: grpc.aio.Channel = server.channel()
    if request.param == "unix socket":
        channel = remote(await server.listen(f"unix:{socket_folder}/s.sock", [service]))
    yield slow, channel
    await channel.close()


async def test_draining_waits_for_calls_to_end(server: Server, reached: tuple[Slow, grpc.aio.Channel]) -> None:
    slow, channel = reached
    call = method(channel, "Unary")(StringValue(value="a"))
    await slow.started.wait()
    draining = asyncio.create_task(server.drain(10))
    await asyncio.sleep(0.02)
    assert not draining.done()
    slow.released.set()
    async with asyncio.timeout(2):
        assert await call == StringValue(value="a")
        await draining


async def test_draining_takes_nothing_new_over_sockets(server: Server, socket_folder: Path) -> None:
    slow = Slow()
    address = await server.listen(f"unix:{socket_folder}/s.sock", [added(server, Unary=slow.unary)])
    async with remote(address) as channel:
        call = method(channel, "Unary")(StringValue())
        await slow.started.wait()
        draining = asyncio.create_task(server.drain(10))
        await asyncio.sleep(0.02)
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await method(channel, "Unary")(StringValue(), timeout=1)
        assert raised.value.code() is grpc.StatusCode.UNAVAILABLE
        slow.released.set()
        await call
        await draining


async def test_draining_cancels_what_outlasts_the_grace_and_waits_for_its_clean_up(
    server: Server, socket_folder: Path
) -> None:
    slow = Slow()
    address = await server.listen(f"unix:{socket_folder}/s.sock", [added(server, Unary=slow.unary)])
    async with remote(address) as channel:
        call = method(channel, "Unary")(StringValue())
        await slow.started.wait()
        async with asyncio.timeout(2):
            await server.drain(0.05)
        assert slow.cleaned.is_set()
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await call
        assert raised.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_services_of_a_process_reach_each_other_until_it_is_closed(server: Server) -> None:
    slow = Slow()
    added(server, Unary=slow.unary)
    channel = server.channel()
    await server.drain(0)
    call = method(channel, "Unary")(StringValue())
    await slow.started.wait()
    async with asyncio.timeout(2):
        await server.close()
    assert slow.cleaned.is_set()
    for each in (call, method(channel, "Unary")(StringValue())):
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await each
        assert raised.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_draining_ends_watches_at_once_and_well(server: Server, reached: tuple[Slow, grpc.aio.Channel]) -> None:
    slow, channel = reached
    call = method(channel, "WatchThings")(StringValue(value="a"))
    assert (await call.read()).value == "a"
    await slow.watched.wait()
    async with asyncio.timeout(1):
        await server.drain(30)
        assert await call.read() is grpc.aio.EOF
    assert await call.code() is grpc.StatusCode.OK
    assert slow.ended.is_set()


async def test_a_watch_that_begins_while_draining_ends_at_once(server: Server) -> None:
    slow = Slow()
    added(server, WatchThings=slow.watch)
    await server.drain(0)
    watch = method(server.channel(), "WatchThings")(StringValue(value="a"))
    async with asyncio.timeout(1):
        assert [each async for each in watch] == [StringValue(value="a")]


async def test_a_watch_whose_caller_left_is_cancelled_though_the_server_drains(server: Server) -> None:
    slow = Slow()
    added(server, WatchThings=slow.watch)
    watch = method(server.channel(), "WatchThings")(StringValue())
    await watch.read()
    await slow.watched.wait()
    watch.cancel()
    await server.drain(1)
    assert await watch.code() is grpc.StatusCode.CANCELLED


async def test_health_says_so_to_whoever_watches_while_draining(server: Server, socket_folder: Path) -> None:
    address = await server.listen(f"unix:{socket_folder}/s.sock", [added(server)])
    async with remote(address) as channel:
        watch = HealthStub(channel).Watch(HealthCheckRequest())
        assert (await watch.read()).status == HealthCheckResponse.SERVING
        async with asyncio.timeout(1):
            draining = asyncio.create_task(server.drain(30))
            assert (await watch.read()).status == HealthCheckResponse.NOT_SERVING
            assert await watch.read() is grpc.aio.EOF
            await draining
