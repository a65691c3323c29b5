"""What every call has around it: what it checks, what it tells, and what its errors say."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import pytest

from mesh.clock import SystemClock
from mesh.errors import Reason, TollwayError
from mesh.telemetry.in_memory import ExportedSpan
from services.providers.adapters import openai
from services.providers.domain.wire import Limits
from services.providers.handlers.calling import read_whole
from services.providers.ports import Answer
from tests.unit.services.providers.house import House, open_house, text_of
from tests.unit.services.providers.upstream import Exchange, upstream

SECRET = "sk-very-secret-key-0001"


def post(house: House) -> ExportedSpan:
    (span,) = [span for span in house.telemetry.spans if span.name == "POST"]
    return span


async def wrong(house: House, **request: Any) -> TollwayError:
    """The error for a request that is refused in both shapes alike."""
    request = {"model": "sim", **request}
    error = await house.error(**request)
    with pytest.raises(TollwayError) as caught:
        await house.create(**request)
    assert (caught.value.reason, caught.value.violations) == (error.reason, error.violations)
    return error


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        ({"model": ""}, "model"),
        ({"attempt_id": ""}, "attempt_id"),
        ({"attempt_id": "a\r\nx-evil: 1"}, "attempt_id"),
        ({"extra_json": b"{"}, "chat.extra_json"),
    ],
)
async def test_a_request_that_cannot_be_sent_is_refused_by_the_name_of_its_field(
    house: House, request_: dict[str, Any], field: str
) -> None:
    error = await wrong(house, **request_)
    assert error.reason is Reason.INVALID_REQUEST
    assert [violation.field for violation in error.violations] == [field]
    assert not [span for span in house.telemetry.spans if span.name == "POST"], "no call has left"


async def test_a_provider_that_is_not_configured_is_told_with_those_that_are(house: House) -> None:
    error = await wrong(house, provider="nobody")
    assert error.reason is Reason.PROVIDER_NOT_CONFIGURED
    assert error.message == "provider 'nobody' is not configured; configured are sim, remote"


@pytest.mark.parametrize("provider", ["sim", "remote"])
async def test_a_call_is_a_client_span_inside_the_caller_s_trace(house: House, provider: str) -> None:
    await house.stream("echo", provider)
    (server,) = [span for span in house.telemetry.spans if span.name.endswith("/StreamCompletion")]
    span = post(house)
    assert span.kind.name == "CLIENT"
    assert span.parent_id == server.span_id
    assert span.trace_id == server.trace_id == "a" * 32
    assert span.attributes["http.request.method"] == "POST"
    assert span.attributes["http.response.status_code"] == 200
    assert span.attributes["url.full"].endswith("/v1/chat/completions")
    assert span.attributes["server.address"] in ("127.0.0.1", "sim")
    assert isinstance(span.attributes["server.port"], int)
    assert not span.failed


@pytest.mark.parametrize(
    ("model", "error_type", "status"),
    [
        ("status-503", "503", 503),
        ("cut", "UPSTREAM_CUT", 200),
        ("error-body", "UPSTREAM_FAILED", 200),
        ("reset", "UPSTREAM_UNREACHABLE", None),
        ("silence", "UPSTREAM_SILENT", None),
    ],
)
async def test_a_failed_call_s_span_says_how_it_failed(
    house: House, model: str, error_type: str, status: int | None
) -> None:
    await house.error(model, "remote", **({"headers": 0.05} if model == "silence" else {}))
    span = post(house)
    assert span.failed
    assert span.attributes["error.type"] == error_type
    assert span.attributes.get("http.response.status_code") == status
    assert span.message == "", "a provider's message may quote the question"
    assert house.telemetry.open_spans == []


@pytest.mark.parametrize("model", ["silence", "stall"])
@pytest.mark.parametrize("provider", ["sim", "remote"])
async def test_a_call_that_its_caller_left_is_cancelled_and_not_failed(house: House, provider: str, model: str) -> None:
    call = house.call(model, provider)
    task = asyncio.ensure_future(call.read())
    await asyncio.sleep(0.05)
    call.cancel()
    task.cancel()
    await asyncio.sleep(0.05)
    span = post(house)
    assert not span.failed
    assert span.attributes["tollway.outcome"] == "cancelled"
    assert house.telemetry.open_spans == []


async def test_a_trace_that_is_not_sampled_still_travels_on() -> None:
    async def whole(exchange: Exchange) -> None:
        await exchange.whole(b"{}", "500 Oops")

    async with upstream(whole) as server, open_house({"p": {"base_url": server.url}}, sample=0.0) as house:
        await house.error("m", "p")
    assert server.headers()["traceparent"].startswith(f"00-{'a' * 32}-")


async def test_a_call_s_duration_is_measured_by_where_it_went_and_how_it_ended(house: House) -> None:
    await house.stream("echo", "remote")
    await house.error("status-503", "remote")
    page = house.telemetry.metrics_page().decode()
    counts = [line for line in page.splitlines() if line.startswith("http_client_request_duration_seconds_count")]
    assert len(counts) == 2
    assert any('http_response_status_code="200"' in line and "error_type" not in line for line in counts)
    assert any('error_type="503"' in line for line in counts)


async def test_no_error_and_no_span_ever_holds_a_secret() -> None:
    async def echoing(exchange: Exchange) -> None:
        body = {"error": {"message": f"bad key {SECRET} and {exchange.request!r}", "code": SECRET}}
        await exchange.whole(json.dumps(body).encode(), "401 Unauthorized", f"x-request-id: {SECRET}")

    async with upstream(echoing) as server:
        provider = {"base_url": server.url, "api_key": SECRET, "headers": {"X-Other": "other-secret-value"}}
        async with open_house({"p": provider}) as house:
            error = await house.error("m", "p")
    assert error.reason is Reason.UPSTREAM_CREDENTIALS
    told = f"{error} {error.metadata} {house.telemetry.spans}"
    assert "[redacted]" in told
    assert SECRET not in told
    assert "other-secret-value" not in told


async def test_an_address_with_a_password_in_it_is_not_shown_with_it() -> None:
    async with open_house({"p": {"base_url": "http://user:password@127.0.0.1:9/v1"}}) as house:
        error = await house.error("m", "p")
    assert "password" not in f"{error} {error.metadata} {house.telemetry.spans}"
    assert post(house).attributes["url.full"] == "http://127.0.0.1:9/v1/chat/completions"


async def test_every_error_names_the_provider_and_what_it_said(house: House) -> None:
    error = await house.error("status-429:retry-after=2", "remote")
    assert error.message == "Answered 429, as asked."
    assert error.retry_after == 2
    assert error.metadata["provider"] == "remote"
    assert error.metadata["upstream_status"] == "429"
    assert error.metadata["upstream_request_id"].startswith("sim-")


@pytest.mark.parametrize("streamed", [True, False])
@pytest.mark.parametrize("fault", ["cut", "silence", "nonsense"])
async def test_an_error_after_the_headers_says_that_the_provider_answered(fault: str, streamed: bool) -> None:
    async def answering(exchange: Exchange) -> None:
        kind = "text/event-stream" if streamed else "application/json"
        await exchange.head("200 OK", kind, "x-request-id: up-1")
        if fault == "nonsense":
            await exchange.chunk(b"data: nonsense\n\n")
            await exchange.chunk(b"")
        elif fault == "cut":
            exchange.cut()
        else:
            await exchange.gone()

    async with upstream(answering) as server, open_house({"p": {"base_url": server.url}}) as house:
        if streamed:
            error = await house.error("m", "p", first_token=0.05)
        else:
            with pytest.raises(TollwayError) as caught:
                await house.create("m", "p", first_token=0.05)
            error = caught.value
    reasons = {"cut": "UPSTREAM_CUT", "silence": "UPSTREAM_SILENT", "nonsense": "UPSTREAM_MALFORMED"}
    assert error.reason == reasons[fault]
    assert (error.metadata["upstream_status"], error.metadata["upstream_request_id"]) == ("200", "up-1")


class Body:
    """An answer with a body in pieces."""

    status = 200
    headers: Mapping[str, str] = {}

    def __init__(self, *pieces: bytes) -> None:
        self._pieces = iter(pieces)

    async def read(self, deadline: float | None) -> bytes:
        return next(self._pieces, b"")

    async def finish(self) -> None: ...

    def close(self) -> None: ...


async def test_an_answer_without_end_is_not_kept_in_memory_for_ever() -> None:
    answer: Answer = Body(*[b"x" * 10] * 1000)
    with pytest.raises(TollwayError, match="longer than 95 bytes") as caught:
        await read_whole(answer, Limits(), SystemClock(), limit=95)
    assert caught.value.reason is Reason.UPSTREAM_MALFORMED


async def test_a_body_in_pieces_is_read_whole() -> None:
    assert await read_whole(Body(b"\n", b"{", b" ", b"}"), Limits(), SystemClock()) == b"{ }"


async def test_a_bug_in_a_dialect_ends_the_span_as_failed(monkeypatch: pytest.MonkeyPatch, house: House) -> None:
    def broken(body: bytes) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(openai, "decode_response", broken)
    with pytest.raises(TollwayError) as caught:
        await house.create("echo")
    assert caught.value.reason is Reason.INTERNAL
    assert post(house).attributes["error.type"] == "ZeroDivisionError"
    assert text_of(await house.stream("echo")) == "Hi"
