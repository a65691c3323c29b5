"""Spans, as an exporter sees them."""

from __future__ import annotations

import re

import pytest
from opentelemetry.context import get_current
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from mesh.telemetry.in_memory import ExportedEvent, InMemoryTelemetry
from mesh.telemetry.sampling import Sampler
from mesh.telemetry.tracer import SamplingTracer
from mesh.tracing import Kind, TraceContext, Unsampled

REMOTE = TraceContext("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", True, "vendor=1")


@pytest.fixture
def telemetry() -> InMemoryTelemetry:
    return InMemoryTelemetry("tollway-router")


def test_a_root_span_begins_a_trace(telemetry: InMemoryTelemetry) -> None:
    span = telemetry.tracer.start("POST /v1/chat/completions", Kind.SERVER, None, {"http.route": "/v1"})
    span.set({"http.response.status_code": 200, "list": ["a", "b"]})
    span.end()
    (exported,) = telemetry.spans
    assert exported.name == "POST /v1/chat/completions"
    assert exported.kind is Kind.SERVER
    assert exported.parent_id is None
    assert exported.attributes == {"http.route": "/v1", "http.response.status_code": 200, "list": ("a", "b")}
    assert (exported.failed, exported.message, exported.service) == (False, "", "tollway-router")
    assert exported.start_ns <= exported.end_ns
    assert (exported.trace_id, exported.span_id) == (span.context.trace_id, span.context.span_id)
    assert re.fullmatch(r"[0-9a-f]{32}", exported.trace_id)


def test_a_child_hangs_under_its_parent_and_another_process_joins_in(telemetry: InMemoryTelemetry) -> None:
    server = telemetry.tracer.start("server", Kind.SERVER, REMOTE)
    client = telemetry.tracer.start("client", Kind.CLIENT, server.context)
    client.end()
    server.end()
    assert [span.trace_id for span in telemetry.spans] == [REMOTE.trace_id] * 2
    (root,) = (span for span in telemetry.spans if span.parent_id == REMOTE.span_id)
    assert [span.name for span in telemetry.children(root)] == ["client"]
    assert client.context.state == "vendor=1"
    assert client.context.traceparent == f"00-{REMOTE.trace_id}-{client.context.span_id}-01"


def test_children_are_listed_in_the_order_they_began(telemetry: InMemoryTelemetry) -> None:
    root = telemetry.tracer.start("root", Kind.INTERNAL, None)
    spans = [telemetry.tracer.start(name, Kind.INTERNAL, root.context) for name in "abc"]
    for span in reversed(spans):
        span.end()
    assert [span.name for span in telemetry.children(None)] == []
    root.end()
    (found,) = telemetry.children(None)
    assert [span.name for span in telemetry.children(found)] == ["a", "b", "c"]


def test_an_unsampled_parent_has_children_that_are_no_spans(telemetry: InMemoryTelemetry) -> None:
    parent = TraceContext(REMOTE.trace_id, REMOTE.span_id, False, "vendor=1")
    span = telemetry.tracer.start("x", Kind.CLIENT, parent, {"a": 1})
    assert isinstance(span, Unsampled)
    assert not span.recording
    assert span.context is parent
    span.set({"a": 2})
    span.event("e")
    span.fail("X")
    span.end()
    assert telemetry.spans == []


def test_the_root_of_an_unsampled_trace_is_no_span_and_still_has_an_id_of_its_own() -> None:
    tracer = InMemoryTelemetry(sample=0).tracer
    one, other = (tracer.start("x", Kind.SERVER, None).context for _ in range(2))
    assert not one.sampled
    assert one.trace_id != other.trace_id
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-00", one.traceparent)


def test_a_sampled_parent_is_recorded_even_where_own_traces_are_not() -> None:
    telemetry = InMemoryTelemetry(sample=0)
    telemetry.tracer.start("x", Kind.SERVER, REMOTE).end()
    assert [span.trace_id for span in telemetry.spans] == [REMOTE.trace_id]


