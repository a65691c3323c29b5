from __future__ import annotations

from mesh.clock import VirtualClock
from services.router.domain.breaker import BreakerPolicy
from services.router.domain.fleet import UNHINDERED, Fleet
from services.router.domain.routes import Deployment, Route, Routes
from services.router.handlers.list_deployments import ListDeployments, list_deployments
from tests.unit.services.router.domain.questions import NOW, deployments, offline, used_up
from tollway.router.v1 import router_pb2
from tollway.router.v1.router_pb2 import DeploymentStatus

ROUTES = Routes([Route("gpt", deployments("a", "b"), ("x/*",)), Route("x/*", (Deployment("x"),)),
                 Route("two", deployments("b", "c"))])  # fmt: skip


async def listed(fleet: Fleet, provider: str = "") -> dict[str, DeploymentStatus]:
    response = await list_deployments(ListDeployments(provider), routes=ROUTES, fleet=fleet, clock=VirtualClock())
    return {status.deployment: status for status in response.deployments}


async def test_those_configured_come_first_and_those_that_were_asked_after_them_each_once() -> None:
    fleet = Fleet()
    for name in ("b/m", "x/llama", "a/m"):
        fleet.standing(name)
    assert list(await listed(fleet)) == ["a/m", "b/m", "x/*", "c/m", "x/llama"]


async def test_those_of_one_provider_can_be_asked_for() -> None:
    assert list(await listed(Fleet(), "b")) == ["b/m"]
    assert await listed(Fleet(), "nobody") == {}


async def test_one_that_nothing_is_known_of_is_ready() -> None:
    status = (await listed(Fleet()))["a/m"]
    assert status == DeploymentStatus(deployment="a/m", state=router_pb2.DEPLOYMENT_STATE_READY)


async def test_what_is_known_is_told() -> None:
    fleet = Fleet()
    standing = fleet.standing("a/m")
    standing.in_flight = 2
    standing.pace.began(1, NOW - 0.25, streamed=True)
    standing.pace.answered(1, NOW, streamed=True)
    status = (await listed(fleet))["a/m"]
    assert (status.in_flight, status.latency.ToMilliseconds(), status.reason) == (2, 250, "")


async def test_who_is_offline_or_out_of_quota_says_why_and_until_when() -> None:
    fleet = Fleet()
    offline(fleet, "a", wait=3.0)
    used_up(fleet, "b")
    statuses = await listed(fleet)
    assert (statuses["a/m"].state, statuses["a/m"].reason) == (
        router_pb2.DEPLOYMENT_STATE_OFFLINE, "connection refused",
    )  # fmt: skip
    assert statuses["a/m"].retry_time.ToMilliseconds() == round((NOW + 3.0) * 1000)
    assert (statuses["b/m"].state, statuses["b/m"].reason) == (
        router_pb2.DEPLOYMENT_STATE_EXHAUSTED, "its provider's limit on requests is used up",
    )  # fmt: skip
    assert statuses["b/m"].retry_time.ToMilliseconds() == round((NOW + 10.0) * 1000)


async def test_one_whose_breaker_is_open_says_why_until_when_and_what_it_counts() -> None:
    fleet, policy = Fleet(), BreakerPolicy(failures=2, open_for=30.0)
    for _ in range(2):
        fleet.standing("a/m").fail(UNHINDERED, NOW, policy, "UPSTREAM_FAILED")
    status = (await listed(fleet))["a/m"]
    assert (status.state, status.failures, status.calls) == (router_pb2.DEPLOYMENT_STATE_OPEN, 2, 2)
    assert status.reason == "is left alone for 30s: 2 of its last 2 calls failed, the last with UPSTREAM_FAILED"
    assert status.retry_time.ToMilliseconds() == round((NOW + 30.0) * 1000)


async def test_a_refused_credential_shows_on_every_deployment_of_its_provider() -> None:
    fleet = Fleet()
    fleet.standing("b/m").refuse(UNHINDERED, NOW, BreakerPolicy(), "UPSTREAM_CREDENTIALS")
    fleet.standing("b/other")
    statuses = await listed(fleet)
    assert statuses["b/m"].state == statuses["b/other"].state == router_pb2.DEPLOYMENT_STATE_OPEN
