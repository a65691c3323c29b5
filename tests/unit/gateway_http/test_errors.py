from __future__ import annotations

import json
import logging

import pytest

from gateway_http.errors import error_body, error_event, error_headers, error_response, explain
from mesh.errors import FieldViolation, Reason, TollwayError

TRACE = "0af7651916cd43dd8448eb211c80319c"


def test_an_error_has_openai_s_shape_and_the_trace_id() -> None:
    error = TollwayError(Reason.MODEL_NOT_FOUND, "there is no model 'x'")

    assert json.loads(error_body(error, TRACE)) == {
        "error": {
            "message": "there is no model 'x'",
            "type": "invalid_request_error",
            "param": None,
            "code": "model_not_found",
            "trace_id": TRACE,
        }
    }


def test_of_several_fields_at_fault_the_first_is_the_param() -> None:
    error = TollwayError(
        Reason.INVALID_REQUEST, "two things", violations=(FieldViolation("n", "a"), FieldViolation("stop", "b"))
    )

    assert json.loads(error_body(error, TRACE))["error"]["param"] == "n"


def rejected(**metadata: str) -> tuple[object, object]:
    """The code and the param of a question that a provider rejected."""
    told = json.loads(error_body(TollwayError(Reason.UPSTREAM_REJECTED, "no", metadata), TRACE))["error"]
    return told["code"], told["param"]


def test_why_a_provider_rejected_a_question_is_told_in_its_own_words() -> None:
    assert rejected(upstream_code="unsupported_parameter", upstream_param="temperature") == (
        "unsupported_parameter", "temperature",
    )  # fmt: skip
    assert rejected() == ("upstream_rejected", None)


@pytest.mark.parametrize("code", ["400", "Client specified an invalid argument", "x" * 65])
def test_a_providers_code_that_is_no_word_is_none(code: str) -> None:
    assert rejected(upstream_code=code) == ("upstream_rejected", None)


def test_what_the_table_has_a_word_for_keeps_it() -> None:
    error = TollwayError(Reason.UPSTREAM_RATE_LIMITED, "no", {"upstream_code": "rate_limit_exceeded"})

    assert json.loads(error_body(error, TRACE))["error"]["code"] == "upstream_rate_limited"


def test_an_error_event_is_one_line_of_data() -> None:
    event = error_event(TollwayError(Reason.UPSTREAM_CUT, "cut\n\nshort"), TRACE)

    assert event.startswith(b'data: {"error":{')
    assert event.count(b"\n") == 2
    assert event.endswith(b"\n\n")


@pytest.mark.parametrize("reason", list(Reason))
def test_clients_are_told_not_to_repeat_what_cannot_succeed(reason: Reason) -> None:
    error = TollwayError(reason, "no")

    assert error_headers(error).get("x-should-retry") == (None if error.row.repeatable else "false")


def test_when_to_try_again_is_said_in_seconds_and_milliseconds() -> None:
    headers = error_headers(TollwayError(Reason.RATE_LIMITED, "slow down", retry_after=1.2345))

    assert (headers["retry-after"], headers["retry-after-ms"]) == ("2", "1235")


def test_names_that_no_header_can_hold_are_written_so_that_one_can() -> None:
    error = TollwayError(Reason.UPSTREAM_FAILED, "no", {"deployment": "local/a\nb", "budget": "project:é"})

    headers = error_headers(error)

    assert (headers["x-tollway-deployment"], headers["x-tollway-budget"]) == ("local/a%0Ab", "project:%C3%A9")


def test_without_a_time_none_is_made_up() -> None:
    assert "retry-after" not in error_headers(TollwayError(Reason.RATE_LIMITED, "slow down"))


def test_how_far_the_request_came_is_shown() -> None:
    error = TollwayError(
        Reason.UPSTREAM_FAILED, "no", {"deployment": "openai/gpt-4o", "attempts": "3", "upstream_code": "x"}
    )

    headers = error_headers(error)

    assert (headers["x-tollway-deployment"], headers["x-tollway-attempts"]) == ("openai/gpt-4o", "3")
    assert "x" not in headers.values()


@pytest.mark.parametrize("reason", [Reason.BODY_TOO_LARGE, Reason.BODY_TOO_SLOW])
def test_a_connection_with_an_unread_body_is_not_used_again(reason: Reason) -> None:
    assert error_response(TollwayError(reason, "no"), TRACE).keep_alive is False


def test_an_unforeseen_exception_is_logged_and_tells_the_client_nothing(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        error = explain(ValueError("the password is 1234"), TRACE)

    assert error.reason is Reason.INTERNAL
    assert "1234" not in error.message
    assert TRACE in caplog.text
    assert "the password is 1234" in caplog.text


def test_an_error_with_a_reason_is_nothing_to_log(caplog: pytest.LogCaptureFixture) -> None:
    error = TollwayError(Reason.UPSTREAM_FAILED, "no")

    assert explain(error, TRACE) is error
    assert caplog.text == ""


def test_where_nobody_could_be_asked_each_candidates_reason_is_in_the_body() -> None:
    about = {"request_id": "r", "candidate_1": "a/m: offline", "candidate_2": "b/m: cannot do tools"}
    body = json.loads(error_body(TollwayError(Reason.NO_DEPLOYMENT_READY, "nobody", about, 3.0), TRACE))

    assert body["error"]["candidates"] == ["a/m: offline", "b/m: cannot do tools"]
    assert body["error"]["code"] == "no_deployment_ready"


def test_who_is_not_known_is_told_what_to_show() -> None:
    response = error_response(TollwayError(Reason.UNAUTHENTICATED, "who?"), TRACE)

    assert response.status == 401
    assert (response.headers["www-authenticate"], response.headers["x-should-retry"]) == ("Bearer", "false")
    assert "www-authenticate" not in error_headers(TollwayError(Reason.PERMISSION_DENIED, "no"))


def test_a_refusal_says_what_is_left() -> None:
    metadata = {"scope": "key:ci", "limit_requests": "600", "remaining_requests": "0", "reset_requests": "8640ms"}
    headers = error_headers(TollwayError(Reason.RATE_LIMITED, "slow down", metadata, retry_after=0.1))
    assert headers["retry-after"] == "1"
    assert headers["x-ratelimit-limit-requests"] == "600"
    assert headers["x-ratelimit-remaining-requests"] == "0"
    assert headers["x-ratelimit-reset-requests"] == "8.64s"
    assert "x-ratelimit-limit-tokens" not in headers
    assert "x-should-retry" not in headers


def test_what_can_never_pass_is_not_to_be_repeated() -> None:
    headers = error_headers(TollwayError(Reason.RATE_LIMITED, "too much", {"repeat": "never"}))
    assert headers["x-should-retry"] == "false"
    assert "retry-after" not in headers


def test_a_budget_that_is_used_up_is_told_with_its_figures() -> None:
    about = {"budget": "project:demo/month", "scope": "project:demo", "limit_usd": "5.00", "spent_usd": "4.99"}
    error = TollwayError(Reason.BUDGET_EXCEEDED, "nothing is left", {**about, "attempts": "0"})

    told = json.loads(error_body(error, TRACE))["error"]
    assert (told["type"], told["code"]) == ("insufficient_quota", "budget_exceeded")
    assert told["budget"] == about
    headers = error_headers(error)
    assert headers["x-tollway-budget"] == "project:demo/month"
    assert headers["x-should-retry"] == "false"
