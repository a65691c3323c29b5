"""What was charged is what the books say, to the nano."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx2

from tests.e2e.processes import Mesh, clean_environment


def spend(*arguments: str) -> list[dict[str, Any]]:
    command = [sys.executable, "-m", "tollway_cli", "spend", "--json", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=clean_environment(), check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def tollway(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tollway_cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=clean_environment(), check=False)


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


def test_an_audit_proves_the_books_from_the_file_and_over_the_wire_and_an_adjustment_leaves_them_in_order(
    mesh: Mesh,
) -> None:
    ask(mesh, "sim/echo", "spend-test-4")
    (row,) = attempts_of(mesh, "spend-test-4", "--connect", mesh.ledger)
    sources = (("--data-dir", str(mesh.data_dir)), ("--connect", mesh.ledger))
    for source, cost in zip(sources, ("$0.25", "$0.5"), strict=True):
        done = tollway("adjust", row["attempt_id"], "--cost", cost, "--reason", "a test", *source)
        assert done.returncode == 0, done.stderr
        assert f"costs {cost}" in done.stdout
        done = tollway("audit", *source)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "The books are in order" in done.stdout
    *_, total = spend("--connect", mesh.ledger)
    assert int(total["adjusted_nanos"]) == 500_000_000 - int(row["cost_nanos"])


def test_an_export_has_every_attempt_that_is_listed(mesh: Mesh, tmp_path: Path) -> None:
    ask(mesh, "sim", "spend-test-5")
    attempts_of(mesh, "spend-test-5", "--connect", mesh.ledger)
    for source in (("--data-dir", str(mesh.data_dir)), ("--connect", mesh.ledger)):
        listed = {row["attempt_id"] for row in spend("--rows", "1000", *source)}
        done = tollway("export", "--out", str(tmp_path / "a.csv"), *source)
        assert done.returncode == 0, done.stderr
        with (tmp_path / "a.csv").open(newline="") as file:
            assert listed <= {row["attempt_id"] for row in csv.DictReader(file)}
