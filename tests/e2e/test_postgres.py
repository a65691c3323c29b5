"""Two meshes on one PostgreSQL ledger: what both called is in one book, and the book is in order."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests import postgres
from tests.e2e.processes import Mesh, clean_environment, one_process

DATABASE = "tollway_e2e"


@pytest.fixture
def ledger_url(postgres_url: str) -> Iterator[str]:
    postgres.query(postgres_url, f"CREATE DATABASE {DATABASE}")
    yield postgres.database(postgres_url, DATABASE)
    postgres.query(postgres_url, f"DROP DATABASE {DATABASE} WITH (FORCE)")


@pytest.fixture
def meshes(ledger_url: str, tmp_path: Path) -> Iterator[list[Mesh]]:
    made = []
    try:
        for name in ("one", "other"):  # at once: both find the database empty
            (tmp_path / name).mkdir()
            made.append(one_process(tmp_path / name, TOLLWAY_LEDGER__URL=ledger_url))
        for mesh in made:
            mesh.wait_until_ready()
        yield made
    finally:
        for mesh in made:
            mesh.stop()


def tollway(url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tollway_cli", *arguments]
    environment = clean_environment(TOLLWAY_LEDGER__URL=url)
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment, check=False)


def total(url: str) -> dict[str, Any]:
    done = tollway(url, "spend", "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_two_meshes_keep_one_book_in_postgresql(meshes: list[Mesh], ledger_url: str) -> None:
    body = {"model": "sim/echo", "messages": [{"role": "user", "content": "one two three"}]}

    def ask(number: int) -> int:
        mesh = meshes[number % 2]
        answer = httpx2.post(f"{mesh.base_url}/chat/completions", json=body, timeout=30)
        assert answer.status_code == 200
        return round(float(answer.headers["x-tollway-cost-usd"]) * 1e9)

    with ThreadPoolExecutor(8) as pool:
        costs = list(pool.map(ask, range(40)))
    meshes[0].processes["up"].kill()  # with what its journal holds, which it ships when it is back
    meshes[0].processes["up"].start()
    meshes[0].wait_until_ready()
    end = time.monotonic() + 20
    while total(ledger_url)["attempts"] != "40" and time.monotonic() < end:
        time.sleep(0.2)
    found = total(ledger_url)
    assert (found["attempts"], int(found["cost_nanos"])) == ("40", sum(costs))
    done = tollway(ledger_url, "audit")
    assert done.returncode == 0, done.stdout + done.stderr
