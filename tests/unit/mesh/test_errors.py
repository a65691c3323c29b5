from __future__ import annotations

import grpc
import pytest

from mesh.errors import TABLE, AnthropicName, FieldViolation, Reason, TollwayError, invalid

_HTTP_OF_GRPC = {
    "INVALID_ARGUMENT": {400, 415},
    "NOT_FOUND": {404, 500},
    "UNIMPLEMENTED": {404, 405},
    "UNAUTHENTICATED": {401},
    "PERMISSION_DENIED": {403},
    "RESOURCE_EXHAUSTED": {413, 429},
    "ABORTED": {409},
    "ALREADY_EXISTS": {409},
    "FAILED_PRECONDITION": {409, 502},
    "DEADLINE_EXCEEDED": {408, 504},
    "CANCELLED": {499},
    "UNAVAILABLE": {502, 503},
    "INTERNAL": {500},
}


def test_every_reason_has_a_row() -> None:
    assert set(TABLE) == set(Reason)


@pytest.mark.parametrize("reason", Reason)
def test_a_reason_is_called_the_same_everywhere(reason: Reason) -> None:
    assert reason.value == reason.name


@pytest.mark.parametrize("reason", Reason)
def test_a_row_names_a_grpc_code_and_an_http_status_that_belong_together(reason: Reason) -> None:
    row = TABLE[reason]
    assert row.grpc_code in grpc.StatusCode.__members__
    assert row.http_status in _HTTP_OF_GRPC[row.grpc_code]


@pytest.mark.parametrize("reason", Reason)
def test_a_row_has_the_error_types_the_dialects_know(reason: Reason) -> None:
    row = TABLE[reason]
    assert row.openai_type in {
        "invalid_request_error", "server_error", "authentication_error", "permission_error", "rate_limit_error",
        "insufficient_quota",
    }  # fmt: skip
    assert row.anthropic_type in {
        "invalid_request_error", "authentication_error", "permission_error", "not_found_error", "request_too_large",
        "rate_limit_error", "api_error",
    }  # fmt: skip


def test_a_providers_status_is_told_to_anthropics_clients_where_they_know_it() -> None:
    overloaded = TollwayError(Reason.UPSTREAM_FAILED, "busy", {"upstream_status": "529"})
    failed = TollwayError(Reason.UPSTREAM_FAILED, "no", {"upstream_status": "500"})

    assert overloaded.anthropic == AnthropicName(529, "overloaded_error")
    assert failed.anthropic == AnthropicName(503, "api_error")
    assert overloaded.row is failed.row


@pytest.mark.parametrize("reason", Reason)
def test_what_is_the_clients_fault_is_not_worth_repeating(reason: Reason) -> None:
    row = TABLE[reason]
    if row.repeatable:
        assert row.http_status == 429 or row.http_status >= 500


def test_an_exhausted_budget_must_not_be_repeated() -> None:
    row = TABLE[Reason.BUDGET_EXCEEDED]
    assert (row.http_status, row.openai_type, row.openai_code) == (429, "insufficient_quota", "budget_exceeded")
    assert not row.repeatable


def test_an_error_reads_as_its_reason_and_message() -> None:
    error = TollwayError(Reason.MODEL_NOT_FOUND, "there is no model gpt-9")
    assert str(error) == "MODEL_NOT_FOUND: there is no model gpt-9"
    assert error.row is TABLE[Reason.MODEL_NOT_FOUND]


def test_errors_can_be_raised_side_by_side_and_told_apart() -> None:
    one, other = TollwayError(Reason.INTERNAL, "x"), TollwayError(Reason.INTERNAL, "x")
    assert one != other
    assert len({one, other}) == 2


def test_an_invalid_field_is_named() -> None:
    error = invalid("messages[2].content", "must be text")
    assert error.reason is Reason.INVALID_REQUEST
    assert error.message == "messages[2].content: must be text"
    assert error.violations == (FieldViolation("messages[2].content", "must be text"),)
