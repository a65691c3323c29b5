"""Prices as real processes have them: from the catalogue, with a markup, and changed while they run."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.e2e.processes import TOPOLOGIES, Mesh, Process, clean_environment, free_port

# A stand-in for OpenAI, which the catalogue knows by its name; it takes no time at all.
CONFIG = """
providers: {{openai: {{base_url: "http://127.0.0.1:{port}/v1", markup: 10%}}}}
"""


@pytest.fixture
def provider(tmp_path: Path) -> Iterator[Process]:
    port = free_port()
    (tmp_path / "tollway.yaml").write_text(CONFIG.format(port=port))
    process = Process("sim", ["sim", "--port", str(port)], tmp_path, clean_environment())
    process.start()
    yield process
    process.stop()


@pytest.fixture(params=list(TOPOLOGIES))
def mesh(request: pytest.FixtureRequest, provider: Process, tmp_path: Path) -> Iterator[Mesh]:
    mesh = TOPOLOGIES[request.param](tmp_path, tmp_path / "tollway.yaml")
    try:
        mesh.wait_until_ready()
        yield mesh
    finally:
        mesh.stop()


def tollway(mesh: Mesh, *arguments: str) -> list[str]:
    command = [sys.executable, "-m", "tollway_cli", *arguments, "--connect", mesh.ledger]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=clean_environment(), check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout.splitlines()


def ask(mesh: Mesh, model: str, request_id: str) -> str:
    """What the answer is said to cost in USD; empty where nothing is said."""
    body = {"model": model, "messages": [{"role": "user", "content": "one two three"}]}
    answer = httpx2.post(
        f"{mesh.base_url}/chat/completions", json=body, headers={"x-request-id": request_id}, timeout=30
    )
    assert answer.status_code == 200, answer.text
    return answer.headers.get("x-tollway-cost-usd", "")


def row_of(mesh: Mesh, request_id: str) -> dict[str, Any]:
    end = time.monotonic() + 20
    while True:
        rows = [json.loads(line) for line in tollway(mesh, "spend", "--rows", "100", "--json")]
        settled = [row for row in rows if row["request_id"] == request_id and row["state"] == "ATTEMPT_STATE_SETTLED"]
        if settled:
            return dict(settled[0])
        assert time.monotonic() < end, mesh.logs()
        time.sleep(0.1)


def nanos(usd: str) -> int:
    return int(Decimal(usd) * 10**9)


def test_a_model_of_the_catalogue_has_its_price_from_the_first_call_on_and_a_new_one_as_soon_as_it_is_set(
    mesh: Mesh,
) -> None:
    ask(mesh, "gpt-4o-mini", "first")
    first = row_of(mesh, "first")
    assert first["price_version"].endswith("+10%")
    assert int(first["cost_nanos"]) > 0, "the ledger priced it, even where its router could not yet"
    said = ask(mesh, "gpt-4o-mini", "second")
    assert nanos(said) == int(row_of(mesh, "second")["cost_nanos"]) == int(first["cost_nanos"])
    tollway(mesh, "prices", "set", "openai", "gpt-4o-mini", "input: 0, output: 0, request: 1")
    end = time.monotonic() + 10
    while nanos(ask(mesh, "gpt-4o-mini", "third")) != 1_100_000_000:
        assert time.monotonic() < end, mesh.logs()
    assert row_of(mesh, "first") == first, "what is booked keeps its price"
    assert not ask(mesh, "nobodys-model", "unpriced")
    assert "cost_nanos" not in row_of(mesh, "unpriced")
    assert any("nobodys-model" in line for line in tollway(mesh, "prices", "unpriced"))
    assert any("in order" in line for line in tollway(mesh, "audit"))
