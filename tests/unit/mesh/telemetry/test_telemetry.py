"""What a process exports, and what it costs when nobody takes it."""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError
from typing import Any

import pytest
from opentelemetry.sdk.resources import Resource

from mesh.config.schema import Telemetry as Settings
from mesh.telemetry import Telemetry, configure, metric_export
from mesh.telemetry.exporters import Occasional
from mesh.telemetry.measurements import Measurements
from mesh.telemetry.plan import Exports
from mesh.tracing import Kind, NoTracer, TraceContext

Closing = Callable[[Telemetry], Telemetry]
REMOTE = TraceContext("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", True)


def run(code: str, **environ: str) -> str:
    """What a process of its own prints."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PATH": "", **environ},
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    return done.stdout


CONFIGURE = """
import sys
from mesh.config.schema import Telemetry as Settings
from mesh.telemetry import configure
from mesh.tracing import Kind
telemetry = configure(Settings(), "tollway-test")
"""


def test_with_nothing_to_export_no_heavy_library_is_imported() -> None:
    heavy = ("opentelemetry", "prometheus_client", "structlog", "grpc", "requests")
    code = CONFIGURE + f"telemetry.close()\nprint(sorted(m for m in sys.modules if m.split('.')[0] in {heavy}))"
    assert run(code, OTEL_SERVICE_NAME="x", OTEL_PROPAGATORS="b3").strip() == "[]"


def test_with_nothing_to_export_traces_have_ids_and_the_page_is_there() -> None:
    telemetry = configure(Settings(), "tollway", {"OTEL_SDK_DISABLED": "true", "OTEL_TRACES_EXPORTER": "console"})
    assert isinstance(telemetry.tracer, NoTracer)
    assert len(telemetry.tracer.start("x", Kind.SERVER, None).context.trace_id) == 32
    telemetry.metrics.count("tollway.attempts", 1, {"model": "sim"})
    page = telemetry.metrics_page().decode()
    assert 'tollway_attempts_total{model="sim"} 1.0' in page
    assert 'service_name="tollway"' in page
    telemetry.close()


def test_spans_and_measurements_reach_a_collector_over_http(
    http_collector: Any, closing: Closing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-token=abc")
    settings = Settings.model_validate({"otlp_endpoint": http_collector.url})
    telemetry = closing(configure(settings, "tollway", {"OTEL_RESOURCE_ATTRIBUTES": "team=search"}))
    span = telemetry.tracer.start("chat sim", Kind.CLIENT, REMOTE, {"gen_ai.request.model": "sim", "n": 3})
    span.event("first")
    span.fail("UPSTREAM_CUT", "gone")
    span.end()
    telemetry.metrics.record("gen_ai.client.operation.duration", 0.3, {"gen_ai.request.model": "sim"})
    telemetry.metrics.count("tollway.cost.nanos", 7, {})
    telemetry.metrics.count("http.server.active_requests", 2, {})
    telemetry.metrics.gauge("tollway.journal.pending", 5, {})
    telemetry.close()
    assert sorted(set(http_collector.paths)) == ["/v1/metrics", "/v1/traces"]
    assert http_collector.headers["x-token"] == "abc"
    (exported,) = http_collector.spans
    assert (exported.name, exported.trace_id.hex(), exported.parent_span_id.hex()) == (
        "chat sim", REMOTE.trace_id, REMOTE.span_id)  # fmt: skip
    assert exported.status.code == 2
    assert [event.name for event in exported.events] == ["first"]
    resource = {it.key: it.value.string_value for it in http_collector.traces[0].resource_spans[0].resource.attributes}
    assert (resource["service.name"], resource["team"]) == ("tollway", "search")
    assert resource["service.version"]
    assert resource["telemetry.sdk.name"] == "opentelemetry"
    measured = http_collector.measured
    (point,) = measured["gen_ai.client.operation.duration"].histogram.data_points
    assert (point.count, point.sum, point.min, point.max, sum(point.bucket_counts)) == (1, 0.3, 0.3, 0.3, 1)
    assert measured["tollway.cost.nanos"].sum.is_monotonic
    assert measured["tollway.cost.nanos"].sum.data_points[0].as_int == 7
    assert not measured["http.server.active_requests"].sum.is_monotonic
    assert measured["tollway.journal.pending"].gauge.data_points[0].as_int == 5


def test_spans_and_measurements_reach_a_collector_over_grpc(grpc_collector: Any, closing: Closing) -> None:
    environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": grpc_collector.url, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}
    telemetry = closing(configure(Settings(), "tollway", environ))
    telemetry.tracer.start("x", Kind.SERVER, None).end()
    telemetry.metrics.count("tollway.attempts", 1, {})
    telemetry.close()
    assert [span.name for span in grpc_collector.spans] == ["x"]
    assert grpc_collector.measured["tollway.attempts"].sum.data_points[0].as_int == 1
    assert 'tollway_telemetry_spans_total{outcome="exported"} 1.0' in telemetry.metrics_page().decode()


def test_measurements_are_sent_again_and_again(http_collector: Any, closing: Closing) -> None:
    environ = {
        "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": http_collector.url + "/own/metrics",
        "OTEL_METRIC_EXPORT_INTERVAL": "20",
    }
    telemetry = closing(configure(Settings(), "tollway", environ))
    assert isinstance(telemetry.tracer, NoTracer)
    telemetry.metrics.count("tollway.attempts", 1, {})
    deadline = time.monotonic() + 5
    while len(http_collector.metrics) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(http_collector.metrics) >= 3
    assert set(http_collector.paths) == {"/own/metrics"}


def test_the_sampler_decides_for_roots_and_callers_for_the_rest(http_collector: Any, closing: Closing) -> None:
    settings = Settings.model_validate({"otlp_endpoint": http_collector.url, "sample": 0})
    telemetry = closing(
        configure(settings, "tollway", {"OTEL_METRICS_EXPORTER": "none", "OTEL_TRACES_SAMPLER": "always_on"})
    )
    telemetry.tracer.start("own", Kind.SERVER, None).end()
    telemetry.tracer.start("joined", Kind.SERVER, REMOTE).end()
    telemetry.close()
    assert [span.name for span in http_collector.spans] == ["joined"]


def test_the_console_shows_spans_and_measurements_as_json() -> None:
    code = CONFIGURE + (
        "telemetry.tracer.start('hello', Kind.SERVER, None).end()\n"
        "telemetry.metrics.count('tollway.attempts', 1, {})\ntelemetry.close()"
    )
    printed = run(code, OTEL_TRACES_EXPORTER="console", OTEL_METRICS_EXPORTER="console")
    decoder = json.JSONDecoder()
    shown, at = [], 0
    while at < len(printed.rstrip()):
        value, at = decoder.raw_decode(printed, at + len(printed[at:]) - len(printed[at:].lstrip()))
        shown.append(value)
    (span,) = (it for it in shown if it.get("name") == "hello")
    assert span["resource"]["attributes"]["service.name"] == "tollway-test"
    assert any("resource_metrics" in it for it in shown)


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
@pytest.mark.parametrize("collector", ["absent_collector", "silent_collector"])
def test_a_dead_collector_holds_nothing_up_and_is_mentioned_once(
    protocol: str,
    collector: str,
    request: pytest.FixtureRequest,
    heard: list[tuple[str, str]],
    closing: Closing,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "10")
    environ = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": request.getfixturevalue(collector),
        "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
        "OTEL_METRIC_EXPORT_INTERVAL": "20",
    }
    telemetry = closing(configure(Settings(), "tollway", environ))
    began = time.perf_counter()
    for _ in range(5000):  # more than the queue holds
        telemetry.tracer.start("x", Kind.SERVER, None).end()
    assert time.perf_counter() - began < 8.0  # the first batch alone is given ten
    began = time.perf_counter()
    telemetry.close(0.3)
    assert time.perf_counter() - began < 5.0
    telemetry.close(0.3)
    assert len(heard) <= 2
    assert ("tollway.telemetry", "telemetry was not delivered within 0.3 s; what was left of it is lost") in heard
    assert {name for name, _ in heard} == {"tollway.telemetry"}


def test_a_collector_that_was_given_up_on_is_not_tried_again(absent_collector: str, closing: Closing) -> None:
    for protocol in ("grpc", "http/protobuf"):
        environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": absent_collector, "OTEL_EXPORTER_OTLP_PROTOCOL": protocol}
        telemetry = closing(configure(Settings(), "tollway", environ))
        telemetry.tracer.start("x", Kind.SERVER, None).end()
        telemetry.close(0.1)
    names = ("OtelBatch", "tollway-")
    for thread in [thread for thread in threading.enumerate() if thread.name.startswith(names)]:
        thread.join(3)
        assert not thread.is_alive()


def test_what_could_not_be_sent_is_counted(
    absent_collector: str, closing: Closing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.1")
    environ = {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": absent_collector}
    telemetry = closing(configure(Settings(), "tollway", environ))
    telemetry.tracer.start("x", Kind.SERVER, None).end()
    telemetry.close()
    assert 'tollway_telemetry_spans_total{outcome="failed"} 1.0' in telemetry.metrics_page().decode()


def test_what_the_sdk_says_becomes_one_warning_a_minute(heard: list[tuple[str, str]]) -> None:
    now = [1000.0]
    sdk = logging.getLogger("opentelemetry.exporter.something")
    logging.getLogger("opentelemetry").addHandler(Occasional(lambda: now[0]))
    logging.getLogger("opentelemetry").propagate = False
    for number in range(3):
        sdk.error("no collector %d", number)
    now[0] += 61
    sdk.info("never mind")
    sdk.warning("still none")
    assert heard == [
        ("tollway.telemetry", "telemetry is not delivered: no collector 0"),
        ("tollway.telemetry", "telemetry is not delivered: still none (2 messages before this were not shown)"),
    ]


def test_the_sdk_is_quietened_once_however_often_telemetry_is_configured(closing: Closing) -> None:
    for _ in range(2):
        closing(configure(Settings(), "tollway", {"OTEL_TRACES_EXPORTER": "otlp"}))
    assert len([it for it in logging.getLogger("opentelemetry").handlers if isinstance(it, Occasional)]) == 1


def test_what_is_wrong_with_the_variables_is_logged(heard: list[tuple[str, str]]) -> None:
    configure(Settings(), "tollway", {"OTEL_TRACES_EXPORTER": "zipkin"}).close()
    (said,) = heard
    assert "OTEL_TRACES_EXPORTER=zipkin is not supported" in said[1]


async def test_closing_leaves_the_event_loop_alone(silent_collector: str, closing: Closing) -> None:
    telemetry = closing(configure(Settings.model_validate({"otlp_endpoint": silent_collector}), "tollway", {}))
    telemetry.tracer.start("x", Kind.SERVER, None).end()
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0.01)

    counting = asyncio.create_task(count())
    await telemetry.aclose(0.2)
    counting.cancel()
    assert turns >= 5


def test_a_process_with_a_dead_collector_ends_at_once(silent_collector: str) -> None:
    code = CONFIGURE + "telemetry.tracer.start('x', Kind.SERVER, None).end()\ntelemetry.close(0.1)\nprint('done')"
    for protocol in ("grpc", "http/protobuf"):
        began = time.monotonic()
        assert run(code, OTEL_EXPORTER_OTLP_ENDPOINT=silent_collector, OTEL_EXPORTER_OTLP_PROTOCOL=protocol) == "done\n"
        assert time.monotonic() - began < 5


class _BrokenOnce:
    """An exporter that throws the first time."""

    def __init__(self) -> None:
        self.exported: list[Any] = []
        self.ended = False

    def export(self, data: Any) -> None:
        self.exported.append(data)
        if len(self.exported) == 1:
            raise RuntimeError("secret details")

    def shutdown(self) -> None:
        self.ended = True


def test_an_exporter_that_throws_does_not_end_all_exports(
    heard: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    exporter = _BrokenOnce()
    monkeypatch.setattr(metric_export, "ConsoleMetricExporter", lambda: exporter)
    pipeline = metric_export.MetricPipeline(Exports(console=True), Measurements(), Resource({}), 0.01)
    deadline = time.monotonic() + 5
    while len(exporter.exported) < 2 and time.monotonic() < deadline:
        time.sleep(0.005)
    pipeline.close()
    assert len(exporter.exported) >= 2
    assert exporter.ended
    assert heard == [("tollway.telemetry", "measurements are not delivered: RuntimeError")]


def test_a_copy_that_was_never_installed_has_no_version(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr("mesh.telemetry.telemetry.version", missing)
    page = configure(Settings(), "tollway", {}).metrics_page().decode()
    assert 'service_version="unknown"' in page
