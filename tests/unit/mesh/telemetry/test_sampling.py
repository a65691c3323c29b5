"""Which traces are recorded."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.trace.sampling import Decision, TraceIdRatioBased

from mesh.telemetry.sampling import Sampler, sampler_named

TRACE_IDS = st.integers(min_value=1, max_value=2**128 - 1).map("{:032x}".format)


@given(TRACE_IDS, st.floats(min_value=0, max_value=1))
def test_a_share_of_traces_is_the_share_that_the_opentelemetry_sdk_picks(trace_id: str, ratio: float) -> None:
    theirs = TraceIdRatioBased(ratio).should_sample(None, int(trace_id, 16), "x").decision
    assert Sampler(ratio).samples(trace_id, None) == (theirs is Decision.RECORD_AND_SAMPLE)


@given(TRACE_IDS, st.booleans(), st.floats(min_value=0, max_value=1))
def test_a_parents_decision_is_kept(trace_id: str, parent: bool, ratio: float) -> None:
    assert Sampler(ratio).samples(trace_id, parent) is parent


@pytest.mark.parametrize(("name", "expected"), [("always_on", True), ("always_off", False)])
def test_a_sampler_that_is_not_parent_based_asks_no_parent(name: str, expected: bool) -> None:
    for parent in (True, False, None):
        assert sampler_named(name, "").samples("f" * 32, parent) is expected
