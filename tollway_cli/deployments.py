"""`tollway deployments`: how deployments stand at a router."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import grpc
from rich.table import Table
from rich.text import Text

from mesh.errors import TollwayError
from mesh.status import from_rpc_error
from tollway.router.v1 import router_pb2
from tollway.router.v1.router_pb2_grpc import RouterServiceStub
from tollway_cli.asking import Metadata, channel, metadata, sentence
from tollway_cli.refusal import refuse
from tollway_cli.terminal import console

_TIMEOUT = 30.0
_STATES = {
    router_pb2.DEPLOYMENT_STATE_READY: ("ready", "green"),
    router_pb2.DEPLOYMENT_STATE_OPEN: ("open", "red"),
    router_pb2.DEPLOYMENT_STATE_PROBING: ("probing", "yellow"),
    router_pb2.DEPLOYMENT_STATE_OFFLINE: ("offline", "red"),
    router_pb2.DEPLOYMENT_STATE_EXHAUSTED: ("exhausted", "yellow"),
}


def deployments_table(deployments: Sequence[router_pb2.DeploymentStatus]) -> Table:
    """Deployments, one a row."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("deployment", overflow="fold")
    table.add_column("state", no_wrap=True)
    for name in ("in flight", "first content", "failed"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("why", overflow="fold")
    for status in deployments:
        state, style = _STATES.get(status.state, ("unknown", "dim"))
        table.add_row(
            Text(status.deployment),
            Text(state, style=style),
            str(status.in_flight),
            _latency(status),
            f"{status.failures} of {status.calls}" if status.calls else "",
            Text(_why(status)),
        )
    return table


def _latency(status: router_pb2.DeploymentStatus) -> str:
    seconds = status.latency.ToTimedelta().total_seconds()
    if not status.HasField("latency"):
        return ""
    return f"{seconds * 1000:,.0f} ms" if seconds < 10 else f"{seconds:,.0f} s"


def _why(status: router_pb2.DeploymentStatus) -> str:
    if not status.HasField("retry_time"):
        return status.reason
    until = datetime.fromtimestamp(status.retry_time.seconds).astimezone()
    return f"{status.reason}; until about {until:%H:%M:%S}"


def run_deployments(connect: str, provider: str, key: str, config: Path | None) -> None:
    try:
        deployments = asyncio.run(_asked(connect, provider, metadata(key), config))
    except TollwayError as error:
        refuse(f"the router at {connect} did not tell: {sentence(error)}")
    console().print(deployments_table(deployments))


async def _asked(
    target: str, provider: str, shown: Metadata, config: Path | None
) -> Sequence[router_pb2.DeploymentStatus]:
    async with channel(target, config) as to_router:
        stub = RouterServiceStub(to_router)
        try:
            request = router_pb2.ListDeploymentsRequest(provider=provider)
            return (await stub.ListDeployments(request, metadata=shown, timeout=_TIMEOUT)).deployments
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from None
