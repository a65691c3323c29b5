from __future__ import annotations

import contextvars

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.tracing import (
    Kind,
    NoTracer,
    TraceContext,
    current,
    new_span_id,
    new_trace_id,
    parse_traceparent,
    set_current,
)

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def hexadecimal(digits: int) -> st.SearchStrategy[str]:
    return st.integers(1, 16**digits - 1).map(lambda number: f"{number:0{digits}x}")


@given(hexadecimal(32), hexadecimal(16), st.booleans())
def test_a_place_survives_its_header(trace_id: str, span_id: str, sampled: bool) -> None:
    place = TraceContext(trace_id, span_id, sampled)
    assert parse_traceparent(place.traceparent) == place


@given(st.text(max_size=80))
def test_no_header_is_too_strange_to_read(header: str) -> None:
    place = parse_traceparent(header)
    assert place is None or len(place.trace_id) == 32


@pytest.mark.parametrize(
    ("header", "sampled"),
    [
        (f"00-{TRACE}-{SPAN}-01", True),
        (f"00-{TRACE}-{SPAN}-00", False),
        (f"00-{TRACE}-{SPAN}-03", True),  # a flag we do not know beside the one we do
        (f"00-{TRACE}-{SPAN}-02", False),
        (f" 00-{TRACE}-{SPAN}-01 ", True),
        (f"01-{TRACE}-{SPAN}-01", True),  # a later version reads as this one
        (f"cc-{TRACE}-{SPAN}-01-what-the-future-brings", True),
    ],
)
def test_a_good_header_names_its_place(header: str, sampled: bool) -> None:
    assert parse_traceparent(header) == TraceContext(TRACE, SPAN, sampled)


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "nonsense",
        f"ff-{TRACE}-{SPAN}-01",  # a version that may not be
        f"00-{TRACE}-{SPAN}-01-more",  # version 00 ends after its flags
        f"cc-{TRACE}-{SPAN}-01more",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE[:-1]}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE}-{SPAN}-1",
        f"00-{TRACE}-{SPAN}-0g",
        f"0-{TRACE}-{SPAN}-01",
    ],
)
def test_a_bad_header_names_no_place(header: str | None) -> None:
    assert parse_traceparent(header) is None


def test_the_state_travels_as_it_came() -> None:
    place = parse_traceparent(f"00-{TRACE}-{SPAN}-01", "vendor=1,other=2")
    assert place is not None
    assert place.state == "vendor=1,other=2"


def test_new_ids_are_of_the_right_length_and_differ() -> None:
    assert len(new_trace_id()) == 32
    assert len(new_span_id()) == 16
    assert new_trace_id() != new_trace_id()
    assert new_span_id() != new_span_id()


def test_the_current_place_is_that_of_its_context() -> None:
    place = TraceContext(TRACE, SPAN, sampled=True)

    def inside() -> TraceContext | None:
        set_current(place)
        return current()

    assert contextvars.copy_context().run(inside) is place
    assert current() is None


def test_without_a_tracer_a_request_still_has_a_trace_id() -> None:
    span = NoTracer().start("work", Kind.SERVER, None)
    assert len(span.context.trace_id) == 32
    assert not span.context.sampled
    assert not span.recording
    span.set({"a": 1})
    span.event("happened")
    span.fail("ValueError", "bad")
    span.end()


def test_without_a_tracer_a_trace_goes_on_as_it_is() -> None:
    parent = TraceContext(TRACE, SPAN, sampled=False)
    assert NoTracer().start("work", Kind.CLIENT, parent).context is parent
