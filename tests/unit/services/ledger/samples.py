"""Attempts to book."""

from __future__ import annotations

from typing import Any

from mesh.ids import uuid7
from tollway.chat.v1.chat_pb2 import Usage
from tollway.ledger.v1.ledger_pb2 import (
    ATTEMPT_STATE_OPENED,
    ATTEMPT_STATE_SETTLED,
    ATTEMPT_STATE_UNSETTLED,
    ATTEMPT_STATUS_OK,
    PROVENANCE_PROVIDER_REPORTED,
    Attempt,
    UsageFilter,
)

NOW = 1_700_000_000.0
"""Where a VirtualClock starts: 2023-11-14 22:13:20 UTC."""


def attempt(at: float = NOW, **changes: Any) -> Attempt:
    """A settled attempt that was opened at that Unix time; `changes` replace fields, None leaves them out."""
    fields: dict[str, Any] = {
        "attempt_id": uuid7(at),
        "request_id": "req_1",
        "trace_id": "0af7651916cd43dd8448eb211c80319c",
        "span_id": "b7ad6b7169203331",
        "state": ATTEMPT_STATE_SETTLED,
        "tenant": "default",
        "project": "default",
        "api_key_id": "local",
        "tags": ["ci"],
        "model_requested": "gpt-4o",
        "model_used": "gpt-4o-2024-08-06",
        "model_provider": "openai",
        "provider_name": "openai",
        "deployment": "openai/gpt-4o-2024-08-06",
        "attempt_number": 1,
        "streamed": True,
        "usage": Usage(input_tokens=100, output_tokens=20, cached_input_tokens=40, reasoning_tokens=5),
        "cost_nanos": 1234,
        "provenance": PROVENANCE_PROVIDER_REPORTED,
        "price_version": "openai/gpt-4o@2023-01-01T00:00:00Z",
        "status": ATTEMPT_STATUS_OK,
        "upstream_status": 200,
        "upstream_request_id": "chatcmpl-1",
        "response_time_ms": 1500,
        "time_to_first_token_ms": 300,
        "finish_reason": "stop",
    }
    made = Attempt(**{name: value for name, value in (fields | changes).items() if value is not None})
    if "start_time" not in changes:
        made.start_time.FromMicroseconds(round(at * 1e6))
    if made.state == ATTEMPT_STATE_SETTLED and "end_time" not in changes:
        made.end_time.FromMicroseconds(round(at * 1e6) + 1_500_000)
    return made


def priced(at: float = NOW, *, tokens: tuple[int, int] = (3, 4), **changes: Any) -> Attempt:
    """A settled attempt of so many tokens in and out, at the price that every ledger has for the built-in model."""
    fields: dict[str, Any] = {
        "provider_name": "sim",
        "model_used": "echo",
        "deployment": "sim/echo",
        "usage": Usage(input_tokens=tokens[0], output_tokens=tokens[1]),
        "cost_nanos": tokens[0] * 1_000_000 + tokens[1] * 2_000_000,
        "price_version": "sim/*@1970-01-01T00:00:00Z",
    }
    return attempt(at, **fields | changes)


def opened(settled: Attempt) -> Attempt:
    """The attempt as it was when it was opened."""
    return _before(settled, ATTEMPT_STATE_OPENED)


def unsettled(settled: Attempt) -> Attempt:
    """The attempt as it is known when its router was lost."""
    return _before(settled, ATTEMPT_STATE_UNSETTLED)


def _before(settled: Attempt, state: Any) -> Attempt:
    known = Attempt()
    known.CopyFrom(settled)
    for later in (
        "end_time", "usage", "cost_nanos", "provenance", "price_version", "status", "error_reason", "upstream_status",
        "upstream_request_id", "response_time_ms", "time_to_first_token_ms", "finish_reason",
    ):  # fmt: skip
        known.ClearField(later)
    known.state = state
    return known


def since(seconds: float) -> UsageFilter:
    """The attempts from that Unix time on."""
    made = UsageFilter()
    made.start_time.FromMicroseconds(round(seconds * 1e6))
    return made
