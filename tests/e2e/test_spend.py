"""What was charged is what the books say, to the nano."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from decimal import Decimal
from typing import Any

import httpx2

from tests.e2e.processes import Mesh, clean_environment


def spend(*arguments: str) -> list[dict[str, Any]]:
    command = [sys.executable, "-m", "tollway_cli", "spend", "--json", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=clean_environment(), check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def ask(mesh: Mesh, model: str, request_id: str) -> httpx2.Response:
    body = {"model": model, "messages": [{"role": "user", "content": "one two three"}]}
    headers = {"x-request-id": request_id}
    return httpx2.post(f"{mesh.base_url}/chat/completions", json=body, headers=headers, timeout=30)


def attempts_of(mesh: Mesh, request_id: str, *arguments: str) -> list[dict[str, Any]]:
    end = time.monotonic() + 15
    while True:
        rows = [row for row in spend("--rows", "1000", *arguments) if row["request_id"] == request_id]
        if (rows and all(row["state"] == "ATTEMPT_STATE_SETTLED" for row in rows)) or time.monotonic() > end:
            return rows
        time.sleep(0.1)


def test_the_header_says_what_the_row_says_read_from_the_file_and_asked_of_the_service(mesh: Mesh) -> None:
    answer = ask(mesh, "sim/echo", "spend-test-1")
    cost = Decimal(answer.headers["x-tollway-cost-usd"])
    for source in (("--data-dir", str(mesh.data_dir)), ("--connect", mesh.ledger)):
        (row,) = attempts_of(mesh, "spend-test-1", *source)
        assert Decimal(int(row["cost_nanos"])) / 10**9 == cost > 0
        assert row["trace_id"] == answer.headers["x-tollway-trace-id"]
        assert row["provenance"] == "PROVENANCE_PROVIDER_REPORTED"
        assert (row["tenant"], row["deployment"]) == ("default", "sim/echo")


def test_a_failed_attempt_has_its_row_and_costs_nothing(mesh: Mesh) -> None:
    assert ask(mesh, "sim/status-400", "spend-test-2").status_code == 400
    (row,) = attempts_of(mesh, "spend-test-2", "--data-dir", str(mesh.data_dir))
    assert row["status"] == "ATTEMPT_STATUS_FAILED"
    assert row["error_reason"] == "UPSTREAM_REJECTED"
    assert not int(row.get("cost_nanos", 0))


def test_groups_sum_to_the_total(mesh: Mesh) -> None:
    ask(mesh, "sim", "spend-test-3")
    attempts_of(mesh, "spend-test-3", "--connect", mesh.ledger)
    *groups, total = spend("--by", "model,day", "--connect", mesh.ledger)
    assert len(groups) >= 2
    for name in ("cost_nanos", "attempts", "input_tokens", "output_tokens"):
        assert sum(int(group[name]) for group in groups) == int(total[name])
