"""The processes of what is measured: started, watched through /proc (Linux only), and stopped."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
START_LIMIT = 30.0
STOP_LIMIT = 45.0
_TICKS, _PAGE = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")
_QUESTION = json.dumps({"model": "mock", "messages": [{"role": "user", "content": "hello"}]})

Command = Sequence[str]


class BenchError(Exception):
    """The figures cannot be had. The message says why."""


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass(slots=True)
class System:
    """What answers at a port: one process or several."""

    name: str
    port: int
    pids: Sequence[int]
    first_answer: float
    """Seconds from the start of its first process to its first whole answer."""

    def cpu_seconds(self) -> float:
        """User and system time so far, of all threads of all processes."""
        return sum(_cpu_ticks(pid) for pid in self.pids) / _TICKS

    def memory_bytes(self) -> int:
        """Resident memory, shared pages counted in each process."""
        return sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in self.pids) * _PAGE

    def settle(self) -> None:
        """Waits until what a load left behind (shipping, booking) is done, so that it is counted too."""
        until, before = time.monotonic() + 10, self.cpu_seconds()
        while time.monotonic() < until:
            time.sleep(0.3)
            if (now := self.cpu_seconds()) - before <= 0.01:
                return
            before = now


def _cpu_ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


@contextmanager
def running(name: str, port: int, commands: Mapping[str, Command], folder: Path) -> Iterator[System]:
    """The system, once it has answered a first question; stopped on leaving, by SIGTERM and in reverse order.

    `commands` are its processes by name, in the order they are started; `folder` takes what they log. Raises
    BenchError where it does not answer within START_LIMIT, with what was logged, or does not stop within STOP_LIMIT.
    """
    with ExitStack() as stack:
        started = time.perf_counter()
        processes = [stack.enter_context(_process(part, command, folder)) for part, command in commands.items()]
        try:
            first_answer = _first_answer(port, started, processes)
        except BenchError as error:
            logs = [f"--- {log.stem}\n{log.read_text()[-3000:]}" for log in sorted(folder.glob("*.log"))]
            raise BenchError("\n".join([f"{name} does not answer: {error}", *logs])) from error
        yield System(name, port, [process.pid for process in processes], first_answer)


@contextmanager
def _process(name: str, command: Command, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("OTEL_", "TOLLWAY_"))}
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(STOP_LIMIT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise BenchError(f"{name} did not stop within {STOP_LIMIT:.0f} s of SIGTERM") from None


def _first_answer(port: int, started: float, processes: Sequence[subprocess.Popen[bytes]]) -> float:
    while True:
        try:
            status, body = _ask(port)
        except (OSError, http.client.HTTPException) as nobody:
            status, body = 0, repr(nobody)
        passed = time.perf_counter() - started
        if status == 200:
            return passed
        if passed > START_LIMIT or any(process.poll() is not None for process in processes):
            raise BenchError(f"{status or 'nobody there'} after {passed:.1f} s: {body}")
        time.sleep(0.01)


def _ask(port: int) -> tuple[int, str]:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=5)) as connection:
        connection.request(
            "POST",
            "/v1/chat/completions",
            _QUESTION,
            {"Content-Type": "application/json", "Authorization": "Bearer sk-bench"},
        )
        response = connection.getresponse()
        return response.status, response.read().decode(errors="replace")
