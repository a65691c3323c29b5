from __future__ import annotations

import pytest

from gateway_http.rate_limits import format_reset, refusal_headers


@pytest.mark.parametrize(
    ("milliseconds", "written"),
    [
        (0, "0ms"), (120, "120ms"), (1000, "1s"), (8640, "8.64s"), (59_999, "59.999s"), (60_000, "1m0s"),
        (60_001, "1m1s"), (360_000, "6m0s"), (3_600_000, "1h0m0s"), (86_400_000, "24h0m0s"), (4_530_000, "1h15m30s"),
    ],
)  # fmt: skip
def test_times_are_written_as_openai_writes_them(milliseconds: int, written: str) -> None:
    assert format_reset(milliseconds) == written


@pytest.mark.parametrize("reset", ["", "soon", "-5ms"])
def test_figures_of_a_stranger_are_left_out(reset: str) -> None:
    assert refusal_headers({"limit_requests": "5", "reset_requests": reset}) == {}
