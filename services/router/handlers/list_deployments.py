"""Telling how deployments stand at this router."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mesh.clock import Clock
from mesh.mediator import Query
from services.router.domain.breaker import BreakerPolicy
from services.router.domain.fleet import Fleet, Standing
from services.router.domain.principal import Role
from services.router.domain.routes import Routes
from services.router.domain.settlement import set_time
from services.router.handlers.caller import FromCaller
from tollway.router.v1.router_pb2 import (
    DEPLOYMENT_STATE_EXHAUSTED,
    DEPLOYMENT_STATE_OFFLINE,
    DEPLOYMENT_STATE_OPEN,
    DEPLOYMENT_STATE_PROBING,
    DEPLOYMENT_STATE_READY,
    DeploymentStatus,
    ListDeploymentsResponse,
)


@dataclass(slots=True)
class ListDeployments(FromCaller, Query[ListDeploymentsResponse]):
    """Asks for those of a provider; empty: for all."""

    needs: ClassVar[Role] = Role.OPERATOR

    provider: str


async def list_deployments(
    query: ListDeployments, *, routes: Routes, fleet: Fleet, clock: Clock
) -> ListDeploymentsResponse:
    """The configured deployments in their order, then those behind patterns that were asked."""
    policies = {
        candidate.name: candidate.deployment.breaker
        for route in routes
        if (plan := None if route.name.endswith("*") else routes.plan(route.name)) is not None
        for candidate in plan.candidates
    }
    wanted = f"{query.provider}/" if query.provider else ""
    names = (name for name in dict.fromkeys((*policies, *fleet)) if name.startswith(wanted))
    return ListDeploymentsResponse(
        deployments=[_status(name, fleet, policies.get(name, BreakerPolicy()), clock) for name in names]
    )


def _status(name: str, fleet: Fleet, policy: BreakerPolicy, clock: Clock) -> DeploymentStatus:
    standing = fleet.seen(name) or Standing()
    now, wait, breaker = clock.monotonic(), 0.0, standing.breaker
    breaker.forget(now, policy)
    status = DeploymentStatus(
        deployment=name,
        state=DEPLOYMENT_STATE_READY,
        in_flight=standing.in_flight,
        failures=breaker.failures,
        calls=breaker.calls,
    )
    if (latency := standing.pace.first_content.recent) is not None:
        status.latency.FromNanoseconds(round(latency * 1e9))
    if (outage := fleet.outages.of(name.partition("/")[0])) is not None:
        status.state, status.reason, wait = DEPLOYMENT_STATE_OFFLINE, outage.why, outage.wait(now)
    elif (shut := standing.closed_to(now)) is not None:
        opened = max(each.until or 0.0 for each in (breaker, standing.credential))
        status.state = DEPLOYMENT_STATE_OPEN if opened > now else DEPLOYMENT_STATE_PROBING
        status.reason, wait = shut.reason, shut.wait
    elif (shortage := standing.quota.shortage(None, standing.begun, now)) is not None:
        status.state, status.reason, wait = DEPLOYMENT_STATE_EXHAUSTED, shortage.why, shortage.wait
    if status.state != DEPLOYMENT_STATE_READY:
        set_time(status.retry_time, clock.time() + wait)
    return status
