from __future__ import annotations

import io

from rich.console import Console
from typer.testing import CliRunner

from tollway.router.v1 import router_pb2 as rpc
from tollway_cli.deployments import deployments_table
from tollway_cli.main import app


def rows(*deployments: rpc.DeploymentStatus) -> list[str]:
    console = Console(width=160, file=(out := io.StringIO()))
    console.print(deployments_table(deployments))
    return [" ".join(line.split()) for line in out.getvalue().splitlines()]


def test_each_deployment_says_how_it_stands() -> None:
    fast = rpc.DeploymentStatus(deployment="a/m", state=rpc.DEPLOYMENT_STATE_READY, in_flight=2, failures=1, calls=9)
    fast.latency.FromMilliseconds(250)
    gone = rpc.DeploymentStatus(deployment="b/m", state=rpc.DEPLOYMENT_STATE_OFFLINE, reason="connection refused")
    gone.retry_time.FromSeconds(1_700_000_000)
    head, first, second = rows(fast, gone)
    assert head == "deployment state in flight first content failed why"
    assert first == "a/m ready 2 250 ms 1 of 9"
    assert second.startswith("b/m offline 0 connection refused; until about ")


def test_every_state_has_a_word() -> None:
    states = [state for state in rpc.DeploymentState.values() if state]
    told = rows(*(rpc.DeploymentStatus(deployment="a/m", state=state) for state in states))[1:]
    assert [line.split()[1] for line in told] == ["ready", "open", "probing", "offline", "exhausted"]


def test_a_router_that_is_not_there_is_told_in_a_sentence() -> None:
    result = CliRunner().invoke(app, ["deployments", "--connect", "127.0.0.1:1"])
    assert result.exit_code == 2
    assert "the router at 127.0.0.1:1 did not tell" in result.output
