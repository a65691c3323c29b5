"""Spans, recorded by ourselves and handed to the OpenTelemetry SDK when they end.

The SDK's own tracer would cost 20 µs a span, twice as much as this, wants its context where we keep none, and makes
objects for spans that are not recorded. What follows a span's end (batches, exporters, limits) is the SDK's.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

from opentelemetry.attributes import BoundedAttributes
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan, SpanLimits
from opentelemetry.sdk.util import BoundedList
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

from mesh.telemetry.sampling import Sampler
from mesh.tracing import AttributeValue, Kind, Span, TraceContext, Unsampled, new_span_id, new_trace_id

_KINDS = {Kind.INTERNAL: SpanKind.INTERNAL, Kind.SERVER: SpanKind.SERVER, Kind.CLIENT: SpanKind.CLIENT}
_SCOPE = InstrumentationScope("tollway")
_UNSET = Status(StatusCode.UNSET)


class RecordedSpan:
    """A span of a trace that is recorded."""

    __slots__ = ("_finish", "attributes", "context", "events", "kind", "links", "name", "parent", "start_ns", "status")
    recording = True

    def __init__(
        self,
        name: str,
        kind: Kind,
        context: TraceContext,
        parent: TraceContext | None,
        links: Sequence[TraceContext],
        finish: Callable[[RecordedSpan], None],
    ) -> None:
        self.name, self.kind, self.context, self.parent, self.links = name, kind, context, parent, links
        self.start_ns = time.time_ns()
        self.attributes: dict[str, AttributeValue] = {}
        self.events: list[tuple[str, Mapping[str, AttributeValue], int]] = []
        self.status = _UNSET
        self._finish: Callable[[RecordedSpan], None] | None = finish

    def set(self, attributes: Mapping[str, AttributeValue]) -> None:
        self.attributes.update(attributes)

    def event(self, name: str, attributes: Mapping[str, AttributeValue] | None = None) -> None:
        self.events.append((name, dict(attributes or {}), time.time_ns()))

    def fail(self, error_type: str, message: str = "") -> None:
        self.attributes["error.type"] = error_type
        self.status = Status(StatusCode.ERROR, message or None)

    def end(self) -> None:
        finish, self._finish = self._finish, None
        if finish is not None:
            finish(self)


class SamplingTracer:
    """Implements `mesh.tracing.Tracer`: records the traces that the sampler picks and gives them to `on_end`."""

    def __init__(self, sampler: Sampler, resource: Resource, on_end: Callable[[ReadableSpan], None]) -> None:
        self._sampler, self._resource, self._on_end = sampler, resource, on_end
        self._limits = SpanLimits()

    def start(
        self,
        name: str,
        kind: Kind,
        parent: TraceContext | None,
        attributes: Mapping[str, AttributeValue] | None = None,
        links: Sequence[TraceContext] = (),
    ) -> Span:
        trace_id = parent.trace_id if parent else new_trace_id()
        if not self._sampler.samples(trace_id, parent.sampled if parent else None):
            return Unsampled(_unsampled(parent, trace_id))
        context = TraceContext(trace_id, new_span_id(), sampled=True, state=parent.state if parent else "")
        span = RecordedSpan(name, kind, context, parent, links, self._finish)
        if attributes:
            span.attributes.update(attributes)
        return span

    def _finish(self, span: RecordedSpan) -> None:
        limits = self._limits
        parent = _foreign(span.parent, remote=span.kind is Kind.SERVER) if span.parent else None
        links = [Link(_foreign(context, remote=True)) for context in span.links]
        events = [
            Event(name, self._bounded(limits.max_event_attributes, attributes), at)
            for name, attributes, at in span.events
        ]
        self._on_end(
            ReadableSpan(
                span.name,
                _foreign(span.context, remote=False),
                parent,
                self._resource,
                self._bounded(limits.max_span_attributes, span.attributes),
                BoundedList.from_seq(limits.max_events, events),
                BoundedList.from_seq(limits.max_links, links),
                _KINDS[span.kind],
                status=span.status,
                start_time=span.start_ns,
                end_time=time.time_ns(),
                instrumentation_scope=_SCOPE,
            )
        )

    def _bounded(self, count: int | None, attributes: Mapping[str, AttributeValue]) -> BoundedAttributes:
        length = self._limits.max_span_attribute_length
        return BoundedAttributes(count, attributes, immutable=True, max_value_len=length)


def _unsampled(parent: TraceContext | None, trace_id: str) -> TraceContext:
    if parent is None:
        return TraceContext(trace_id, new_span_id(), sampled=False)
    return TraceContext(trace_id, parent.span_id, False, parent.state) if parent.sampled else parent


def _foreign(context: TraceContext, *, remote: bool) -> SpanContext:
    """The place in OpenTelemetry's own form."""
    flags = TraceFlags(TraceFlags.SAMPLED if context.sampled else TraceFlags.DEFAULT)
    state = TraceState.from_header([context.state]) if context.state else None
    return SpanContext(int(context.trace_id, 16), int(context.span_id, 16), remote, flags, state)