def test_a_sampler_that_ignores_parents_stops_the_trace_for_those_below() -> None:
    tracer = SamplingTracer(Sampler(0.0, parent_based=False), Resource({}), lambda span: None)
    span = tracer.start("x", Kind.SERVER, REMOTE)
    assert span.context == TraceContext(REMOTE.trace_id, REMOTE.span_id, False, "vendor=1")


def test_a_failed_span_has_an_error_type_and_a_status(telemetry: InMemoryTelemetry) -> None:
    span = telemetry.tracer.start("x", Kind.CLIENT, None)
    span.fail("UPSTREAM_SILENT", "nothing for 30 s")
    span.end()
    (exported,) = telemetry.spans
    assert exported.failed
    assert exported.message == "nothing for 30 s"
    assert exported.attributes == {"error.type": "UPSTREAM_SILENT"}


def test_a_span_ends_once_and_what_comes_later_is_not_told(telemetry: InMemoryTelemetry) -> None:
    span = telemetry.tracer.start("x", Kind.CLIENT, None)
    assert telemetry.open_spans == ["x"]
    span.end()
    span.set({"late": True})
    span.event("late")
    span.fail("LATE")
    span.end()
    (exported,) = telemetry.spans
    assert (exported.attributes, exported.events, exported.failed) == ({}, [], False)
    assert telemetry.open_spans == []


def test_events_and_links_are_told_with_their_places(telemetry: InMemoryTelemetry) -> None:
    span = telemetry.tracer.start("batch", Kind.INTERNAL, None, links=[REMOTE])
    attributes = {"attempt": 1}
    span.event("sent", attributes)
    attributes["attempt"] = 2
    span.event("done")
    span.end()
    (exported,) = telemetry.spans
    assert exported.events == [ExportedEvent("sent", {"attempt": 1}), ExportedEvent("done", {})]
    assert exported.links == [(REMOTE.trace_id, REMOTE.span_id)]


def test_the_sdk_gets_spans_in_its_own_form() -> None:
    exporter = InMemorySpanExporter()
    tracer = SamplingTracer(Sampler(1.0), Resource({"a": "b"}), lambda span: _export(exporter, span))
    for kind in Kind:
        tracer.start(kind.value, kind, REMOTE).end()
    failed = tracer.start("failed", Kind.CLIENT, REMOTE)
    failed.fail("X")
    failed.end()
    spans = exporter.get_finished_spans()
    assert [span.kind for span in spans[:3]] == [SpanKind.INTERNAL, SpanKind.SERVER, SpanKind.CLIENT]
    assert [span.parent is not None and span.parent.is_remote for span in spans[:3]] == [False, True, False]
    assert spans[0].context.trace_flags.sampled
    assert spans[0].context.trace_state.get("vendor") == "1"
    assert spans[0].resource.attributes == {"a": "b"}
    assert spans[0].instrumentation_scope is not None
    assert spans[0].instrumentation_scope.name == "tollway"
    assert (spans[0].status.status_code, spans[3].status.status_code) == (StatusCode.UNSET, StatusCode.ERROR)
    assert spans[3].status.description is None


def _export(exporter: InMemorySpanExporter, span: ReadableSpan) -> None:
    exporter.export((span,))


def test_the_sdks_own_context_is_never_touched(telemetry: InMemoryTelemetry) -> None:
    before = get_current()
    span = telemetry.tracer.start("x", Kind.SERVER, None)
    assert get_current() is before
    span.end()
    assert get_current() is before


def test_the_standard_limits_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "2")
    monkeypatch.setenv("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "3")
    monkeypatch.setenv("OTEL_SPAN_EVENT_COUNT_LIMIT", "1")
    telemetry = InMemoryTelemetry()
    span = telemetry.tracer.start("x", Kind.CLIENT, None, {"a": "12345", "b": 1, "c": 2})
    span.event("first")
    span.event("last", {"k": "vwxyz"})
    span.end()
    (exported,) = telemetry.spans
    assert len(exported.attributes) == 2
    assert set(exported.attributes.values()) <= {"123", 1, 2}
    assert exported.events == [ExportedEvent("last", {"k": "vwx"})]
