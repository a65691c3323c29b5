from __future__ import annotations

import asyncio
import json
import logging
import socket

import pytest

from mesh.clock import VirtualClock
from tests.unit.gateway_http.conftest import OpenEdge
from tests.unit.gateway_http.edge import QUESTION, Edge, eventually

BODY = json.dumps(QUESTION).encode()


async def arrived(edge: Edge) -> None:
    """Waits until the edge has a connection, and has read what was sent on it."""
    await eventually(lambda: edge.gateway._server.connections)
    await asyncio.sleep(0.01)


async def test_headers_that_never_end_are_a_408_in_time(open_edge: OpenEdge) -> None:
    clock = VirtualClock()
    edge = await open_edge(clock, body_timeout=30.0)

    async with edge.socket() as client:
        client.send(b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\n")
        await arrived(edge)
        for _ in range(3):
            await clock.advance(9.9)
            client.send(b"X: y\r\n")
            await asyncio.sleep(0.01)
        await clock.advance(0.5)
        reply = await client.reply()
        closed = await client.closed()

    assert (reply.status, reply.error["code"]) == (408, "request_timeout")
    assert "the headers did not arrive within 30 s" in reply.error["message"]
    assert len(reply.headers["x-tollway-trace-id"]) == 32
    assert reply.headers["x-request-id"].startswith("req_")
    assert reply.headers["server"] == "tollway"
    assert closed


async def test_a_client_that_says_nothing_is_left_without_a_word(open_edge: OpenEdge) -> None:
    clock = VirtualClock()
    edge = await open_edge(clock, body_timeout=30.0)

    async with edge.socket() as client:
        await arrived(edge)
        await clock.advance(30.1)

        assert await client.closed()


async def test_the_next_request_s_headers_have_their_own_time(open_edge: OpenEdge) -> None:
    clock = VirtualClock()
    edge = await open_edge(clock, body_timeout=30.0)

    async with edge.socket() as client:
        client.send_request(BODY)
        assert (await client.reply()).status == 200
        await clock.advance(300)
        client.send_request(BODY)
        assert (await client.reply()).status == 200
        client.send(b"GET /healthz HTTP/1.1\r\n")
        await asyncio.sleep(0.01)
        await clock.advance(30.1)

        assert (await client.reply()).status == 408


async def test_an_answer_may_take_longer_than_headers(open_edge: OpenEdge) -> None:
    clock = VirtualClock()
    edge = await open_edge(clock, body_timeout=30.0)
    answer = edge.router.completion = asyncio.Event()

    async with edge.socket() as client:
        client.send_request(BODY)
        await edge.router.reached.wait()
        await clock.advance(300)
        answer.set()

        assert (await client.reply()).status == 200


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03", "cannot be read as HTTP/1.1"),
        (b"GET / HTTP/1.1\r\n\r\n", "Missing 'Host' header"),
        (b"GET /v1/models/a\xffb HTTP/1.1\r\nHost: a\r\n\r\n", "cannot be read as HTTP/1.1"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX y\r\n\r\n", "cannot be read as HTTP/1.1"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: a\x00b\r\n\r\n", "cannot be read as HTTP/1.1"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 9000 + b"\r\n\r\n", "longer than 8190 bytes"),
        (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", "longer than 8190 bytes"),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 200 + b"\r\n", "Too many headers"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello", "Content-Length"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "Invalid character in chunk size"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\nhello", "invalid `Transfer-Encoding`"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\nhello", "Content-Length"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", "Transfer-Encoding"),
    ],
)  # fmt: skip
async def test_what_is_not_http_is_a_400_in_the_shape_of_any_error(
    edge: Edge, caplog: pytest.LogCaptureFixture, data: bytes, message: str
) -> None:
    with caplog.at_level(logging.INFO):
        async with edge.socket() as client:
            client.send(data)
            reply = await client.reply()
            closed = await client.closed()

    assert (reply.status, reply.error["type"]) == (400, "invalid_request_error")
    assert message in reply.error["message"]
    assert "\n" not in reply.error["message"]
    assert reply.error["trace_id"] == reply.headers["x-tollway-trace-id"]
    assert reply.headers["x-request-id"].startswith("req_")
    assert reply.headers["server"] == "tollway"
    assert closed
    assert caplog.text == ""
    assert edge.router.requests == []
    assert (await edge.post()).status == 200


async def test_what_cannot_be_read_is_answered_in_http_1_1(edge: Edge) -> None:
    reader, writer = await asyncio.open_connection(*edge.address)
    writer.write(b"GET / HTTP/1.1\r\n\r\n")
    answered = await reader.read()
    writer.close()

    assert answered.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert b"\r\nConnection: close\r\n" in answered


@pytest.mark.parametrize(("coding", "status"), [("gzip, chunked", 501), ("CHUNKED", 200)])
async def test_a_body_is_sent_in_chunks_or_as_it_is(edge: Edge, coding: str, status: int) -> None:
    head = "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json"
    async with edge.socket() as client:
        client.send(f"{head}\r\nTransfer-Encoding: {coding}\r\n\r\n".encode())
        client.send(b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY))
        reply = await client.reply()

    assert reply.status == status
    assert len(edge.router.requests) == (status == 200)
    if status == 501:
        assert reply.error["message"] == "transfer-encoding 'gzip, chunked' is not understood; chunked alone is"
        assert reply.headers["x-request-id"].startswith("req_")
        assert reply.headers["connection"] == "close"


async def test_requests_sent_ahead_are_answered_in_turn(edge: Edge) -> None:
    async with edge.socket() as client:
        client.send_request(BODY)
        client.send_request(b"{}")
        client.send_request(method="GET", path="/healthz")
        client.send_request(BODY)

        assert [(await client.reply()).status for _ in range(4)] == [200, 400, 200, 200]


async def test_small_writes_are_not_kept_back_by_the_system(edge: Edge) -> None:
    async with edge.socket():
        await arrived(edge)
        (connection,) = edge.gateway._server.connections
        assert connection.transport is not None
        raw = connection.transport.get_extra_info("socket")

        assert raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0
