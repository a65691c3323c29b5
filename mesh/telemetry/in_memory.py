"""Telemetry for tests: spans are recorded as they would be exported, and kept to be read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import StatusCode

from mesh.telemetry.measurements import Measurements
from mesh.telemetry.sampling import Sampler
from mesh.telemetry.telemetry import Telemetry
from mesh.telemetry.tracer import RecordedSpan, SamplingTracer
from mesh.tracing import AttributeValue, Kind, Span, TraceContext


@dataclass(frozen=True, slots=True)
class ExportedEvent:
    """Something that happened during a span."""

    name: str
    attributes: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ExportedSpan:
    """A span as an exporter saw it. Ids are hexadecimal, times nanoseconds since the epoch."""

    name: str
    kind: Kind
    trace_id: str
    span_id: str
    parent_id: str | None
    attributes: Mapping[str, Any]
    events: Sequence[ExportedEvent]
    links: Sequence[tuple[str, str]]
    """Trace id and span id of each."""
    failed: bool
    message: str
    start_ns: int
    end_ns: int
    service: str


class InMemoryTelemetry(Telemetry):
    """Records that share of traces. `spans` are in the order they ended; `open_spans` are the names of the others."""

    def __init__(self, service_name: str = "tollway", sample: float = 1.0) -> None:
        self.spans: list[ExportedSpan] = []
        self._watching = _WatchingTracer(Sampler(sample), Resource({"service.name": service_name}), self._keep)
        super().__init__(self._watching, Measurements(), {"service.name": service_name})

    @property
    def open_spans(self) -> list[str]:
        return [span.name for span in self._watching.open.values()]

    def children(self, parent: ExportedSpan | None) -> list[ExportedSpan]:
        """The spans right under another, in the order they began; with None those without a parent."""
        parent_id = parent.span_id if parent else None
        return sorted((span for span in self.spans if span.parent_id == parent_id), key=lambda span: span.start_ns)

    def _keep(self, span: ReadableSpan) -> None:
        self.spans.append(read_span(span))


class _WatchingTracer(SamplingTracer):
    """Knows, besides, which spans have not ended."""

    def __init__(self, sampler: Sampler, resource: Resource, on_end: Any) -> None:
        super().__init__(sampler, resource, on_end)
        self.open: dict[str, RecordedSpan] = {}

    def start(
        self,
        name: str,
        kind: Kind,
        parent: TraceContext | None,
        attributes: Mapping[str, AttributeValue] | None = None,
        links: Sequence[TraceContext] = (),
    ) -> Span:
        span = super().start(name, kind, parent, attributes, links)
        if isinstance(span, RecordedSpan):
            self.open[span.context.span_id] = span
        return span

    def _finish(self, span: RecordedSpan) -> None:
        del self.open[span.context.span_id]
        super()._finish(span)


def read_span(span: ReadableSpan) -> ExportedSpan:
    """What an exporter would send."""
    return ExportedSpan(
        name=span.name,
        kind=Kind[span.kind.name],
        trace_id=f"{span.context.trace_id:032x}",
        span_id=f"{span.context.span_id:016x}",
        parent_id=f"{span.parent.span_id:016x}" if span.parent else None,
        attributes=dict(span.attributes or {}),
        events=[ExportedEvent(event.name, dict(event.attributes or {})) for event in span.events],
        links=[(f"{link.context.trace_id:032x}", f"{link.context.span_id:016x}") for link in span.links],
        failed=span.status.status_code is StatusCode.ERROR,
        message=span.status.description or "",
        start_ns=span.start_time or 0,
        end_ns=span.end_time or 0,
        service=str(span.resource.attributes["service.name"]),
    )
