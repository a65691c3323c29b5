from __future__ import annotations

import asyncio
import json
import logging
import time
from typing import Any

import pytest

from mesh.errors import Reason, TollwayError
from mesh.tracing import Kind, TraceContext
from tests.unit.gateway_http.conftest import OpenEdge
from tests.unit.gateway_http.edge import CHAT, QUESTION, Edge, eventually
from tests.unit.gateway_http.scripted_router import RecordedSpan, pieces

TRACE, PARENT_SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
STREAM = {**QUESTION, "stream": True}


def the_span(edge: Edge) -> RecordedSpan:
    (span,) = edge.tracer.spans
    assert span.ends == 1
    return span


async def until_idle(edge: Edge) -> None:
    await eventually(lambda: edge.tracer.spans and all(span.ends for span in edge.tracer.spans))


def complaints(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What was logged, by anyone but the gRPC server that stands in for the router's process."""
    return [record.getMessage() for record in caplog.records if not record.name.startswith("grpc")]


@pytest.mark.parametrize("question", [QUESTION, STREAM])
async def test_a_request_is_one_server_span(edge: Edge, question: Any) -> None:
    await edge.post(question)

    span = the_span(edge)
    host, port = edge.address
    assert (span.name, span.kind, span.parent, span.error) == (f"POST {CHAT}", Kind.SERVER, None, None)
    assert span.attributes == {
        "http.request.method": "POST",
        "http.route": CHAT,
        "http.response.status_code": 200,
        "url.scheme": "http",
        "url.path": CHAT,
        "server.address": host,
        "server.port": port,
    }


async def test_the_span_joins_the_caller_s_trace(edge: Edge) -> None:
    reply = await edge.post(headers={"traceparent": f"00-{TRACE}-{PARENT_SPAN}-01", "tracestate": "a=1"})

    assert the_span(edge).parent == TraceContext(TRACE, PARENT_SPAN, True, "a=1")
    assert reply.headers["x-tollway-trace-id"] == TRACE
    assert edge.router.metadata[0]["tracestate"] == "a=1"


async def test_a_client_s_error_is_no_error_of_the_span(edge: Edge) -> None:
    reply = await edge.post(raw=b"{")

    span = the_span(edge)
    assert span.error is None
    assert span.attributes["http.response.status_code"] == 400
    assert reply.error["trace_id"] == reply.headers["x-tollway-trace-id"] == span.context.trace_id


async def test_a_server_s_error_is_one_of_the_span(edge: Edge) -> None:
    edge.router.completion = TollwayError(Reason.UPSTREAM_FAILED, "no deployment could answer")

    await edge.post()

    assert the_span(edge).error == ("UPSTREAM_FAILED", "no deployment could answer")
    assert the_span(edge).attributes["http.response.status_code"] == 503


async def test_an_error_in_a_stream_is_one_of_the_span_whatever_the_status_was(edge: Edge) -> None:
    edge.router.messages = [pieces("Hi")[0], TollwayError(Reason.UPSTREAM_CUT, "cut")]

    await edge.post(STREAM)

    assert the_span(edge).error == ("UPSTREAM_CUT", "cut")
    assert the_span(edge).attributes["http.response.status_code"] == 200


async def test_every_request_is_measured(edge: Edge) -> None:
    await edge.post()
    edge.router.completion = TollwayError(Reason.UPSTREAM_SILENT, "no")
    await edge.post()
    await edge.ask("GET", "/v1/nothing/here")

    labels = [labels for _, _, labels in edge.metrics.recorded]
    assert {name for name, _, _ in edge.metrics.recorded} == {"http.server.request.duration"}
    assert all(0 <= seconds < 5 for _, seconds, _ in edge.metrics.recorded)
    assert labels == [
        {"http.request.method": "POST", "http.route": CHAT, "http.response.status_code": 200},
        {
            "http.request.method": "POST",
            "http.route": CHAT,
            "http.response.status_code": 504,
            "error.type": "UPSTREAM_SILENT",
        },
        {"http.request.method": "GET", "http.response.status_code": 404},
    ]


async def test_requests_count_as_active_while_they_are_being_answered(edge: Edge) -> None:
    answer = edge.router.completion = asyncio.Event()
    labels = {"http.request.method": "POST"}

    asking = asyncio.create_task(edge.post())
    await edge.router.reached.wait()
    assert edge.metrics.counted == [("http.server.active_requests", 1, labels)]
    answer.set()
    await asking

    assert edge.metrics.counted[1:] == [("http.server.active_requests", -1, labels)]


async def test_a_request_is_known_by_the_name_its_caller_gave_it(edge: Edge) -> None:
    named = await edge.post(headers={"x-request-id": "mine-1"})
    failed = await edge.post(raw=b"{", headers={"x-request-id": "mine-2"})

    assert (named.headers["x-request-id"], failed.headers["x-request-id"]) == ("mine-1", "mine-2")
    assert edge.router.requests[0].request_id == "mine-1"


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/models/", "/v1/chat/completions/", "/v1/embedding", "/V1/MODELS"])
async def test_an_unknown_path_is_a_404_in_openai_s_shape(edge: Edge, path: str) -> None:
    reply = await edge.ask("POST", path, b"{}")

    assert (reply.status, reply.error["code"], reply.error["type"]) == (404, "unknown_url", "invalid_request_error")
    assert reply.error["message"] == f"there is nothing at POST {path}"


async def test_a_long_path_is_not_repeated_whole(edge: Edge) -> None:
    assert len((await edge.ask("GET", "/" + "a" * 5000)).error["message"]) < 200


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("GET", CHAT, "POST, OPTIONS"),
        ("DELETE", CHAT, "POST, OPTIONS"),
        ("POST", "/v1/models", "GET, HEAD, OPTIONS"),
        ("PUT", "/v1/models/gpt-4o", "GET, HEAD, OPTIONS"),
        ("PROPFIND", "/healthz", "GET, HEAD, OPTIONS"),
    ],
)
async def test_a_wrong_method_is_a_405_that_says_which_are_right(
    edge: Edge, method: str, path: str, allow: str
) -> None:
    reply = await edge.ask(method, path)

    assert (reply.status, reply.error["code"], reply.headers["allow"]) == (405, "method_not_allowed", allow)


