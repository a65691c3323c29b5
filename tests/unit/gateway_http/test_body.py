from __future__ import annotations

import asyncio
import gzip
import json
import zlib
from typing import Any

import pytest

from mesh.clock import VirtualClock
from tests.unit.gateway_http.conftest import OpenEdge
from tests.unit.gateway_http.edge import QUESTION, Edge, eventually

BODY = json.dumps(QUESTION).encode()


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


@pytest.mark.parametrize("content_type", ["application/json", "Application/JSON; charset=UTF-8", "application/json;"])
async def test_json_in_utf8_is_read(edge: Edge, content_type: str) -> None:
    assert (await edge.post(headers={"content-type": content_type})).status == 200


@pytest.mark.parametrize(
    "content_type",
    ["text/plain", "application/x-www-form-urlencoded", "text/json", "application/json; charset=utf-16"],
)
async def test_any_other_type_is_a_415_that_says_what_to_send(edge: Edge, content_type: str) -> None:
    reply = await edge.post(headers={"content-type": content_type})

    assert (reply.status, reply.error["code"]) == (415, "unsupported_media_type")
    assert "content-type: application/json" in reply.error["message"]
    assert content_type in reply.error["message"]
    assert edge.router.requests == []


async def test_no_type_at_all_is_a_415_too(edge: Edge) -> None:
    async with edge.socket() as client:
        client.send(
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%b" % (len(BODY), BODY)
        )

        reply = await client.reply()

    assert reply.status == 415
    assert "there is none" in reply.error["message"]


async def test_a_body_may_come_in_chunks(edge: Edge) -> None:
    async with edge.socket() as client:
        client.send_request(chunk(BODY[:10]), "Transfer-Encoding: chunked")
        await asyncio.sleep(0)
        client.send(chunk(BODY[10:]) + b"0\r\n\r\n")

        assert (await client.reply()).status == 200


async def test_a_body_as_large_as_the_limit_is_read(open_edge: OpenEdge) -> None:
    edge = await open_edge(max_body=len(BODY))

    assert (await edge.post()).status == 200
    assert (await edge.post(raw=BODY + b" ")).status == 413


async def test_a_body_that_says_it_is_too_large_is_refused_unread(open_edge: OpenEdge) -> None:
    edge = await open_edge(max_body=100)

    async with edge.socket() as client:
        client.send_request(b"", "Content-Length: 101")
        reply = await client.reply()

    assert (reply.status, reply.error["code"]) == (413, "request_too_large")
    assert "larger than the 100 bytes" in reply.error["message"]
    assert "http.max_body" in reply.error["message"]
    assert reply.headers["connection"] == "close"


async def test_a_body_that_turns_out_too_large_is_refused(open_edge: OpenEdge) -> None:
    edge = await open_edge(max_body=100)

    async with edge.socket() as client:
        client.send_request(chunk(b" " * 60), "Transfer-Encoding: chunked")
        await asyncio.sleep(0.01)
        client.send(chunk(b" " * 60))
        reply = await client.reply()

    assert reply.status == 413
    assert edge.router.requests == []


async def test_a_body_in_chunks_is_no_larger_for_being_there_at_once(open_edge: OpenEdge) -> None:
    edge = await open_edge(max_body=100)

    async with edge.socket() as client:
        client.send_request(chunk(b" " * 60) * 2 + b"0\r\n\r\n", "Transfer-Encoding: chunked")

        assert (await client.reply()).status == 413


async def test_a_client_that_sends_far_too_much_still_reads_the_413(open_edge: OpenEdge) -> None:
    edge = await open_edge(max_body=1000)

    async with edge.socket() as client:
        client.send_request(b" " * 20_000_000)
        await client.writer.drain()
        reply = await client.reply()
        closed = await client.closed()

    assert reply.status == 413
    assert closed


async def test_a_body_that_never_ends_is_a_408_in_time(open_edge: OpenEdge) -> None:
    clock = VirtualClock()
    edge = await open_edge(clock, body_timeout=30.0)

    async with edge.socket() as client:
        client.send_request(BODY[:10], f"Content-Length: {len(BODY)}")
        await eventually(lambda: edge.tracer.spans)
        await clock.advance(29.9)
        client.send(BODY[10:11])
        await asyncio.sleep(0.01)
        await clock.advance(0.2)
        reply = await client.reply()

    assert (reply.status, reply.error["code"]) == (408, "request_timeout")
    assert "within 30 s (http.body_timeout)" in reply.error["message"]
    assert reply.headers["x-should-retry"] == "false"
    assert reply.headers["connection"] == "close"


async def test_chunks_that_are_none_are_a_400(edge: Edge) -> None:
    async with edge.socket() as client:
        client.send_request(b"nonsense\r\n", "Transfer-Encoding: chunked")

        assert (await client.reply()).status == 400


