"""Starting, declining to start, and stopping."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.e2e.processes import ROOT, TOPOLOGIES, Mesh, Process, clean_environment, free_port

SLOW = {
    "model": "sim/text:rate=20,tokens=30",
    "stream": True,
    "messages": [{"role": "user", "content": "hi"}],
}


@pytest.fixture(params=list(TOPOLOGIES))
def own_mesh(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Mesh]:
    """A mesh of the test's own, to stop."""
    mesh = TOPOLOGIES[request.param](tmp_path)
    try:
        mesh.wait_until_ready()
        yield mesh
    finally:
        mesh.stop()


def tollway(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tollway_cli", *arguments]
    return subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, timeout=60, env=clean_environment(), check=False
    )


def test_sigterm_lets_a_running_stream_finish_and_exits_with_zero(own_mesh: Mesh) -> None:
    received: list[str] = []
    first = threading.Event()

    def read() -> None:
        with httpx2.stream("POST", f"{own_mesh.base_url}/chat/completions", json=SLOW, timeout=30) as answer:
            for line in answer.iter_lines():
                received.append(line)
                first.set()

    reader = threading.Thread(target=read)
    reader.start()
    assert first.wait(20)
    statuses = own_mesh.stop()
    reader.join(20)
    assert received[-2:] == ["data: [DONE]", ""] or received[-1] == "data: [DONE]"
    assert statuses == dict.fromkeys(statuses, 0), own_mesh.logs()


def test_everything_that_was_answered_is_booked_when_it_has_stopped(own_mesh: Mesh) -> None:
    body = {"model": "sim/echo", "messages": [{"role": "user", "content": "hi"}]}
    for _ in range(20):
        httpx2.post(f"{own_mesh.base_url}/chat/completions", json=body, timeout=20)
    own_mesh.stop()
    shown = tollway("spend", "--json", "--rows", "100", "--data-dir", str(own_mesh.data_dir))
    assert shown.stdout.count("ATTEMPT_STATE_SETTLED") == 20


def test_readiness_names_the_hop_that_does_not_answer(tmp_path: Path) -> None:
    mesh = TOPOLOGIES["four processes"](tmp_path)
    try:
        mesh.wait_until_ready()
        mesh.processes["providers"].kill()
        answer = httpx2.get(f"{mesh.http}/readyz", timeout=20)
        assert answer.status_code == 503
        hops = answer.json()["services"]
        assert hops["tollway.providers.v1.ProviderService"] == "NOT_SERVING"
        assert hops["tollway.router.v1.RouterService"] == hops["tollway.ledger.v1.LedgerService"] == "SERVING"
        assert httpx2.get(f"{mesh.http}/healthz", timeout=20).status_code == 200
    finally:
        mesh.stop()


def test_the_banner_is_a_sign_that_it_serves(own_mesh: Mesh) -> None:
    if own_mesh.topology != "one process":
        assert "listening" in own_mesh.processes["gateway"].log.read_text()
        return
    banner = own_mesh.processes["up"].log.read_text()
    for part in (own_mesh.base_url, own_mesh.grpc, "sim", "curl", "tollway spend --data-dir"):
        assert part in banner


def test_a_port_that_is_taken_is_said_in_a_sentence(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = tollway("up", "--port", port, "--grpc-port", "0", "--data-dir", str(tmp_path))
    assert done.returncode == 2
    assert port in done.stderr
    assert "Traceback" not in done.stderr


def test_up_declines_to_listen_beyond_loopback_without_keys(tmp_path: Path) -> None:
    (tmp_path / "tollway.yaml").write_text('http: {listen: "0.0.0.0:8080"}\n')
    done = tollway("up", "--data-dir", str(tmp_path / "data"), cwd=tmp_path)
    assert done.returncode == 2
    assert "0.0.0.0" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_an_internal_service_declines_to_listen_beyond_loopback_in_clear_text(tmp_path: Path) -> None:
    done = tollway("serve", "providers", "--listen", "0.0.0.0:0", "--data-dir", str(tmp_path))
    assert done.returncode == 2
    assert "--allow-insecure" in done.stderr
    assert "tls" in done.stderr.lower()


def test_serve_says_what_a_service_needs(tmp_path: Path) -> None:
    done = tollway("serve", "router", "--listen", f"unix:{tmp_path}/r.sock", "--data-dir", str(tmp_path))
    assert done.returncode == 2
    assert "--connect providers=ADDRESS" in done.stderr


def test_a_broken_configuration_is_told_whole_with_lines(tmp_path: Path) -> None:
    (tmp_path / "tollway.yaml").write_text("http:\n  listen: 8080\nmodles: {}\ndefaults: {retries: -1}\n")
    done = tollway("check", cwd=tmp_path)
    assert done.returncode == 1
    for part in ("tollway.yaml:2", "tollway.yaml:3", "tollway.yaml:4", "did you mean models"):
        assert part in done.stderr


def test_a_good_configuration_is_summed_up(tmp_path: Path) -> None:
    assert "sim" in tollway("check", cwd=tmp_path).stdout


def test_models_lists_every_fault_the_sim_can_show(tmp_path: Path) -> None:
    shown = tollway("models", cwd=tmp_path)
    for name in ("sim/echo", "sim/status-503", "sim/cut", "sim/stall", "sim/silence", "sim/malformed", "sim/reset"):
        assert name in shown.stdout, shown.stderr


def test_spend_without_a_ledger_says_where_it_looked(tmp_path: Path) -> None:
    done = tollway("spend", "--data-dir", str(tmp_path / "nowhere"))
    assert done.returncode == 2
    assert "nowhere" in done.stderr


def test_a_client_that_goes_away_stops_the_upstream_call(tmp_path: Path) -> None:
    port = free_port()
    upstream = Process("sim", ["sim", "--port", str(port)], tmp_path, clean_environment())
    upstream.start()
    config = tmp_path / "tollway.yaml"
    config.write_text(f'providers: {{up: {{base_url: "http://127.0.0.1:{port}/v1"}}}}\n')
    mesh = TOPOLOGIES["four processes"](tmp_path, config)
    try:
        mesh.wait_until_ready()
        body = {**SLOW, "model": "up/text:rate=10,tokens=1000"}
        with httpx2.stream("POST", f"{mesh.base_url}/chat/completions", json=body, timeout=20) as answer:
            assert next(answer.iter_text())
        end = time.monotonic() + 5
        while not (seen := httpx2.get(f"http://127.0.0.1:{port}/_sim/calls", timeout=5).json())["cut"]:
            assert time.monotonic() < end, seen
            time.sleep(0.02)
    finally:
        mesh.stop()
        upstream.stop()
