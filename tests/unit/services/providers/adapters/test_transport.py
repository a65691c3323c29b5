"""What travels over TCP, and how long it is waited for. Limits are in virtual time wherever one has to pass."""

from __future__ import annotations

import asyncio
import gc
import gzip
import json
import logging
import socket
import weakref
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import pytest

from mesh.clock import SystemClock, VirtualClock
from mesh.errors import Reason, TollwayError
from services.providers.adapters.sim.server import Sim
from services.providers.adapters.transport import HttpAnswer, HttpTransport
from services.providers.domain.wire import Limits, Outgoing
from tests.unit.services.providers.house import ATTEMPT, House, open_house, text_of
from tests.unit.services.providers.upstream import Exchange, Play, Upstream, upstream

T = TypeVar("T")


def event(text: str = "", finish: str | None = None, **top: Any) -> bytes:
    choices = [{"index": 0, "delta": {"content": text} if text else {}, "finish_reason": finish}]
    return b"data: " + json.dumps({"id": "c", "model": "m", "choices": choices, **top}).encode() + b"\n\n"


DONE = b"data: [DONE]\n\n"
ANSWER = json.dumps(
    {"id": "c", "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}]}
).encode()


@asynccontextmanager
async def calling(
    play: Play, clock: VirtualClock | None = None, **provider: Any
) -> AsyncIterator[tuple[House, Upstream]]:
    async with upstream(play) as server, open_house({"p": {"base_url": server.url, **provider}}, clock) as house:
        yield house, server


async def whole(exchange: Exchange) -> None:
    await exchange.whole(ANSWER)


async def stream(exchange: Exchange) -> None:
    await exchange.head()
    await exchange.chunk(event("Hi") + event(finish="stop") + DONE)
    await exchange.chunk(b"")


async def settled(clock: VirtualClock, seconds: float, started: asyncio.Event) -> None:
    """Lets time pass once the upstream has come so far, and sockets have been read."""
    await started.wait()
    await asyncio.sleep(0.02)
    await clock.advance(seconds)
    await asyncio.sleep(0.02)


async def while_time_passes(
    call: Coroutine[Any, Any, T], clock: VirtualClock, seconds: float, started: asyncio.Event
) -> T:
    task = asyncio.ensure_future(call)
    await settled(clock, seconds, started)
    async with asyncio.timeout(2):
        return await task


# What is sent.


async def test_a_call_carries_its_credential_its_attempt_and_its_place_in_the_trace() -> None:
    async with calling(whole, api_key="sk-secret", headers={"X-Title": "app"}) as (house, server):
        await house.create("m", "p")
    (span,) = [span for span in house.telemetry.spans if span.name == "POST"]
    headers = server.headers()
    assert server.requests[0].startswith("POST /v1/chat/completions HTTP/1.1\r\n")
    assert headers["authorization"] == "Bearer sk-secret"
    assert headers["x-title"] == "app"
    assert headers["x-client-request-id"] == ATTEMPT
    assert headers["traceparent"] == f"00-{span.trace_id}-{span.span_id}-01"
    assert headers["content-type"] == "application/json"
    assert headers["accept-encoding"] == "identity"
    assert headers["user-agent"] == "tollway"


async def test_without_a_key_no_authorization_is_sent() -> None:
    async with calling(whole) as (house, server):
        await house.create("m", "p")
    assert "authorization" not in server.headers()


async def test_a_header_of_the_configuration_comes_before_the_usual_one() -> None:
    async with calling(whole, api_key="sk-secret", headers={"Authorization": "Basic x"}) as (house, server):
        await house.create("m", "p")
    assert server.headers()["authorization"] == "Basic x"


async def test_neither_cookies_nor_the_environment_s_proxies_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")

    async def with_cookie(exchange: Exchange) -> None:
        await exchange.whole(ANSWER, "200 OK", "set-cookie: a=b; Path=/")

    async with calling(with_cookie) as (house, server):
        await house.create("m", "p")
        await house.create("m", "p")
    assert "cookie" not in server.headers()


async def test_a_redirect_is_not_followed() -> None:
    async with upstream(whole) as elsewhere:

        async def redirect(exchange: Exchange) -> None:
            await exchange.whole(b"", "307 Temporary Redirect", f"location: {elsewhere.url}/chat/completions")

        async with calling(redirect, api_key="sk-secret") as (house, _):
            error = await house.error("m", "p")
    assert error.reason is Reason.UPSTREAM_FAILED
    assert error.metadata["upstream_status"] == "307"
    assert elsewhere.requests == []


async def test_chunks_that_arrive_together_are_read_together() -> None:
    async def chunked(exchange: Exchange) -> None:
        body = "".join(f"{len(text):x}\r\n{text}\r\n" for text in ("one", "two", "three"))
        await exchange.send(f"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{body}0\r\n\r\n".encode())

    async with upstream(chunked) as server:
        transport = HttpTransport(SystemClock())
        for _ in range(2):  # and the connection is as good as before
            answer = await transport.open(Outgoing(f"{server.url}/x", b"", {}), Limits())
            assert [await answer.read(None) for _ in range(2)] == [b"onetwothree", b""]
            answer.close()
        await transport.close()
    assert server.connections == 1


async def test_a_compressed_answer_is_read_although_none_was_asked_for() -> None:
    async def compressed(exchange: Exchange) -> None:
        await exchange.whole(gzip.compress(ANSWER), "200 OK", "content-encoding: gzip")

    async with calling(compressed) as (house, _):
        assert (await house.create("m", "p")).chat.choices[0].message.content[0].text == "Hi"


async def test_a_header_with_a_line_end_in_it_is_not_sent() -> None:
    async with upstream(whole) as server:
        transport = HttpTransport(SystemClock())
        for unfit in ("a\nb: c", "a\r\nb: c", "a\0"):
            with pytest.raises(ValueError, match="line end"):
                await transport.open(Outgoing(f"{server.url}/x", b"", {"x": unfit}), Limits())
        await transport.close()
    assert server.requests == []


async def test_a_user_and_password_in_the_address_are_sent_as_a_header() -> None:
    async with upstream(whole) as server:
        transport = HttpTransport(SystemClock())
        url = server.url.replace("http://", "http://user:word@")
        (await transport.open(Outgoing(f"{url}/x?y=1", b"", {}), Limits())).close()
        await transport.close()
    assert server.requests[0].startswith("POST /v1/x?y=1 HTTP/1.1\r\n")
    assert server.headers()["authorization"] == "Basic dXNlcjp3b3Jk"
    assert server.headers()["host"] == f"127.0.0.1:{server.port}"


async def test_what_is_said_before_the_answer_is_passed_over() -> None:
    async def hinting(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n")
        await exchange.whole(ANSWER)

    async with calling(hinting) as (house, _):
        assert (await house.create("m", "p")).upstream.status == 200


async def test_an_answered_call_leaves_nothing_to_the_garbage_collector() -> None:
    async with upstream(whole) as server:
        transport = HttpTransport(SystemClock())
        await _read_whole(transport, server)
        gc.collect()
        gc.disable()
        try:
            answer = weakref.ref(await _read_whole(transport, server))
            await asyncio.sleep(0)
            assert answer() is None
        finally:
            gc.enable()
        await transport.close()


async def _read_whole(transport: HttpTransport, server: Upstream) -> HttpAnswer:
    answer = await transport.open(Outgoing(f"{server.url}/x", b"", {}), Limits(connect=5, headers=5))
    while await answer.read(None):
        pass
    answer.close()
    return answer


# Connections.


async def test_a_question_that_was_answered_before_it_was_read_costs_its_connection() -> None:
    heads: list[bytes] = []

    async def hasty(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n")
        writer.transport.pause_reading()  # type: ignore[attr-defined]  # a socket's transport can
        await gone.wait()
        writer.close()

    gone = asyncio.Event()
    server = await asyncio.start_server(hasty, "127.0.0.1", 0)
    transport = HttpTransport(SystemClock())
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/x"
    for _ in range(2):
        async with asyncio.timeout(2):
            answer = await transport.open(Outgoing(url, b"x" * 20_000_000, {}), Limits())
            assert answer.status == 413
            assert await answer.read(None) == b""
            answer.close()
    assert len(heads) == 2
    assert all(b"content-length: 20000000\r\n" in head for head in heads)
    gone.set()
    await transport.close()
    server.close()


@pytest.mark.parametrize("play", [whole, stream])
async def test_calls_in_a_row_share_a_connection(play: Play) -> None:
    async with calling(play) as (house, server):
        for _ in range(3):
            await (house.create("m", "p") if play is whole else house.stream("m", "p"))
    assert server.connections == 1
    assert len(server.requests) == 3


async def test_an_error_s_connection_is_used_again() -> None:
    async def failing(exchange: Exchange) -> None:
        await exchange.whole(b'{"error": {"message": "no"}}', "500 Internal Server Error")

    async with calling(failing) as (house, server):
        await house.error("m", "p")
        await house.error("m", "p")
    assert server.connections == 1


async def test_a_connection_that_was_left_in_the_middle_of_an_answer_is_not_used_again() -> None:
    async def endless(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.chunk(event("Hi"))
        await exchange.gone()

    async with calling(endless) as (house, server):
        for _ in range(2):
            call = house.call("m", "p")
            async for _ in call:
                call.cancel()
                break
            await asyncio.sleep(0.01)
    assert server.connections == 2


async def test_a_stream_that_is_done_does_not_wait_for_the_body_to_end() -> None:
    left = asyncio.Event()

    async def held_open(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.chunk(event("Hi") + event(finish="stop") + DONE)
        await exchange.gone()
        left.set()

    async with calling(held_open) as (house, _), asyncio.timeout(1):
        assert text_of(await house.stream("m", "p")) == "Hi"
        await left.wait()


@pytest.mark.parametrize("kind", ["silence", "mid-stream", "mid-body"])
async def test_a_caller_who_leaves_stops_the_upstream_call_within_100_ms(kind: str) -> None:
    arrived, left = asyncio.Event(), asyncio.Event()

    async def endless(exchange: Exchange) -> None:
        if kind == "mid-stream":
            await exchange.head()
            await exchange.chunk(event("Hi"))
        elif kind == "mid-body":
            await exchange.head("200 OK", "application/json", "content-length: 1000")
        arrived.set()
        await exchange.gone()
        left.set()

    async with calling(endless) as (house, _):
        task = asyncio.ensure_future(house.create("m", "p") if kind == "mid-body" else house.stream("m", "p"))
        await arrived.wait()
        await asyncio.sleep(0.02)
        task.cancel()
        async with asyncio.timeout(0.1):
            await left.wait()
    assert house.telemetry.open_spans == []


async def test_a_slow_reader_slows_the_provider_down() -> None:
    sent = 0

    async def torrent(exchange: Exchange) -> None:
        nonlocal sent
        await exchange.head()
        while True:
            await exchange.chunk(event("x" * 10_000))
            sent += 10_000

    async with calling(torrent) as (_, server):
        transport = HttpTransport(SystemClock())
        answer = await transport.open(Outgoing(f"{server.url}/x", b"", {}), Limits())
        before = -1
        while before != sent:
            before = sent
            await asyncio.sleep(0.1)
        # What the kernel holds for both sides of a loopback connection is most of it.
        assert sent < 16_000_000
        while sent == before:
            assert await answer.read(None)
        answer.close()
        await transport.close()


# What cannot be reached.


async def unreachable(base_url: str, **limits: float) -> TollwayError:
    async with open_house({"p": {"base_url": base_url}}) as house:
        return await house.error("m", "p", **limits)


def free_port() -> int:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port: int = unused.getsockname()[1]
        return port


async def test_a_refused_connection_is_unreachable() -> None:
    error = await unreachable(f"http://127.0.0.1:{free_port()}")
    assert (error.reason, error.metadata["phase"]) == (Reason.UPSTREAM_UNREACHABLE, "connect")
    assert error.message == "no connection to the provider: Connection refused"


async def test_where_a_provider_is_that_cannot_be_reached_is_told_to_operators_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    port = free_port()
    async with open_house({"p": {"base_url": f"http://127.0.0.1:{port}"}}) as house:
        error = await house.error("m", "p")
        assert f"127.0.0.1:{port}" in next(span.message for span in house.telemetry.spans if span.name == "POST")
    assert "127.0.0.1" not in error.message
    assert f"127.0.0.1:{port}" in caplog.text


async def test_a_name_that_has_no_address_is_unreachable() -> None:
    error = await unreachable("http://nowhere.invalid")
    assert (error.reason, error.metadata["phase"]) == (Reason.UPSTREAM_UNREACHABLE, "connect")
    assert error.message == "no connection to the provider: its host has no address"


async def test_a_server_without_tls_is_unreachable_by_https(sim_server: Sim) -> None:
    error = await unreachable(f"https://127.0.0.1:{sim_server.port}/v1")
    assert (error.reason, error.metadata["phase"]) == (Reason.UPSTREAM_UNREACHABLE, "connect")
    assert error.message == "no connection to the provider: TLS could not be agreed on"


async def test_a_handshake_that_is_not_answered_is_part_of_connecting() -> None:
    async with upstream(whole) as server:
        error = await unreachable(server.url.replace("http:", "https:"), connect=0.1, headers=30)
    assert (error.reason, error.metadata["phase"]) == (Reason.UPSTREAM_UNREACHABLE, "connect")


async def test_a_connection_that_does_not_come_to_stand_is_unreachable() -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        waiting = [socket.socket() for _ in range(4)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(("127.0.0.1", port))
        error = await unreachable(f"http://127.0.0.1:{port}", connect=0.1, headers=30)
        for each in waiting:
            each.close()
    assert (error.reason, error.metadata["phase"]) == (Reason.UPSTREAM_UNREACHABLE, "connect")
    assert "within 100ms" in error.message


async def test_a_connection_that_is_cut_before_the_headers_is_unreachable() -> None:
    async def cut(exchange: Exchange) -> None:
        exchange.cut()

    async with calling(cut) as (house, server):
        error = await house.error("m", "p")
    assert (error.reason, error.metadata["phase"]) == (Reason.UPSTREAM_UNREACHABLE, "headers")
    assert error.message == "the connection to the provider was lost before it answered"
    assert len(server.requests) == 1, "there are no retries here"


async def test_what_is_not_http_is_malformed() -> None:
    async def babble(exchange: Exchange) -> None:
        await exchange.send(b"220 mail.example.com ESMTP\r\n\r\n")
        exchange.cut()

    async with calling(babble) as (house, _):
        assert (await house.error("m", "p")).reason is Reason.UPSTREAM_MALFORMED


# How long is waited, and for what.


async def test_headers_are_waited_for_from_when_the_connection_stands() -> None:
    clock, arrived = VirtualClock(), asyncio.Event()

    async def silent(exchange: Exchange) -> None:
        arrived.set()
        await exchange.gone()

    async with calling(silent, clock) as (house, _):
        task = asyncio.ensure_future(house.error("m", "p", connect=1, headers=30))
        await settled(clock, 29.9, arrived)
        assert not task.done()
        await clock.advance(0.2)
        error = await task
    assert (error.reason, error.metadata["phase"]) == (Reason.UPSTREAM_SILENT, "headers")
    assert error.message == "the provider sent no headers within 30s"


async def test_comments_and_a_bare_role_do_not_put_off_the_first_token() -> None:
    clock, began = VirtualClock(), asyncio.Event()

    async def alive(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.chunk(b'data: {"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]}\n\n')
        began.set()
        while not exchange.writer.is_closing():
            await exchange.chunk(b": ping\n\n")
            await asyncio.sleep(0.005)

    async with calling(alive, clock) as (house, _):
        task = asyncio.ensure_future(house.error("m", "p", headers=50, first_token=10, gap=1))
        await settled(clock, 9.9, began)
        assert not task.done()
        await clock.advance(0.2)
        error = await task
    assert (error.reason, error.metadata["phase"]) == (Reason.UPSTREAM_SILENT, "first_token")


async def test_comments_do_not_put_off_the_next_event() -> None:
    clock, began = VirtualClock(), asyncio.Event()

    async def stalled(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.chunk(event("Hi"))
        began.set()
        while not exchange.writer.is_closing():
            await exchange.chunk(b": ping\n\n")
            await asyncio.sleep(0.005)

    async with calling(stalled, clock) as (house, _):
        error = await while_time_passes(house.error("m", "p", first_token=1, gap=10), clock, 10.1, began)
    assert (error.reason, error.metadata["phase"]) == (Reason.UPSTREAM_SILENT, "gap")


async def test_every_event_renews_the_wait() -> None:
    clock, more = VirtualClock(), asyncio.Event()

    async def slow(exchange: Exchange) -> None:
        await exchange.head()
        for _ in range(4):
            await exchange.chunk(event("x"))
            await more.wait()
            more.clear()
        await exchange.chunk(event(finish="stop") + DONE)
        await exchange.chunk(b"")

    async with calling(slow, clock) as (house, _):
        task = asyncio.ensure_future(house.stream("m", "p", first_token=10, gap=10))
        for _ in range(4):
            await asyncio.sleep(0.02)
            await clock.advance(9)
            more.set()
        async with asyncio.timeout(1):
            assert text_of(await task) == "xxxx"


async def test_time_that_the_reader_takes_is_no_silence_of_the_provider() -> None:
    clock, transport_clock = VirtualClock(), asyncio.Event()

    async def quick(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.chunk(event("a"))
        await transport_clock.wait()
        await exchange.chunk(event("b") + event(finish="stop") + DONE)
        await exchange.chunk(b"")

    async with calling(quick, clock) as (_, server):
        transport = HttpTransport(clock)
        answer = await transport.open(Outgoing(f"{server.url}/x", b"", {}), Limits())
        assert b'"a"' in await answer.read(clock.monotonic() + 5)
        transport_clock.set()
        await asyncio.sleep(0.02)
        await clock.advance(60)
        assert b'"b"' in await answer.read(clock.monotonic() + 5)
        assert await answer.read(clock.monotonic() + 5) == b""
        answer.close()
        await transport.close()


async def test_an_answer_that_is_finished_needs_no_end_mark_to_arrive_in_time() -> None:
    clock, began = VirtualClock(), asyncio.Event()

    async def no_end(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.chunk(event("Hi") + event(finish="stop"))
        began.set()
        await exchange.gone()

    async with calling(no_end, clock) as (house, _):
        responses = await while_time_passes(house.stream("m", "p", gap=10), clock, 11, began)
    assert text_of(responses) == "Hi"


async def test_white_space_before_an_answer_in_json_keeps_the_connection_and_not_the_patience() -> None:
    clock, began = VirtualClock(), asyncio.Event()

    async def blank(exchange: Exchange) -> None:
        await exchange.head("200 OK", "application/json")
        began.set()
        while not exchange.writer.is_closing():
            await exchange.chunk(b"\n")
            await asyncio.sleep(0.005)

    async with calling(blank, clock) as (house, _):
        with pytest.raises(TollwayError) as caught:
            await while_time_passes(house.create("m", "p", first_token=10, gap=1), clock, 10.1, began)
    assert caught.value.metadata["phase"] == "first_token"


async def test_an_error_whose_body_never_ends_is_told_by_its_status() -> None:
    clock, began = VirtualClock(), asyncio.Event()

    async def unfinished(exchange: Exchange) -> None:
        await exchange.head("503 Service Unavailable", "text/plain")
        await exchange.chunk(b"over capacity")
        began.set()
        await exchange.gone()

    async with calling(unfinished, clock) as (house, _):
        error = await while_time_passes(house.error("m", "p"), clock, 6, began)
    assert (error.reason, error.message) == (Reason.UPSTREAM_FAILED, "over capacity")


async def test_an_error_whose_body_is_cut_or_endless_is_told_by_its_status() -> None:
    async def cut(exchange: Exchange) -> None:
        await exchange.head("503 Service Unavailable", "text/plain", "content-length: 1000")
        await exchange.send(b"over capacity")
        exchange.cut()

    async def endless(exchange: Exchange) -> None:
        await exchange.head("503 Service Unavailable", "text/plain")
        while True:
            await exchange.chunk(b"over capacity " * 1000)

    for play in (cut, endless):
        async with calling(play) as (house, _), asyncio.timeout(2):
            error = await house.error("m", "p")
        assert error.reason is Reason.UPSTREAM_FAILED
        assert error.message.startswith("over capacity")


# How answers end.


async def test_what_arrived_before_the_connection_broke_is_read() -> None:
    async def abrupt(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.chunk(event("Hi"))
        await exchange.chunk(event(finish="stop"))
        exchange.cut()

    async with calling(abrupt) as (_, server):
        transport = HttpTransport(SystemClock())
        answer = await transport.open(Outgoing(f"{server.url}/x", b"", {}), Limits())
        await asyncio.sleep(0.05)
        assert b'"stop"' in await answer.read(None)
        with pytest.raises(TollwayError, match="broke off") as caught:
            await answer.read(None)
        assert caught.value.reason is Reason.UPSTREAM_CUT
        answer.close()
        answer.close()
        await transport.close()


@pytest.mark.parametrize("finished", [True, False])
async def test_a_connection_that_breaks_after_the_finish_reason_is_no_cut(finished: bool) -> None:
    async def abrupt(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.chunk(event("Hi", "stop" if finished else None))
        exchange.cut()

    async with calling(abrupt) as (house, _):
        responses, error = await house.stream_to_its_end("m", "p")
    assert text_of(responses) == "Hi"
    assert (error is None) is finished
    assert error is None or error.reason is Reason.UPSTREAM_CUT


async def test_a_body_that_ends_in_good_order_without_a_finish_reason_is_cut() -> None:
    async def short(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.chunk(event("Hi"))
        await exchange.chunk(b"")

    async with calling(short) as (house, _):
        assert (await house.error("m", "p")).reason is Reason.UPSTREAM_CUT


async def test_cancelling_a_call_that_is_silent_is_not_taken_for_its_silence() -> None:
    clock, arrived = VirtualClock(), asyncio.Event()

    async def silent(exchange: Exchange) -> None:
        arrived.set()
        await exchange.gone()

    async with upstream(silent) as server:
        transport = HttpTransport(clock)
        task = asyncio.ensure_future(transport.open(Outgoing(f"{server.url}/x", b"", {}), Limits(headers=5)))
        await arrived.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await transport.close()
