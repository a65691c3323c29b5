"""The page that Prometheus reads: our measurements, and the process's own memory, CPU time and open files.

Names follow the OpenTelemetry rules for Prometheus: dots become underscores, the unit and `_total` are appended.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector, generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from mesh.metrics import Labels
from mesh.telemetry.instruments import Instrument
from mesh.telemetry.measurements import Distribution, Measurements, Series

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Page(Collector):
    """Writes the page anew each time it is asked for."""

    def __init__(self, measurements: Measurements, resource: Mapping[str, str]) -> None:
        self._measurements = measurements
        self._registry = CollectorRegistry(target_info=_labels(resource))
        self._registry.register(self)
        ProcessCollector(registry=self._registry)
        GCCollector(registry=self._registry)

    def render(self) -> bytes:
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        for instrument, series in self._measurements.read():
            yield _metric(instrument, series)


def _metric(instrument: Instrument, all_series: Sequence[Series]) -> Metric:
    name = _name(instrument)
    kind = {"updown": "gauge"}.get(instrument.kind, instrument.kind)
    metric = Metric(name, instrument.description, kind)
    for series in all_series:
        labels = _labels(series.labels)
        if isinstance(series, Distribution):
            _add_buckets(metric, name, labels, series)
        else:
            metric.add_sample(f"{name}_total" if kind == "counter" else name, labels, series.value)
    return metric


def _add_buckets(metric: Metric, name: str, labels: dict[str, str], series: Distribution) -> None:
    so_far = 0
    for bound, count in zip((*series.bounds, math.inf), series.counts, strict=True):
        so_far += count
        metric.add_sample(
            f"{name}_bucket", {**labels, "le": "+Inf" if math.isinf(bound) else str(float(bound))}, so_far
        )
    metric.add_sample(f"{name}_count", labels, so_far)
    metric.add_sample(f"{name}_sum", labels, series.sum)


def _name(instrument: Instrument) -> str:
    return instrument.name.replace(".", "_") + ("_seconds" if instrument.unit == "s" else "")


def _labels(labels: Labels) -> dict[str, str]:
    return {name.replace(".", "_"): _text(value) for name, value in labels.items()}


def _text(value: str | int | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
