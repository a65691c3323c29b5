"""Hard budgets, as clients see them, and what becomes of them when processes are killed."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import httpx2
import pytest

from tests.e2e.processes import TOPOLOGIES, Mesh, four_processes
from tollway.ledger.v1 import budget_pb2, ledger_pb2_grpc

PRICE = "{provider: sim, input: $0, output: $1000}"
"""A tenth of a cent for a token of an answer."""
HI = {"messages": [{"role": "user", "content": "hi"}]}


def configuration(folder: Path, limit: str, scope: str = "project:default", **ledger: str) -> Path:
    path = folder / "tollway.yaml"
    settings = ", ".join(f"{name}: {value}" for name, value in ledger.items())
    path.write_text(
        "providers: {sim: {dialect: sim}}\n"
        "models:\n"
        "  thinks: {deployments: [{provider: sim, model: sim}]}\n"
        "  speaks: {deployments: [{provider: sim, model: 'text:rate=400,tokens=2000', can: [tools]}]}\n"
        "  other: {deployments: [{provider: sim, model: sim}]}\n"
        f"prices: [{PRICE}]\n"
        f"budgets: [{{scope: '{scope}', limit: {limit}, window: month}}]\n"
        f"ledger: {{{settings}}}\n"
    )
    return path


@contextmanager
def running(made: Mesh) -> Iterator[Mesh]:
    try:
        made.wait_until_ready()
        yield made
    finally:
        made.stop()


def ask(mesh: Mesh, model: str, **fields: Any) -> httpx2.Response:
    body = {"model": model, **HI, **fields}
    return httpx2.post(f"{mesh.base_url}/chat/completions", json=body, timeout=30)


def standing(mesh: Mesh) -> budget_pb2.BudgetStanding:
    with grpc.insecure_channel(mesh.ledger) as channel:
        ledger = ledger_pb2_grpc.LedgerServiceStub(channel)
        budgets = ledger.ListBudgets(budget_pb2.ListBudgetsRequest(), wait_for_ready=True, timeout=30)
    return budgets.standings[0] if budgets.standings else budget_pb2.BudgetStanding()


def eventually(holds: Callable[[], bool], limit: float = 30.0) -> bool:
    end = time.monotonic() + limit
    while time.monotonic() < end:
        if holds():
            return True
        time.sleep(0.2)
    return False


@pytest.mark.parametrize("topology", list(TOPOLOGIES))
def test_a_budget_is_spent_and_then_refuses_with_all_that_is_known_of_it(topology: str, tmp_path: Path) -> None:
    with running(TOPOLOGIES[topology](tmp_path, configuration(tmp_path, "$0.10"))) as mesh:
        answers = [ask(mesh, "thinks", max_tokens=20, n=1) for _ in range(8)]
        costs = [answer.headers["x-tollway-cost-usd"] for answer in answers if answer.status_code == 200]
        assert costs == ["0.02"] * 5
        refused = answers[-1]
        assert refused.status_code == 429
        error = refused.json()["error"]
        assert (error["type"], error["code"]) == ("insufficient_quota", "budget_exceeded")
        assert refused.headers["x-should-retry"] == "false"
        assert refused.headers["x-tollway-budget"] == "project:default/month"
        assert error["message"].startswith(
            "project:default may spend $0.10 a month, and has spent $0.10: nothing is left."
        )
        about = error["budget"]
        assert (about["scope"], about["limit_usd"], about["spent_usd"]) == ("project:default", "0.10", "0.10")
        assert about["window_ends"].endswith("-01T00:00:00Z")
        assert standing(mesh).spent_nanos == 100_000_000


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_that_cannot_be_paid_for_is_cut_with_an_error(stream: bool, tmp_path: Path) -> None:
    with running(TOPOLOGIES["one process"](tmp_path, configuration(tmp_path, "$1.00"))) as mesh:
        answer = ask(mesh, "speaks", stream=stream)
        if stream:
            assert answer.status_code == 200
            events = [line.removeprefix("data: ") for line in answer.text.split("\n\n") if line]
            error = json.loads(events[-1])["error"]
            assert "[DONE]" not in answer.text
            assert '"finish_reason":"' not in answer.text
        else:
            assert answer.status_code == 429
            error = answer.json()["error"]
        assert (error["type"], error["code"]) == ("insufficient_quota", "budget_exceeded")
        assert error["budget"]["limit_usd"] == "1.00"
        assert eventually(lambda: 0 < standing(mesh).spent_nanos <= 1_000_000_000)


def test_what_a_killed_router_held_of_a_budget_is_free_once_its_journal_is_home(tmp_path: Path) -> None:
    with running(four_processes(tmp_path, configuration(tmp_path, "$10.00"))) as mesh:
        assert ask(mesh, "thinks", max_tokens=20).status_code == 200
        assert standing(mesh).granted_nanos > 0
        router = mesh.processes["router"]
        router.kill()
        router.start()
        mesh.wait_until_ready()
        assert eventually(lambda: standing(mesh).granted_nanos == 0), standing(mesh)
        assert standing(mesh).spent_nanos == 20_000_000


def test_a_router_that_stops_leaves_nothing_granted(tmp_path: Path) -> None:
    with running(four_processes(tmp_path, configuration(tmp_path, "$10.00"))) as mesh:
        assert ask(mesh, "thinks", max_tokens=20).status_code == 200
        mesh.processes["gateway"].stop()
        mesh.processes["router"].stop()
        assert (standing(mesh).spent_nanos, standing(mesh).granted_nanos) == (20_000_000, 0)
        assert not list((mesh.data_dir / "journal").glob("*.db"))


def test_without_the_ledger_budgets_refuse_where_that_is_configured_and_others_go_on(tmp_path: Path) -> None:
    settings = configuration(tmp_path, "$10.00", "model:thinks", when_lost="deny")
    with running(four_processes(tmp_path, settings)) as mesh:
        mesh.processes["ledger"].kill()
        refused = ask(mesh, "thinks")
        assert refused.status_code == 503
        assert "ledger.when_lost is deny" in refused.json()["error"]["message"]
        assert ask(mesh, "other").status_code == 200
        assert httpx2.get(f"{mesh.http}/readyz").json()["budgets"] == "lost"
        # A router that starts now knows the budget all the same.
        mesh.processes["router"].kill()
        mesh.processes["router"].start()
        assert eventually(lambda: ask(mesh, "other").status_code == 200)
        assert ask(mesh, "thinks").status_code == 503
        mesh.processes["ledger"].start()
        assert eventually(lambda: ask(mesh, "thinks").status_code == 200)


def test_without_the_ledger_budgets_go_on_where_that_is_configured(tmp_path: Path) -> None:
    with running(four_processes(tmp_path, configuration(tmp_path, "$10.00"))) as mesh:
        mesh.processes["ledger"].kill()
        assert ask(mesh, "thinks").status_code == 200
        mesh.processes["ledger"].start()
        assert eventually(lambda: standing(mesh).spent_nanos == 20_000_000)
        assert standing(mesh).unleased_nanos == 20_000_000
