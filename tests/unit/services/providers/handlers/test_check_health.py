from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest

from mesh.config.schema import SimOptions
from mesh.errors import Reason, TollwayError
from mesh.status import from_rpc_error
from services.providers.adapters.sim.server import serve
from tests.unit.services.providers.house import House, open_house
from tests.unit.services.providers.upstream import Exchange, Upstream, upstream
from tollway.providers.v1 import providers_pb2

SECRET = "sk-very-secret-key-0001"


async def look(house: House, provider: str = "up", timeout: float = 5.0) -> providers_pb2.UpstreamCall:
    """What the provider said of the look. Raises TollwayError."""
    try:
        request = providers_pb2.CheckHealthRequest(provider=provider)
        return (await house.stub.CheckHealth(request, timeout=timeout)).upstream
    except grpc.aio.AioRpcError as error:
        raise from_rpc_error(error) from None


@asynccontextmanager
async def answering(status: str, body: Any = None, *headers: str) -> AsyncIterator[tuple[House, Upstream]]:
    async def play(exchange: Exchange) -> None:
        await exchange.whole(json.dumps(body or {}).encode(), status, *headers)

    async with upstream(play) as there, open_house({"up": {"base_url": there.url, "api_key": SECRET}}) as house:
        yield house, there


async def test_it_asks_for_the_list_of_models_and_shows_the_credentials() -> None:
    async with answering("200 OK", {"data": []}, "x-request-id: up-1") as (house, there):
        assert await look(house) == providers_pb2.UpstreamCall(status=200, request_id="up-1")
    (request,) = there.requests
    assert request.startswith("GET /v1/models HTTP/1.1\r\n")
    assert there.headers()["authorization"] == f"Bearer {SECRET}"
    assert "content-length" not in there.headers()
    assert "x-client-request-id" not in there.headers()


@pytest.mark.parametrize("status", ["404 Not Found", "405 Method Not Allowed", "429 Too Many Requests", "302 Found"])
async def test_a_server_that_answers_anything_is_there(status: str) -> None:
    async with answering(status) as (house, _):
        assert (await look(house)).status == int(status[:3])


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        ("401 Unauthorized", Reason.UPSTREAM_CREDENTIALS),
        ("403 Forbidden", Reason.UPSTREAM_FORBIDDEN),
        ("500 Internal Server Error", Reason.UPSTREAM_FAILED),
        ("503 Service Unavailable", Reason.UPSTREAM_FAILED),
    ],
)
async def test_one_that_refuses_the_key_or_says_that_it_is_broken_is_told_so(status: str, reason: Reason) -> None:
    async with answering(status, {"error": {"message": f"not with {SECRET}"}}) as (house, _):
        with pytest.raises(TollwayError) as told:
            await look(house)
    assert (told.value.reason, told.value.metadata["upstream_status"]) == (reason, status[:3])
    assert SECRET not in str(told.value)


async def test_one_that_is_not_there_is_told_so() -> None:
    async with upstream(lambda exchange: exchange.gone()) as there:
        gone = there.url
    async with open_house({"up": {"base_url": gone}}) as house:
        with pytest.raises(TollwayError) as told:
            await look(house)
    assert (told.value.reason, told.value.metadata["phase"]) == (Reason.UPSTREAM_UNREACHABLE, "connect")


async def test_whoever_asks_bounds_the_time() -> None:
    async with (
        upstream(lambda exchange: exchange.gone()) as there,
        open_house({"up": {"base_url": there.url}}) as house,
    ):
        with pytest.raises(TollwayError) as told:
            await look(house, timeout=0.05)
    assert told.value.reason is Reason.DEADLINE_EXCEEDED


async def test_a_provider_that_is_not_configured_is_told() -> None:
    async with open_house() as house:
        with pytest.raises(TollwayError) as told:
            await look(house, "nobody")
    assert told.value.reason is Reason.PROVIDER_NOT_CONFIGURED


async def test_the_sim_is_always_there_in_this_process_and_as_a_server() -> None:
    sim = await serve("127.0.0.1", 0, SimOptions())
    there = f"http://127.0.0.1:{sim.port}/v1"
    async with open_house({"sim": {"dialect": "sim"}, "far": {"dialect": "sim", "base_url": there}}) as house:
        assert [(await look(house, name)).status for name in ("sim", "far")] == [200, 200]
    await sim.close()


async def test_a_look_is_a_span_of_its_own_kind() -> None:
    async with answering("200 OK") as (house, _):
        await look(house)
        (span,) = [span for span in house.telemetry.spans if span.name == "GET"]
    assert span.attributes["http.request.method"] == "GET"
    assert span.attributes["http.response.status_code"] == 200
