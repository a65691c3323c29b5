"""A provider that goes away and comes back, as real processes see it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.e2e.processes import TOPOLOGIES, Mesh, Process, clean_environment, free_port

CONFIG = """
providers: {{far: {{base_url: "http://127.0.0.1:{port}/v1"}}}}
models: {{m: {{deployments: [{{provider: far, model: sim}}]}}}}
defaults: {{retries: 0}}
"""
QUESTION = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


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


def ask(mesh: Mesh, until: int, limit: float = 20.0) -> httpx2.Response:
    """Asks again and again, until the answer has that status."""
    end = time.monotonic() + limit
    while True:
        answer = httpx2.post(f"{mesh.base_url}/chat/completions", json=QUESTION, timeout=10)
        if answer.status_code == until:
            return answer
        assert time.monotonic() < end, f"{answer.status_code} {answer.text}\n{mesh.logs()}"
        time.sleep(0.1)


def test_a_provider_that_is_gone_is_not_asked_and_comes_back_by_itself(mesh: Mesh, provider: Process) -> None:
    ask(mesh, until=200)
    provider.kill()
    for _ in range(3):
        assert ask(mesh, until=503).json()["error"]["code"] == "upstream_unreachable"
    refused = ask(mesh, until=503)
    assert refused.json()["error"]["code"] == "no_deployment_ready"
    assert refused.json()["error"]["candidates"] == ["far/sim: its provider is offline"]
    assert 1 <= int(refused.headers["retry-after"]) <= 15
    assert "x-should-retry" not in refused.headers
    provider.start()
    assert ask(mesh, until=200).headers["x-tollway-deployment"] == "far/sim"
