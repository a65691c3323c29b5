"""The SDK's exporters, built to plan, and the threads they work in. Imported only when something is exported.

Nothing here is waited for while requests are answered: spans go into a bounded queue that drops what a slow collector
leaves behind, measurements are sent by a thread of their own, and what the exporters log is told once a minute.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SpanExporter, SpanExportResult

from mesh.metrics import Metrics
from mesh.telemetry.plan import Exports, Otlp

_log = logging.getLogger("tollway.telemetry")
_SDK_LOGGER = "opentelemetry"
_QUEUE_LOGGER = "opentelemetry.sdk._shared_internal"
QUIET_SECONDS = 60.0


def make_resource(attributes: Mapping[str, str]) -> Resource:
    """Who exports, the SDK's own name and version included."""
    return Resource.create(attributes)


class SpanPipeline:
    """Takes ended spans to every exporter there is."""

    def __init__(self, exports: Exports, metrics: Metrics) -> None:
        self._exporters = [_otlp_spans(exports.otlp)] if exports.otlp else []
        if exports.console:
            self._exporters.append(ConsoleSpanExporter())
        self._processors: list[SpanProcessor] = [BatchSpanProcessor(_Counted(it, metrics)) for it in self._exporters]

    def on_end(self, span: ReadableSpan) -> None:
        for processor in self._processors:
            processor.on_end(span)

    def close(self) -> None:
        for processor in self._processors:
            processor.shutdown()

    def abandon(self) -> None:
        for exporter in self._exporters:
            exporter.shutdown()


class _Counted(SpanExporter):
    """Another exporter, with a count of what became of the spans."""

    def __init__(self, exporter: SpanExporter, metrics: Metrics) -> None:
        self._exporter, self._metrics = exporter, metrics

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        outcome = "failed"
        try:
            result = self._exporter.export(spans)
            outcome = "exported" if result is SpanExportResult.SUCCESS else "failed"
        finally:
            self._metrics.count("tollway.telemetry.spans", len(spans), {"outcome": outcome})
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()


def _otlp_spans(otlp: Otlp) -> SpanExporter:
    if otlp.protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter

        return GrpcExporter(endpoint=otlp.endpoint)
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter

    return HttpExporter(endpoint=otlp.endpoint)


def quieten() -> None:
    """Has the SDK log at most once a minute, as a warning of ours, and not at all for each span it drops."""
    sdk = logging.getLogger(_SDK_LOGGER)
    if not any(isinstance(handler, Occasional) for handler in sdk.handlers):
        sdk.addHandler(Occasional())
    sdk.propagate = False
    logging.getLogger(_QUEUE_LOGGER).setLevel(logging.ERROR)


class Occasional(logging.Handler):
    """Passes one record a minute on to our own logger, and says how many it kept back."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        super().__init__(logging.WARNING)
        self._now = now
        self._next = 0.0
        self._kept_back = 0

    def emit(self, record: logging.LogRecord) -> None:
        now = self._now()
        if now < self._next:
            self._kept_back += 1
            return
        more = f" ({self._kept_back} messages before this were not shown)" if self._kept_back else ""
        self._next, self._kept_back = now + QUIET_SECONDS, 0
        _log.warning("telemetry is not delivered: %s%s", record.getMessage(), more)


class Pipeline(Protocol):
    """Something that sends."""

    def close(self) -> None:
        """Sends what is left, however long that takes, and ends."""

    def abandon(self) -> None:
        """Ends at once whatever `close` is still trying."""


def close_within(pipelines: Sequence[Pipeline], timeout: float) -> bool:
    """Closes all of them side by side; False if that took longer than so many seconds and they were abandoned."""
    deadline = time.monotonic() + timeout
    threads = [threading.Thread(target=it.close, name="tollway-close-telemetry", daemon=True) for it in pipelines]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    late = [pipeline for pipeline, thread in zip(pipelines, threads, strict=True) if thread.is_alive()]
    for pipeline in late:
        pipeline.abandon()
    return not late