async def test_options_says_which_methods_there_are(edge: Edge) -> None:
    reply = await edge.ask("OPTIONS", "/v1/models")

    assert (reply.status, reply.headers["allow"], reply.body) == (204, "GET, HEAD, OPTIONS", b"")


@pytest.mark.parametrize("path", ["/healthz", "/v1/models"])
async def test_head_is_get_without_a_body(edge: Edge, path: str) -> None:
    got, headed = await edge.ask("GET", path), await edge.ask("HEAD", path)

    assert (headed.status, headed.body) == (200, b"")
    assert headed.headers["content-length"] == str(len(got.body))


@pytest.mark.parametrize("line", ["OPTIONS *", "CONNECT example.com:443", "TRACE /v1/models", "GET http://a/healthz"])
async def test_an_unusual_request_line_is_answered_and_harms_nobody(edge: Edge, line: str) -> None:
    async with edge.socket() as client:
        client.send(f"{line} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        reply = await client.reply()

    assert reply.status in (200, 404, 405)
    assert (await edge.post()).status == 200


async def test_a_method_nobody_heard_of_does_not_make_a_name_of_its_own(edge: Edge) -> None:
    await edge.ask("PROPFIND", "/v1/models")

    assert the_span(edge).name == "_OTHER /v1/models"
    assert edge.metrics.recorded[0][2]["http.request.method"] == "_OTHER"


@pytest.mark.parametrize("question", [QUESTION, STREAM])
async def test_a_client_that_leaves_before_the_answer_stops_the_call(
    edge: Edge, caplog: pytest.LogCaptureFixture, question: Any
) -> None:
    edge.router.completion = asyncio.Event()
    edge.router.messages = [edge.router.completion]

    with caplog.at_level(logging.INFO):
        async with edge.socket() as client:
            client.send_request(json.dumps(question).encode())
            await edge.router.reached.wait()
        left = time.monotonic()
        await edge.router.cancelled.wait()

    assert time.monotonic() - left < 0.1
    await until_idle(edge)
    span = the_span(edge)
    assert span.error is None
    assert span.attributes["tollway.outcome"] == "cancelled"
    assert "http.response.status_code" not in span.attributes
    assert edge.metrics.recorded[0][2]["http.response.status_code"] == 499
    assert complaints(caplog) == []


async def test_a_client_that_leaves_a_stream_stops_the_call(edge: Edge, caplog: pytest.LogCaptureFixture) -> None:
    never = asyncio.Event()
    edge.router.messages = [pieces("Hi")[0], never]

    with caplog.at_level(logging.INFO):
        async with edge.socket() as client:
            client.send_request(json.dumps(STREAM).encode())
            await client.reader.readuntil(b'"Hi"')
        left = time.monotonic()
        await edge.router.cancelled.wait()

    assert time.monotonic() - left < 0.1
    await until_idle(edge)
    assert the_span(edge).error is None
    assert the_span(edge).attributes["tollway.outcome"] == "cancelled"
    assert complaints(caplog) == []


async def test_a_client_that_leaves_while_it_is_written_to_stops_the_call(
    edge: Edge, caplog: pytest.LogCaptureFixture
) -> None:
    never = asyncio.Event()
    edge.router.messages = [*pieces(*["x" * 2**20] * 50)[:-1], never]

    with caplog.at_level(logging.INFO):
        async with edge.socket() as client:
            client.send_request(json.dumps(STREAM).encode())
            await client.reader.readuntil(b"xxx")
            await asyncio.sleep(0.05)
            client.writer.transport.abort()
        await until_idle(edge)

    assert the_span(edge).attributes["tollway.outcome"] == "cancelled"
    assert complaints(caplog) == []


async def test_a_client_that_leaves_in_the_middle_of_its_body_leaves_nothing_open(
    edge: Edge, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        async with edge.socket() as client:
            client.send_request(b"{", "Content-Length: 100")
            await eventually(lambda: edge.tracer.spans)
        await until_idle(edge)

    assert the_span(edge).attributes["tollway.outcome"] == "cancelled"
    assert edge.router.requests == []
    assert complaints(caplog) == []


async def test_a_write_to_a_client_that_is_gone_is_no_failure(
    open_edge: OpenEdge, caplog: pytest.LogCaptureFixture
) -> None:
    def page() -> bytes:
        raise ConnectionResetError("the client is gone")

    edge = await open_edge(metrics_page=page)

    async with edge.socket() as client:
        client.send_request(method="GET", path="/metrics")
        assert await client.closed()

    assert edge.metrics.recorded[0][2]["http.response.status_code"] == 499
    assert complaints(caplog) == []


@pytest.mark.parametrize("question", [QUESTION, STREAM])
async def test_telemetry_that_fails_is_logged_and_harms_nobody_else(
    edge: Edge, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, question: Any
) -> None:
    def record(*_: object) -> None:
        raise ValueError("no such instrument")

    with monkeypatch.context() as patch:
        patch.setattr(edge.metrics, "record", record)
        async with edge.socket() as client:
            client.send_request(json.dumps(question).encode())
            assert (await client.reply()).status == (200 if question is STREAM else 500)
            assert await client.closed()

    assert "no such instrument" in caplog.text
    assert (await edge.post()).status == 200


async def test_an_unforeseen_failure_is_a_500_that_tells_nothing(
    open_edge: OpenEdge, caplog: pytest.LogCaptureFixture
) -> None:
    def page() -> bytes:
        raise ValueError("the password is 1234")

    edge = await open_edge(metrics_page=page)

    reply = await edge.ask("GET", "/metrics")

    assert (reply.status, reply.error["type"]) == (500, "server_error")
    assert "1234" not in reply.body.decode()
    assert "the password is 1234" in caplog.text
    assert reply.error["trace_id"] in caplog.text


async def test_an_unforeseen_failure_in_a_stream_is_its_one_ending(
    edge: Edge, caplog: pytest.LogCaptureFixture
) -> None:
    first, *_ = pieces("Hi")
    broken = type(first)()
    broken.chunk.deltas.add(extra_json=b"this is not JSON")
    edge.router.messages = [first, broken]

    body = (await edge.post(STREAM)).body

    assert body.count(b'"error"') == 1
    assert b"[DONE]" not in body
    assert b"not JSON" not in body
    assert "failed unexpectedly" in caplog.text
