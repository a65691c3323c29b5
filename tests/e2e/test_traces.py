"""One exported trace a request, in every topology, as a collector sees it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.e2e.collector import Collector, collecting, tree
from tests.e2e.processes import TOPOLOGIES, Mesh

ROUTER = "tollway.router.v1.RouterService"
PROVIDERS = "tollway.providers.v1.ProviderService"
CONFIG = """
providers: {sim: {dialect: sim}}
models:
  pair:
    deployments: [{provider: sim, model: status-503}, {provider: sim, model: echo}]
  "sim/*": {deployments: [{provider: sim}]}
defaults: {retries: 0}
"""


@pytest.fixture(scope="module", params=list(TOPOLOGIES))
def traced(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Mesh, Collector]]:
    folder = tmp_path_factory.mktemp("traced")
    config = folder / "tollway.yaml"
    config.write_text(CONFIG)
    with collecting() as collector:
        environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint, "OTEL_BSP_SCHEDULE_DELAY": "200"}
        environment["OTEL_EXPORTER_OTLP_PROTOCOL"] = "grpc"
        mesh = TOPOLOGIES[request.param](folder, config, **environment)
        try:
            mesh.wait_until_ready()
            yield mesh, collector
        finally:
            mesh.stop()


def expected(
    topology: str, method: str, providers: str, path: str = "/v1/chat/completions", operation: str = "chat"
) -> list[str]:
    """Design: CLIENT and SERVER where a wire is crossed, SERVER alone in one process."""
    wire = topology == "four processes"
    lines = [f"server POST {path}"]
    depth = 1

    def rpc(name: str, depth: int) -> int:
        for kind in ("client", "server") if wire else ("server",):
            lines.append(f"{'  ' * depth}{kind} {name}")
            depth += 1
        return depth

    depth = rpc(f"{ROUTER}/{method}", depth)
    lines.append(f"{'  ' * depth}client {operation} pair")
    for attempt in ("attempt 1 sim/status-503", "attempt 2 sim/echo"):
        lines.append(f"{'  ' * (depth + 1)}internal {attempt}")
        inner = rpc(f"{PROVIDERS}/{providers}", depth + 2)
        lines.append(f"{'  ' * inner}client POST")
    return lines


def spans_of_an_answer(mesh: Mesh) -> int:
    """How many there are for a request that took one attempt."""
    return 6 if mesh.topology == "one process" else 8


@pytest.mark.parametrize(
    ("stream", "method", "providers"),
    [(False, "CreateChatCompletion", "CreateCompletion"), (True, "StreamChatCompletion", "StreamCompletion")],
)
def test_a_request_with_a_failover_is_one_tree(
    traced: tuple[Mesh, Collector], stream: bool, method: str, providers: str
) -> None:
    mesh, collector = traced
    body = {"model": "pair", "stream": stream, "messages": [{"role": "user", "content": "hi"}]}
    answer = httpx2.post(f"{mesh.base_url}/chat/completions", json=body, timeout=20)
    assert answer.status_code == 200
    assert answer.headers["x-tollway-attempts"] == "2"
    wanted = expected(mesh.topology, method, providers)
    spans = collector.trace(answer.headers["x-tollway-trace-id"], len(wanted))
    assert tree(spans) == wanted
    services = {span.service for span in spans}
    if mesh.topology == "one process":
        assert services == {"tollway"}
    else:
        assert services == {"tollway-gateway", "tollway-router", "tollway-providers"}
    (chat,) = [span for span in spans if span.name == "chat pair"]
    assert chat.attributes["gen_ai.operation.name"] == "chat"
    assert chat.attributes["gen_ai.usage.output_tokens"] > 0
    assert not chat.failed


@pytest.mark.parametrize(
    ("path", "method", "operation"),
    [
        ("/v1/embeddings", "CreateEmbeddings", "embeddings"),
        ("/v1/moderations", "Forward", "moderation"),
        ("/v1/audio/speech", "Forward", "speech"),
    ],
)
def test_what_is_no_conversation_is_the_same_tree(
    traced: tuple[Mesh, Collector], path: str, method: str, operation: str
) -> None:
    mesh, collector = traced
    answer = httpx2.post(f"{mesh.http}{path}", json={"model": "pair", "input": "hi"}, timeout=20)
    assert (answer.status_code, answer.headers["x-tollway-attempts"]) == (200, "2")
    wanted = expected(mesh.topology, method, method, path, operation)
    spans = collector.trace(answer.headers["x-tollway-trace-id"], len(wanted))
    assert tree(spans) == wanted
    (around,) = [span for span in spans if span.name == f"{operation} pair"]
    assert around.attributes["gen_ai.operation.name"] == operation


def test_an_incoming_traceparent_is_joined(traced: tuple[Mesh, Collector]) -> None:
    mesh, collector = traced
    trace_id, parent = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    body = {"model": "sim/echo", "messages": [{"role": "user", "content": "hi"}]}
    headers = {"traceparent": f"00-{trace_id}-{parent}-01"}
    answer = httpx2.post(f"{mesh.base_url}/chat/completions", json=body, headers=headers, timeout=20)
    assert answer.headers["x-tollway-trace-id"] == trace_id
    spans = collector.trace(trace_id, spans_of_an_answer(mesh))
    (edge,) = [span for span in spans if span.name == "POST /v1/chat/completions"]
    assert edge.parent_id == parent


def test_recording_is_a_trace_of_its_own_linked_to_the_requests(traced: tuple[Mesh, Collector]) -> None:
    mesh, collector = traced
    body = {"model": "sim/echo", "messages": [{"role": "user", "content": "hi"}]}
    trace_id = httpx2.post(f"{mesh.base_url}/chat/completions", json=body, timeout=20).headers["x-tollway-trace-id"]
    end = time.monotonic() + 20
    while time.monotonic() < end:
        if any("RecordAttempts" in span.name and trace_id in span.links for span in collector.spans):
            return
        time.sleep(0.1)
    raise AssertionError("no RecordAttempts span is linked to the request")


def test_a_client_that_leaves_leaves_no_span_open_and_no_error_behind(traced: tuple[Mesh, Collector]) -> None:
    mesh, collector = traced
    trace_id = "1af7651916cd43dd8448eb211c80319d"
    body = {"model": "sim/stall", "stream": True, "messages": [{"role": "user", "content": "hi"}]}
    headers = {"traceparent": f"00-{trace_id}-b7ad6b7169203331-01"}
    with httpx2.stream("POST", f"{mesh.base_url}/chat/completions", json=body, headers=headers, timeout=20) as answer:
        assert next(answer.iter_text())
    spans = collector.trace(trace_id, spans_of_an_answer(mesh))
    assert not [span.name for span in spans if span.failed]
    assert '"level":"error"' not in mesh.logs()


def test_an_unsampled_parent_exports_nothing(traced: tuple[Mesh, Collector]) -> None:
    mesh, collector = traced
    trace_id = "2af7651916cd43dd8448eb211c80319e"
    body = {"model": "sim/echo", "messages": [{"role": "user", "content": "hi"}]}
    headers = {"traceparent": f"00-{trace_id}-b7ad6b7169203331-00"}
    answer = httpx2.post(f"{mesh.base_url}/chat/completions", json=body, headers=headers, timeout=20)
    assert answer.headers["x-tollway-trace-id"] == trace_id
    marker = httpx2.post(f"{mesh.base_url}/chat/completions", json=body, timeout=20)
    collector.trace(marker.headers["x-tollway-trace-id"], spans_of_an_answer(mesh))
    assert not [span for span in collector.spans if span.trace_id == trace_id]


def test_nothing_waits_for_a_collector_that_is_not_there(tmp_path: Path) -> None:
    mesh = TOPOLOGIES["one process"](tmp_path, OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9")
    try:
        mesh.wait_until_ready()
        body = {"model": "sim/echo", "messages": [{"role": "user", "content": "hi"}]}
        assert httpx2.post(f"{mesh.base_url}/chat/completions", json=body, timeout=10).status_code == 200
    finally:
        assert mesh.stop() == {"up": 0}
