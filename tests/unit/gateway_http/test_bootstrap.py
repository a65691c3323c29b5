from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from gateway_http.settings import GatewaySettings
from mesh.clock import VirtualClock
from mesh.config.schema import Config, Http
from tests.unit.gateway_http.conftest import OpenEdge
from tests.unit.gateway_http.edge import QUESTION, Edge, eventually
from tests.unit.gateway_http.scripted_router import pieces, whole

BODY = json.dumps(QUESTION).encode()
STREAM_BODY = json.dumps({**QUESTION, "stream": True}).encode()


def test_settings_come_from_the_http_section() -> None:
    http: dict[str, Any] = {
        "listen": "127.0.0.1:9",
        "max_body": "1MiB",
        "max_messages": 5,
        "body_timeout": "2s",
        "drain": "3s",
    }

    settings = GatewaySettings.from_config(Config(http=Http(**http)), Path())

    assert settings == GatewaySettings("127.0.0.1:9", 2**20, 5, 2.0, 3.0)


def test_the_defaults_are_the_configuration_s() -> None:
    assert GatewaySettings.from_config(Config(), Path()) == GatewaySettings()


async def test_a_closing_edge_lets_nobody_in(edge: Edge) -> None:
    await edge.gateway.close()

    with pytest.raises(aiohttp.ClientConnectorError):
        await edge.ask("GET", "/healthz")


async def test_a_closing_edge_lets_a_running_request_end(open_edge: OpenEdge) -> None:
    edge = await open_edge(drain=30.0)
    answer = edge.router.completion = asyncio.Event()

    async with edge.socket() as client:
        client.send_request(BODY)
        await edge.router.reached.wait()
        closing = asyncio.create_task(edge.gateway.close())
        await asyncio.sleep(0.02)
        assert not closing.done()
        answer.set()

        assert (await client.reply()).status == 200
        async with asyncio.timeout(1):
            await closing
        assert await client.closed()


async def test_a_closing_edge_reads_a_body_to_its_end(open_edge: OpenEdge) -> None:
    edge = await open_edge(drain=30.0)

    async with edge.socket() as client:
        client.send_request(BODY[:10], f"Content-Length: {len(BODY)}")
        await eventually(lambda: edge.tracer.spans)
        closing = asyncio.create_task(edge.gateway.close())
        await asyncio.sleep(0.02)
        client.send(BODY[10:])
        reply = await client.reply()
        await closing

    assert (reply.status, reply.headers["connection"]) == (200, "close")


async def test_a_closing_edge_waits_until_an_answer_has_left(open_edge: OpenEdge) -> None:
    edge = await open_edge(drain=30.0)
    text = "x" * 20_000_000
    edge.router.completion = whole(text)

    async with edge.socket() as client:
        client.send_request(BODY)
        await client.reader.readuntil(b"xxx")
        closing = asyncio.create_task(edge.gateway.close())
        await asyncio.sleep(0.1)
        assert not closing.done()
        rest = await client.reader.read(-1)
        await closing

    assert len(rest) > len(text) - 10
    assert rest.endswith(b"}")


async def test_a_closing_edge_does_not_begin_what_was_sent_ahead(open_edge: OpenEdge) -> None:
    edge = await open_edge(drain=30.0)
    answer = edge.router.completion = asyncio.Event()

    async with edge.socket() as client:
        client.send_request(BODY)
        client.send_request(BODY)
        await edge.router.reached.wait()
        closing = asyncio.create_task(edge.gateway.close())
        await asyncio.sleep(0.02)
        answer.set()
        await closing

        assert (await client.reply()).status == 200
        assert await client.closed()
    assert len(edge.router.requests) == 1


async def test_a_closing_edge_closes_idle_connections_at_once(open_edge: OpenEdge) -> None:
    edge = await open_edge(drain=30.0)

    async with edge.socket() as client, edge.socket() as silent:
        client.send_request(BODY)
        await client.reply()
        async with asyncio.timeout(0.4):
            await edge.gateway.close()

        assert await client.closed()
        assert await silent.closed()


async def test_a_request_that_outlives_the_drain_is_a_503(open_edge: OpenEdge) -> None:
    clock = VirtualClock()
    edge = await open_edge(clock, drain=30.0)
    edge.router.completion = asyncio.Event()

    async with edge.socket() as client:
        client.send_request(BODY)
        await edge.router.reached.wait()
        closing = asyncio.create_task(edge.gateway.close())
        await clock.advance(29.9)
        assert not edge.router.cancelled.is_set()
        await clock.advance(0.2)
        reply = await client.reply()
        await closing

    assert (reply.status, reply.error["code"]) == (503, "service_unavailable")
    assert "shutting down" in reply.error["message"]
    await edge.router.cancelled.wait()


async def test_a_stream_that_outlives_the_drain_ends_with_an_error(open_edge: OpenEdge) -> None:
    clock = VirtualClock()
    edge = await open_edge(clock, drain=30.0)
    edge.router.messages = [pieces("Hi")[0], asyncio.Event()]

    async with edge.socket() as client:
        client.send_request(STREAM_BODY)
        await edge.router.reached.wait()
        await asyncio.sleep(0.02)
        closing = asyncio.create_task(edge.gateway.close())
        await clock.advance(30.1)
        body = (await client.reply()).body
        await closing

    assert body.count(b'"error"') == 1
    assert b"shutting down" in body
    assert b"[DONE]" not in body


async def test_a_client_that_does_not_read_does_not_hold_up_a_closing_edge(open_edge: OpenEdge) -> None:
    edge = await open_edge(drain=0.05)
    edge.router.messages = [*pieces(*["x" * 2**20] * 50)[:-1], asyncio.Event()]

    async with edge.socket() as client:
        client.send_request(STREAM_BODY)
        await client.reader.readuntil(b"xxx")
        async with asyncio.timeout(5):
            await edge.gateway.close()
