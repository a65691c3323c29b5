"""An OpenTelemetry collector that remembers: spans as processes export them, over OTLP/gRPC."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc


@dataclass(frozen=True)
class Seen:
    """An exported span."""

    name: str
    kind: str
    service: str
    trace_id: str
    span_id: str
    parent_id: str
    attributes: dict[str, Any]
    links: tuple[str, ...]
    failed: bool


@dataclass
class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """`endpoint` is what OTEL_EXPORTER_OTLP_ENDPOINT should say."""

    endpoint: str = ""
    spans: list[Seen] = field(default_factory=list)

    def Export(self, request: Any, context: grpc.ServicerContext) -> Any:
        for resource in request.resource_spans:
            service = {a.key: a.value.string_value for a in resource.resource.attributes}.get("service.name", "")
            for scope in resource.scope_spans:
                self.spans.extend(_seen(span, service) for span in scope.spans)
        return trace_service_pb2.ExportTraceServiceResponse()

    def trace(self, trace_id: str, count: int, limit: float = 20.0) -> list[Seen]:
        """The spans of a trace, once there are that many. Raises AssertionError if they do not come."""
        end = time.monotonic() + limit
        while time.monotonic() < end:
            found = [span for span in self.spans if span.trace_id == trace_id]
            if len(found) >= count:
                return found
            time.sleep(0.05)
        raise AssertionError(f"only {[span.name for span in self.spans if span.trace_id == trace_id]}")


def tree(spans: list[Seen]) -> list[str]:
    """The spans as indented lines, children by name; one whose parent is not among them stands at the margin."""
    by_parent: dict[str, list[Seen]] = {}
    known = {span.span_id for span in spans}
    for span in spans:
        by_parent.setdefault(span.parent_id if span.parent_id in known else "", []).append(span)

    def lines(parent: str, depth: int) -> Iterator[str]:
        for span in sorted(by_parent.get(parent, []), key=lambda span: span.name):
            yield f"{'  ' * depth}{span.kind} {span.name}"
            yield from lines(span.span_id, depth + 1)

    return list(lines("", 0))


def _seen(span: Any, service: str) -> Seen:
    kinds = {1: "internal", 2: "server", 3: "client"}
    attributes = {a.key: getattr(a.value, a.value.WhichOneof("value")) for a in span.attributes}
    return Seen(
        span.name, kinds[span.kind], service, span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex(),
        attributes, tuple(link.trace_id.hex() for link in span.links), span.status.code == 2,
    )  # fmt: skip


@contextmanager
def collecting() -> Iterator[Collector]:
    server = grpc.server(ThreadPoolExecutor(4))
    collector = Collector()
    register: Any = trace_service_pb2_grpc.add_TraceServiceServicer_to_server
    register(collector, server)
    collector.endpoint = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield collector
    finally:
        server.stop(None)
