from __future__ import annotations

import asyncio

import grpc
import pytest
from grpc_health.v1 import health_pb2

from gateway_http import health
from tests.unit.gateway_http.conftest import OpenEdge
from tests.unit.gateway_http.edge import Edge

ROUTER, PROVIDERS, LEDGER = health.HOPS


async def test_a_process_that_answers_lives(edge: Edge) -> None:
    reply = await edge.ask("GET", "/healthz")

    assert (reply.status, reply.json) == (200, {"status": "ok"})


async def test_an_edge_is_ready_when_every_hop_answers(edge: Edge) -> None:
    reply = await edge.ask("GET", "/readyz")

    assert reply.status == 200
    assert reply.json == {
        "status": "ready",
        "services": dict.fromkeys(health.HOPS, "SERVING"),
        "state": "ok",
        "budgets": "ok",
    }


@pytest.mark.parametrize(
    ("status", "shown"),
    [(health_pb2.HealthCheckResponse.NOT_SERVING, "lost"), (grpc.StatusCode.NOT_FOUND, "unknown")],
)
async def test_an_edge_is_ready_without_shared_state_and_says_so(edge: Edge, status: int, shown: str) -> None:
    edge.health.statuses["tollway.state"] = status

    reply = await edge.ask("GET", "/readyz")

    assert (reply.status, reply.json["status"], reply.json["state"]) == (200, "ready", shown)


@pytest.mark.parametrize(
    ("status", "shown"),
    [
        (health_pb2.HealthCheckResponse.NOT_SERVING, "NOT_SERVING"),
        (grpc.StatusCode.UNAVAILABLE, "UNAVAILABLE"),
        (grpc.StatusCode.NOT_FOUND, "NOT_FOUND"),
    ],
)
async def test_the_hop_that_does_not_answer_is_named(edge: Edge, status: int, shown: str) -> None:
    edge.health.statuses[LEDGER] = status

    reply = await edge.ask("GET", "/readyz")

    assert reply.status == 503
    assert reply.json == {
        "status": "not ready",
        "services": {ROUTER: "SERVING", PROVIDERS: "SERVING", LEDGER: shown},
        "state": "ok",
        "budgets": "ok",
    }


async def test_a_hop_that_hangs_does_not_hang_the_answer(edge: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "_ANSWER_WITHIN", 0.05)
    edge.health.statuses[PROVIDERS] = asyncio.Event()

    async with asyncio.timeout(1):
        reply = await edge.ask("GET", "/readyz")

    assert (reply.status, reply.json["services"][PROVIDERS]) == (503, "DEADLINE_EXCEEDED")


async def test_metrics_are_the_page_that_was_given(open_edge: OpenEdge) -> None:
    edge = await open_edge(metrics_page=lambda: b"requests_total 1\n")

    reply = await edge.ask("GET", "/metrics")

    assert reply.body == b"requests_total 1\n"
    assert reply.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"


async def test_without_a_page_there_are_no_metrics(edge: Edge) -> None:
    assert (await edge.ask("GET", "/metrics")).status == 404


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
async def test_probes_leave_no_spans_and_have_an_id_all_the_same(edge: Edge, path: str) -> None:
    reply = await edge.ask("GET", path)

    assert edge.tracer.spans == []
    assert len(reply.headers["x-tollway-trace-id"]) == 32
