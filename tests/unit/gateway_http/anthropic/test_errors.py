from __future__ import annotations

import json
from typing import Any

import pytest

from gateway_http.anthropic.errors import AnthropicErrors
from mesh.errors import TABLE, Reason, TollwayError, invalid


def body(error: TollwayError) -> Any:
    return json.loads(AnthropicErrors("req_1").body(error, "0af7"))


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_has_anthropics_type_and_a_code(reason: Reason) -> None:
    told = body(TollwayError(reason, "it went wrong"))

    assert told["type"] == "error"
    assert (told["error"]["type"], told["error"]["message"]) == (TABLE[reason].anthropic_type, "it went wrong")
    assert told["error"]["details"]["error_code"]
    assert (told["request_id"], told["trace_id"]) == ("req_1", "0af7")


def test_the_field_at_fault_is_named_by_its_path() -> None:
    told = body(invalid("messages[0].content", "must be given"))["error"]

    assert told["message"] == "messages[0].content: must be given"
    assert told["details"] == {"error_code": "invalid_request_error", "param": "messages[0].content"}


def test_what_the_provider_calls_it_is_told() -> None:
    metadata = {"upstream_status": "400", "upstream_code": "image_too_large", "upstream_param": "messages[0]"}

    told = body(TollwayError(Reason.UPSTREAM_REJECTED, "no", metadata))["error"]

    assert (told["type"], told["details"]) == (
        "invalid_request_error",
        {"error_code": "image_too_large", "param": "messages[0]"},
    )


def test_a_budget_and_candidates_are_told() -> None:
    metadata = {"budget": "ci", "limit_usd": "5", "candidate_1": "a: open", "candidate_2": "b: gone"}

    told = body(TollwayError(Reason.BUDGET_EXCEEDED, "used up", metadata))["error"]["details"]

    assert told["error_code"] == "budget_exceeded"
    assert told["budget"] == {"budget": "ci", "limit_usd": "5"}
    assert told["candidates"] == ["a: open", "b: gone"]


def test_an_error_in_a_stream_is_an_event_of_that_name() -> None:
    event = AnthropicErrors("req_1").event(TollwayError(Reason.UPSTREAM_CUT, "it\nbroke off"), "0af7")

    name, data, *rest = event.decode().split("\n")
    assert (name, rest) == ("event: error", ["", ""])
    assert json.loads(data.removeprefix("data: "))["error"]["type"] == "api_error"