async def test_chunks_that_turn_out_to_be_none_end_in_time(open_edge: OpenEdge) -> None:
    clock = VirtualClock()
    edge = await open_edge(clock)

    async with edge.socket() as client:
        client.send_request(chunk(BODY[:10]), "Transfer-Encoding: chunked")
        await eventually(lambda: edge.tracer.spans)
        client.send(b"nonsense\r\n")
        await asyncio.sleep(0.01)
        await clock.advance(30.1)

        assert (await client.reply()).status == 408


async def test_a_packed_body_is_unpacked(edge: Edge) -> None:
    reply = await edge.post(raw=gzip.compress(BODY, mtime=0), headers={"content-encoding": "gzip"})

    assert reply.status == 200
    assert edge.router.requests[0].chat.model == "gpt-4o"


async def test_a_bomb_does_not_go_off(open_edge: OpenEdge) -> None:
    edge = await open_edge(max_body=10_000)
    bomb = gzip.compress(b" " * 5_000_000, mtime=0)
    assert len(bomb) < 10_000

    assert (await edge.post(raw=bomb, headers={"content-encoding": "gzip"})).status == 413


BROKEN = [BODY, gzip.compress(BODY, mtime=0)[:-4], gzip.compress(BODY, mtime=0) * 2, zlib.compress(BODY), b""]


@pytest.mark.parametrize("body", BROKEN)
async def test_what_is_packed_wrongly_is_a_400(edge: Edge, body: bytes) -> None:
    reply = await edge.post(raw=body, headers={"content-encoding": "gzip"})

    assert reply.status == 400
    assert "gzip" in reply.error["message"]


@pytest.mark.parametrize("coding", ["br", "deflate", "zstd", "gzip, gzip"])
async def test_another_packing_is_a_415(edge: Edge, coding: str) -> None:
    async with edge.socket() as client:
        client.send_request(BODY, f"Content-Encoding: {coding}")
        reply = await client.reply()

    assert (reply.status, reply.error["code"]) == (415, "unsupported_media_type")


async def test_a_client_that_asks_before_it_sends_is_answered(edge: Edge) -> None:
    async with edge.socket() as client:
        client.send_request(b"", "Expect: 100-continue", f"Content-Length: {len(BODY)}")
        assert (await client.reply()).status == 100
        client.send(BODY)

        assert (await client.reply()).status == 200


async def test_a_client_that_asks_before_it_sends_too_much_is_told_so(open_edge: OpenEdge) -> None:
    edge = await open_edge(max_body=100)

    async with edge.socket() as client:
        client.send_request(b"", "Expect: 100-continue", "Content-Length: 101")

        assert (await client.reply()).status == 413


@pytest.mark.parametrize(
    ("body", "message", "param"),
    [
        (b'{"model": "a",\n "messages": [}', "unexpected character, expected a JSON value at line 2, column 15", None),
        (b"", "line 1, column 1", None),
        (b'{"model": "a\x00"}', "control character", None),
        (b'{"model": "\xff"}', "not valid UTF-8 at byte 11", None),
        (b"[" * 100_000, "nested more than 100 levels", None),
        (b'{"a":' * 200 + b"1" + b"}" * 200, "nested more than 100 levels", None),
        (b'{"model": "\\u0000"}', "model: must not contain a null character", "model"),
        (b"[]", "must be a JSON object, not an array", None),
        (b'{"model": 5}', "model: must be given", None),
    ],
)
async def test_a_body_that_is_wrong_is_a_400_and_reaches_nobody(
    edge: Edge, body: bytes, message: str, param: str | None
) -> None:
    reply = await edge.post(raw=body)

    assert reply.status == 400
    assert reply.headers["x-should-retry"] == "false"
    assert reply.error["type"] == "invalid_request_error"
    assert edge.router.requests == []
    assert (await edge.post()).status == 200
    if param is not None:
        assert (reply.error["message"], reply.error["param"]) == (message, param)


async def test_ten_thousand_messages_are_a_400(edge: Edge) -> None:
    question: dict[str, Any] = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}] * 10_000}

    reply = await edge.post(question)

    assert (reply.status, reply.error["param"]) == (400, "messages")
    assert reply.error["message"] == "messages: holds 10000 messages; at most 2048 are accepted"
    assert edge.router.requests == []


async def test_a_wrong_type_is_a_400_that_names_the_field(edge: Edge) -> None:
    reply = await edge.post({**QUESTION, "messages": [{"role": "user", "content": [{"type": "text", "text": 5}]}]})

    assert (reply.status, reply.error["param"]) == (400, "messages[0].content[0].text")
