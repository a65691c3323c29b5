from __future__ import annotations

import pytest

from services.providers.domain.headers import request_id, retry_after, upstream_call

NOW = 1_700_000_000.0


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after": "Tue, 14 Nov 2023 22:13:30 GMT"}, 10.0),
        ({"retry-after": "Tue, 14 Nov 2023 22:13:10 GMT"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after": "2", "x-ratelimit-reset": "9"}, 2.0),
        ({"x-ratelimit-reset": "9"}, 9.0),
        ({"x-ratelimit-reset": "1700000004"}, 4.0),
        ({"x-ratelimit-reset": "1700000004500"}, 4.5),
        ({"x-ratelimit-reset": "1600000000"}, 0.0),
        ({"x-ratelimit-reset": "later"}, None),
        ({"x-ratelimit-reset-tokens": "1h2m3.5s"}, 3723.5),
        ({"x-ratelimit-reset-tokens": "120ms", "x-ratelimit-reset-requests": "1s"}, 0.12),
        (
            {
                "x-ratelimit-reset-tokens": "120ms",
                "x-ratelimit-remaining-tokens": "7",
                "x-ratelimit-reset-requests": "1s",
                "x-ratelimit-remaining-requests": "0",
            },
            1.0,
        ),
        ({"x-ratelimit-reset": "2023-11-14T22:13:24Z"}, 4.0),
        ({"x-ratelimit-reset": "2023-11-14T22:13:24"}, None),
        ({"anthropic-ratelimit-requests-reset": "2023-11-14T23:13:24+01:00"}, 4.0),
        ({"anthropic-ratelimit-tokens-reset": "2023-11-14T22:13:00Z"}, 0.0),
        ({"anthropic-ratelimit-unified-5h-reset": "1700000009"}, None),
        (
            {
                "anthropic-ratelimit-requests-remaining": "49",
                "anthropic-ratelimit-requests-reset": "2023-11-14T22:13:21Z",
                "anthropic-ratelimit-output-tokens-remaining": "0",
                "anthropic-ratelimit-output-tokens-reset": "2023-11-14T22:13:30Z",
            },
            10.0,
        ),
    ],
)
def test_the_time_to_wait_is_read_in_every_form_it_comes_in(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers, NOW) == (None if seconds is None else pytest.approx(seconds))


def test_an_answer_s_limits_are_passed_on_and_its_other_headers_are_not() -> None:
    call = upstream_call(
        200, {"X-RateLimit-Remaining-Tokens": "5", "retry-after": "1", "set-cookie": "a", "x-request-id": "r"}
    )
    assert (call.status, call.request_id) == (200, "r")
    assert dict(call.rate_limits) == {"x-ratelimit-remaining-tokens": "5", "retry-after": "1"}


def test_anthropics_limits_are_passed_on_under_their_own_names() -> None:
    limits = {
        "anthropic-ratelimit-input-tokens-remaining": "79000",
        "anthropic-ratelimit-input-tokens-reset": "2026-01-01T00:00:00Z",
    }
    assert dict(upstream_call(200, {**limits, "anthropic-organization-id": "o"}).rate_limits) == limits


def test_a_request_id_goes_by_many_names() -> None:
    assert request_id({"apim-request-id": "a"}) == "a"
    assert request_id({"request-id": "a", "cf-ray": "b"}) == "a"
    assert request_id({"cf-ray": "b", "x-request-id": "a"}) == "a"
    assert request_id({}) == ""
