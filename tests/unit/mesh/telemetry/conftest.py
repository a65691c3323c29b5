"""Collectors to export to, and loggers as they were found."""

from __future__ import annotations

import io
import logging
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc
import pytest
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2, metrics_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

from mesh.telemetry import Telemetry
from mesh.tracing import set_current


@dataclass
class Collector:
    """What an OTLP endpoint was sent: requests, and the headers or metadata of the last."""

    url: str = ""
    traces: list[Any] = field(default_factory=list)
    metrics: list[Any] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def spans(self) -> list[Any]:
        return [
            span
            for request in self.traces
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    @property
    def measured(self) -> dict[str, Any]:
        """The last value of each instrument."""
        return {
            metric.name: metric
            for request in self.metrics
            for resource in request.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }


@contextmanager
def http_server() -> Iterator[Collector]:
    found = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            found.paths.append(self.path)
            found.headers = {name.lower(): value for name, value in self.headers.items()}
            if self.path.endswith("metrics"):
                found.metrics.append(metrics_service_pb2.ExportMetricsServiceRequest.FromString(body))
            else:
                found.traces.append(trace_service_pb2.ExportTraceServiceRequest.FromString(body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    found.url = f"http://127.0.0.1:{server.server_address[1]}"
    yield found
    server.shutdown()
    server.server_close()


@contextmanager
def grpc_server() -> Iterator[Collector]:
    found = Collector()

    class Traces(trace_service_pb2_grpc.TraceServiceServicer):
        def Export(self, request: Any, context: Any) -> Any:
            found.traces.append(request)
            found.headers = dict(context.invocation_metadata())
            return trace_service_pb2.ExportTraceServiceResponse()

    class Metrics(metrics_service_pb2_grpc.MetricsServiceServicer):
        def Export(self, request: Any, context: Any) -> Any:
            found.metrics.append(request)
            return metrics_service_pb2.ExportMetricsServiceResponse()

    server = grpc.server(ThreadPoolExecutor(2))
    add_traces: Any = trace_service_pb2_grpc.add_TraceServiceServicer_to_server
    add_metrics: Any = metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server
    add_traces(Traces(), server)
    add_metrics(Metrics(), server)
    found.url = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    yield found
    server.stop(None).wait()


@pytest.fixture
def http_collector() -> Iterator[Collector]:
    with http_server() as found:
        yield found


@pytest.fixture
def grpc_collector() -> Iterator[Collector]:
    with grpc_server() as found:
        yield found


@pytest.fixture
def silent_collector() -> Iterator[str]:
    """The URL of a collector that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def absent_collector() -> str:
    """The URL of a port where nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def closing() -> Iterator[Callable[[Telemetry], Telemetry]]:
    """Closes what a test has configured."""
    configured: list[Telemetry] = []

    def remember(telemetry: Telemetry) -> Telemetry:
        configured.append(telemetry)
        return telemetry

    yield remember
    for telemetry in configured:
        telemetry.close(0.1)


@pytest.fixture(autouse=True)
def _leave_loggers_alone() -> Iterator[None]:
    """Puts back the handlers and levels of the loggers that the code under test configures."""
    names = ("", "opentelemetry", "opentelemetry.sdk._shared_internal", "aiohttp.access", "asyncio", "sqlalchemy")
    loggers = [logging.getLogger(name) for name in names]
    before = [(logger.level, list(logger.handlers), logger.propagate) for logger in loggers]
    set_current(None)
    yield
    set_current(None)
    logging.captureWarnings(False)
    for logger, (level, handlers, propagate) in zip(loggers, before, strict=True):
        logger.setLevel(level)
        logger.handlers[:] = handlers
        logger.propagate = propagate
    # Threads that a test has given up on may have something to say yet.
    logging.getLogger("opentelemetry").handlers[:] = [logging.NullHandler()]
    logging.getLogger("opentelemetry").propagate = False


@pytest.fixture
def heard(_leave_loggers_alone: None) -> list[tuple[str, str]]:
    """What reaches the root logger: the name of the logger and the message."""
    found: list[tuple[str, str]] = []

    class Ear(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found.append((record.name, record.getMessage()))

    logging.getLogger().addHandler(Ear())
    return found


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()
