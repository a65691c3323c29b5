"""Sends the measurements on: by OTLP, or to the console. Imported only when that is wanted."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence

from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    ConsoleMetricExporter,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricExporter,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from mesh.telemetry.instruments import Instrument
from mesh.telemetry.measurements import Distribution, Measurements, Series, Value
from mesh.telemetry.plan import Exports, Otlp

_log = logging.getLogger("tollway.telemetry")
_SCOPE = InstrumentationScope("tollway")
_CUMULATIVE = AggregationTemporality.CUMULATIVE


class MetricPipeline:
    """Exports everything every `interval` seconds, and once more at the end."""

    def __init__(self, exports: Exports, measurements: Measurements, resource: Resource, interval: float) -> None:
        self._exporters = [_otlp_metrics(exports.otlp)] if exports.otlp else []
        if exports.console:
            self._exporters.append(ConsoleMetricExporter())
        self._measurements, self._resource, self._interval = measurements, resource, interval
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="tollway-metrics", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._closing.set()
        self._thread.join()
        for exporter in self._exporters:
            exporter.shutdown()

    def abandon(self) -> None:
        for exporter in self._exporters:
            exporter.shutdown()

    def _run(self) -> None:
        while not self._closing.wait(self._interval):
            self._export()
        self._export()

    def _export(self) -> None:
        data = metrics_data(self._measurements, self._resource)
        for exporter in self._exporters:
            try:
                exporter.export(data)
            except Exception as error:  # noqa: BLE001 - the edge of a thread: one bad answer must not end all exports
                _log.warning("measurements are not delivered: %s", type(error).__name__)


def _otlp_metrics(otlp: Otlp) -> MetricExporter:
    if otlp.protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter as GrpcExporter

        return GrpcExporter(endpoint=otlp.endpoint)
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter as HttpExporter

    return HttpExporter(endpoint=otlp.endpoint)


def metrics_data(measurements: Measurements, resource: Resource) -> MetricsData:
    """The measurements as they are now, in the SDK's form; sums run since the process began."""
    start, now = measurements.start_ns, time.time_ns()
    metrics = [
        Metric(instrument.name, instrument.description, instrument.unit, _data(instrument, series, start, now))
        for instrument, series in measurements.read()
    ]
    return MetricsData([ResourceMetrics(resource, [ScopeMetrics(_SCOPE, metrics, "")], "")])


def _data(instrument: Instrument, series: Sequence[Series], start: int, now: int) -> Sum | Gauge | Histogram:
    if instrument.kind == "histogram":
        points = [_distribution(it, start, now) for it in series if isinstance(it, Distribution)]
        return Histogram(points, _CUMULATIVE)
    numbers = [NumberDataPoint(dict(it.labels), start, now, it.value) for it in series if isinstance(it, Value)]
    if instrument.kind == "gauge":
        return Gauge(numbers)
    return Sum(numbers, _CUMULATIVE, is_monotonic=instrument.kind == "counter")


def _distribution(series: Distribution, start: int, now: int) -> HistogramDataPoint:
    return HistogramDataPoint(
        dict(series.labels),
        start,
        now,
        series.count,
        series.sum,
        series.counts,
        series.bounds,
        series.smallest,
        series.largest,
    )
