"""Starting and stopping the real thing: `tollway` as processes, in every topology."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx2

ROOT = Path(__file__).parents[2]
START_LIMIT = 30.0
_random = random.SystemRandom()  # which nobody seeds


_PORTS = range(12_000, 30_000)
"""Below those that systems give to outgoing connections: one of these is not taken before who it is meant for is up."""


def free_port() -> int:
    while True:
        port = _random.choice(_PORTS)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def clean_environment(**extra: str) -> dict[str, str]:
    """This environment without what would configure Tollway or telemetry by accident."""
    kept = {
        k: v for k, v in os.environ.items() if not k.startswith(("TOLLWAY_", "OTEL_")) and not k.endswith("_API_KEY")
    }
    return {**kept, "NO_COLOR": "1", **extra}


class Process:
    """A `tollway` command that can be killed and started again with the same arguments."""

    def __init__(self, name: str, arguments: list[str], folder: Path, environment: dict[str, str]) -> None:
        self.name, self.arguments = name, arguments
        self._environment = environment
        self.log = folder / f"{name}.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tollway_cli", *self.arguments],
                cwd=ROOT, env=self._environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        """kill -9, and gone."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self, limit: float = 30.0) -> int:
        """SIGTERM, and the exit status."""
        assert self._process is not None
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(limit)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise AssertionError(f"{self.name} did not stop within {limit} s:\n{self.log.read_text()}") from None


@dataclass
class Mesh:
    """A running mesh. `grpc` is the router's gRPC target, `ledger` the ledger's."""

    topology: str
    http: str
    grpc: str
    ledger: str
    data_dir: Path
    processes: dict[str, Process] = field(default_factory=dict)

    @property
    def base_url(self) -> str:
        return f"{self.http}/v1"

    def wait_until_ready(self, limit: float = START_LIMIT) -> None:
        """Until every hop answers. Raises AssertionError with the logs."""
        end = time.monotonic() + limit
        while time.monotonic() < end:
            try:
                if httpx2.get(f"{self.http}/readyz", timeout=2).status_code == 200:
                    return
            except httpx2.HTTPError:
                pass
            if not all(process.running for process in self.processes.values()):
                break
            time.sleep(0.05)
        raise AssertionError(f"{self.topology} is not ready:\n{self.logs()}")

    def logs(self) -> str:
        return "\n".join(f"--- {p.name}\n{p.log.read_text()}" for p in self.processes.values() if p.log.exists())

    def stop(self) -> dict[str, int]:
        """Stops everything, front to back, and tells the exit statuses."""
        return {name: process.stop() for name, process in reversed(self.processes.items())}


def one_process(folder: Path, config: Path | None = None, **environment: str) -> Mesh:
    http, grpc = free_port(), free_port()
    arguments = ["up", "--port", str(http), "--grpc-port", str(grpc), "--data-dir", str(folder / "data")]
    if config:
        arguments += ["--config", str(config)]
    address = f"127.0.0.1:{grpc}"
    mesh = Mesh("one process", f"http://127.0.0.1:{http}", address, address, folder / "data")
    mesh.processes["up"] = Process("up", arguments, folder, clean_environment(**environment))
    mesh.processes["up"].start()
    return mesh


def four_processes(folder: Path, config: Path | None = None, **environment: str) -> Mesh:
    """Ledger, providers, router and gateway over unix sockets."""
    sockets, http = folder / "run", free_port()
    sockets.mkdir()
    at = {name: f"unix:{sockets}/{name}.sock" for name in ("ledger", "providers", "router")}
    data = folder / "data"
    behind = f"providers={at['providers']},ledger={at['ledger']}"
    commands = {
        "ledger": ["--listen", at["ledger"], "--data-dir", str(data)],
        "providers": ["--listen", at["providers"]],
        "router": ["--listen", at["router"], "--connect", behind, "--data-dir", str(data)],
        "gateway": ["--listen", f"127.0.0.1:{http}", "--connect", f"router={at['router']}"],
    }
    mesh = Mesh("four processes", f"http://127.0.0.1:{http}", at["router"], at["ledger"], data)
    environment = clean_environment(**environment)
    for name, arguments in commands.items():
        command = ["serve", name, *arguments, *(["--config", str(config)] if config else [])]
        mesh.processes[name] = Process(name, command, folder, environment)
    for process in mesh.processes.values():
        process.start()
    return mesh


TOPOLOGIES = {"one process": one_process, "four processes": four_processes}
