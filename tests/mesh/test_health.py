"""Health: for this process, for its services, and for the hops behind them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthServicer, HealthStub, add_HealthServicer_to_server

from mesh.clock import SystemClock, VirtualClock
from mesh.health import Health
from mesh.interceptors.errors import Errors

SERVING, NOT_SERVING = HealthCheckResponse.SERVING, HealthCheckResponse.NOT_SERVING


class Plain:
    """A service that is nothing but its names and hops."""

    name = "plain"

    def __init__(self, proto_service: str, **hops: grpc.aio.Channel) -> None:
        self.proto_services = (proto_service,)
        self.hops: Mapping[str, grpc.aio.Channel] = hops

    def register(self, server: grpc.aio.Server) -> None: ...

    async def close(self) -> None: ...


class Moody(HealthServicer):  # type: ignore[misc]  # published without types
    """The health of a hop, as a test sets it."""

    def __init__(self) -> None:
        self.status: Any = SERVING
        self.asked: list[str] = []

    async def Check(self, request: Any, context: Any) -> Any:
        self.asked.append(request.service)
        if self.status is None:
            await asyncio.sleep(30)
        return HealthCheckResponse(status=self.status)


@pytest.fixture
async def hop(topology: Any) -> tuple[Moody, grpc.aio.Channel]:
    moody = Moody()
    return moody, await topology.connect(lambda server: add_HealthServicer_to_server(moody, server))


async def asked(topology: Any, health: Health) -> Any:
    return HealthStub(await topology.connect(lambda server: add_HealthServicer_to_server(health, server), [Errors()]))


async def check(stub: Any, service: str = "") -> Any:
    return (await stub.Check(HealthCheckRequest(service=service), timeout=5)).status


async def test_a_process_and_its_services_serve_until_they_drain(topology: Any) -> None:
    health = Health(SystemClock())
    health.add(Plain("own"))
    stub = await asked(topology, health)
    assert await check(stub) == SERVING
    assert await check(stub, "own") == SERVING
    health.drain()
    assert await check(stub) == NOT_SERVING
    assert await check(stub, "own") == NOT_SERVING


class Ailing(Plain):
    """A service that can be running and unable to serve."""

    serving = True


async def test_a_service_that_cannot_serve_says_so_while_its_process_goes_on(topology: Any) -> None:
    health, ailing = Health(SystemClock()), Ailing("own")
    health.add(ailing)
    stub = await asked(topology, health)
    assert await check(stub, "own") == SERVING
    ailing.serving = False
    assert await check(stub, "own") == NOT_SERVING
    assert await check(stub) == SERVING
    ailing.serving = True
    assert await check(stub, "own") == SERVING


async def test_a_watch_of_a_service_that_cannot_serve_tells_when_it_changes(topology: Any) -> None:
    clock = VirtualClock()
    health, ailing = Health(clock), Ailing("own")
    health.add(ailing)
    watch = (await asked(topology, health)).Watch(HealthCheckRequest(service="own"))
    for serving, status in ((True, SERVING), (False, NOT_SERVING), (True, SERVING)):
        ailing.serving = serving
        told = asyncio.ensure_future(watch.read())
        while not told.done():
            await clock.advance(1)
            await asyncio.sleep(0.001)
        assert told.result().status == status
    health.drain()


async def test_nothing_is_known_of_a_stranger(topology: Any) -> None:
    stub = await asked(topology, Health(SystemClock()))
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await check(stub, "stranger")
    assert raised.value.code() is grpc.StatusCode.NOT_FOUND


async def test_a_hop_is_asked_and_answers_for_itself(topology: Any, hop: tuple[Moody, grpc.aio.Channel]) -> None:
    moody, channel = hop
    health = Health(SystemClock())
    health.add(Plain("own", hop=channel))
    stub = await asked(topology, health)
    assert await check(stub, "hop") == SERVING
    moody.status = NOT_SERVING
    assert await check(stub, "hop") == NOT_SERVING
    assert moody.asked == ["hop", "hop"]
    assert await check(stub, "own") == SERVING


async def test_a_hop_that_is_gone_does_not_serve(topology: Any, hop: tuple[Moody, grpc.aio.Channel]) -> None:
    health = Health(SystemClock())
    health.add(Plain("own", hop=hop[1]))
    stub = await asked(topology, health)
    await topology.servers[0].stop(None)
    assert await check(stub, "hop") == NOT_SERVING


async def test_a_hop_that_is_silent_does_not_serve(
    topology: Any, hop: tuple[Moody, grpc.aio.Channel], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mesh.health._HOP_TIMEOUT", 0.05)
    moody, channel = hop
    moody.status = None
    health = Health(SystemClock())
    health.add(Plain("own", hop=channel))
    assert await check(await asked(topology, health), "hop") == NOT_SERVING


async def test_a_hop_served_by_the_same_process_is_not_asked(topology: Any) -> None:
    health = Health(SystemClock())
    stub = await asked(topology, health)
    health.add(Plain("router", providers=topology.servers[0]))
    health.add(Plain("providers"))
    assert await check(stub, "providers") == SERVING


@pytest.mark.parametrize("service", ["", "own"])
async def test_a_watch_tells_of_the_drain_and_ends(topology: Any, service: str) -> None:
    health = Health(SystemClock())
    health.add(Plain("own"))
    stub = await asked(topology, health)
    watch = stub.Watch(HealthCheckRequest(service=service))
    assert (await watch.read()).status == SERVING
    health.drain()
    async with asyncio.timeout(1):
        assert [each async for each in rest(watch)] == [NOT_SERVING]
    assert await watch.code() is grpc.StatusCode.OK


async def rest(watch: Any) -> AsyncIterator[Any]:
    while (answer := await watch.read()) is not grpc.aio.EOF:
        yield answer.status


async def test_a_watch_of_a_stranger_says_so_and_stays(topology: Any) -> None:
    health = Health(VirtualClock())
    stub = await asked(topology, health)
    watch = stub.Watch(HealthCheckRequest(service="stranger"))
    assert (await watch.read()).status == HealthCheckResponse.SERVICE_UNKNOWN
    assert not watch.done()
    watch.cancel()


async def test_a_watch_of_a_hop_tells_of_changes_alone(topology: Any, hop: tuple[Moody, grpc.aio.Channel]) -> None:
    moody, channel = hop
    clock = VirtualClock()
    health = Health(clock)
    health.add(Plain("own", hop=channel))
    stub = await asked(topology, health)
    watch = stub.Watch(HealthCheckRequest(service="hop"))
    assert (await watch.read()).status == SERVING
    while len(moody.asked) < 3:
        await asyncio.sleep(0.005)
        await clock.advance(5)
    moody.status = NOT_SERVING
    reading = asyncio.create_task(watch.read())
    async with asyncio.timeout(1):
        while not reading.done():
            await asyncio.sleep(0.005)
            await clock.advance(5)
    assert reading.result().status == NOT_SERVING
    watch.cancel()


async def test_what_services_can_do_without_is_told_apart(topology: Any) -> None:
    health, well = Health(SystemClock()), [True]
    health.add(Plain("tollway.x.v1.X"))
    health.tell("tollway.state", lambda: well[0])
    stub = await asked(topology, health)
    assert await check(stub, "tollway.state") == SERVING
    well[0] = False
    assert await check(stub, "tollway.state") == NOT_SERVING
    assert await check(stub, "tollway.x.v1.X") == SERVING
    assert await check(stub) == SERVING
