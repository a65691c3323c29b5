"""Puts together what the plan says, and takes it apart again when the process ends."""

from __future__ import annotations

import asyncio
import logging
import os
import uuid
from collections.abc import Mapping, Sequence
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from mesh.config.schema import Telemetry as Settings
from mesh.metrics import Metrics
from mesh.telemetry.measurements import Measurements
from mesh.telemetry.plan import Plan, make_plan
from mesh.tracing import NoTracer, Tracer

if TYPE_CHECKING:
    from mesh.telemetry.exporters import Pipeline
    from mesh.telemetry.exposition import Page

_log = logging.getLogger("tollway.telemetry")
FLUSH_SECONDS = 3.0


class Telemetry:
    """What a process is given to tell with: a tracer and metrics. `pipelines` are what sends them on."""

    def __init__(
        self,
        tracer: Tracer,
        measurements: Measurements,
        resource: Mapping[str, str],
        pipelines: Sequence[Pipeline] = (),
    ) -> None:
        self.tracer = tracer
        self.metrics: Metrics = measurements
        self._measurements, self._resource = measurements, resource
        self._pipelines = pipelines

    def metrics_page(self) -> bytes:
        """Everything measured, in Prometheus' text format (version 0.0.4). May be called in a thread."""
        return self._page.render()

    @cached_property
    def _page(self) -> Page:
        from mesh.telemetry.exposition import Page  # prometheus-client takes 15 to 90 ms to import

        return Page(self._measurements, self._resource)

    def close(self, timeout: float = FLUSH_SECONDS) -> None:
        """Sends what is left and ends the exporters, giving up after that many seconds. A second time does nothing."""
        pipelines, self._pipelines = self._pipelines, ()
        if not pipelines:
            return
        from mesh.telemetry.exporters import close_within  # there is something to close only where this was imported

        if not close_within(pipelines, timeout):
            _log.warning("telemetry was not delivered within %g s; what was left of it is lost", timeout)

    async def aclose(self, timeout: float = FLUSH_SECONDS) -> None:
        """As `close`, for an event loop that goes on meanwhile."""
        await asyncio.to_thread(self.close, timeout)


def configure(settings: Settings, service_name: str, environ: Mapping[str, str] = os.environ) -> Telemetry:
    """The telemetry of a process that calls itself `service_name` unless `OTEL_SERVICE_NAME` says otherwise.

    `environ` says what is exported, and where to. How exporters and queues behave (OTEL_EXPORTER_OTLP_HEADERS,
    _TIMEOUT, _CERTIFICATE, _COMPRESSION, OTEL_BSP_*, OTEL_SPAN_*_LIMIT) is for the SDK, which reads the process's own
    environment, and raises ValueError or an exception of its own where it cannot make sense of that.
    """
    plan = make_plan(settings, service_name, environ)
    for warning in plan.warnings:
        _log.warning("%s", warning)
    about = {"service.instance.id": str(uuid.uuid4()), "service.version": _version(), **plan.resource}
    measurements = Measurements()
    if not plan.traces and not plan.metrics:
        return Telemetry(NoTracer(), measurements, about)
    return _exporting(plan, measurements, about)


def _exporting(plan: Plan, measurements: Measurements, about: Mapping[str, str]) -> Telemetry:
    from mesh.telemetry.exporters import SpanPipeline, make_resource, quieten

    quieten()
    resource = make_resource(about)
    tracer: Tracer = NoTracer()
    pipelines: list[Pipeline] = []
    if plan.traces:
        from mesh.telemetry.tracer import SamplingTracer

        spans = SpanPipeline(plan.traces, measurements)
        tracer = SamplingTracer(plan.sampler, resource, spans.on_end)
        pipelines.append(spans)
    if plan.metrics:
        from mesh.telemetry.metric_export import MetricPipeline  # the SDK's part for metrics takes 140 ms to import

        pipelines.append(MetricPipeline(plan.metrics, measurements, resource, plan.metric_interval))
    return Telemetry(tracer, measurements, about, pipelines)


def _version() -> str:
    try:
        return version("tollway")
    except PackageNotFoundError:  # run from a copy of the source that was never installed
        return "unknown"
