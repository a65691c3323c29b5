"""Several processes that serve the same addresses."""

from __future__ import annotations

import os
import re
import signal
import socket
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path

import grpc
import httpx2
import pytest

from tests.e2e.processes import Mesh, Process, clean_environment, free_port
from tollway.chat.v1 import chat_pb2
from tollway.router.v1 import router_pb2, router_pb2_grpc

WORKERS = 2
QUESTION = {"model": "sim", "messages": [{"role": "user", "content": "hi"}]}
SLOW = {**QUESTION, "model": "sim/text:rate=20,tokens=30", "stream": True}
SERVES = re.compile(r"worker \d+ serves, as process (\d+)")


def started(folder: Path, *options: str, **environment: str) -> Mesh:
    http, port = free_port(), free_port()
    arguments = ["up", "--workers", str(WORKERS), "--port", str(http), "--grpc-port", str(port)]
    arguments += ["--data-dir", str(folder / "d"), *options]
    mesh = Mesh("workers", f"http://127.0.0.1:{http}", f"127.0.0.1:{port}", "", folder / "d")
    mesh.processes["up"] = Process("up", arguments, folder, clean_environment(**environment))
    mesh.processes["up"].start()
    return mesh


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("w")  # sockets have short paths


@pytest.fixture
def mesh(folder: Path) -> Iterator[Mesh]:
    mesh = started(folder, TOLLWAY_LIMITS="[{scope: 'tag:limited', requests: 30/d}]")
    try:
        wait_for_workers(mesh, WORKERS)
        yield mesh
    finally:
        mesh.stop()


def pids(mesh: Mesh) -> list[int]:
    """Of all workers that ever served."""
    return [int(pid) for pid in SERVES.findall(mesh.logs())]


def wait_for_workers(mesh: Mesh, count: int) -> None:
    end = time.monotonic() + 40
    while len(pids(mesh)) < count or "Tollway" not in mesh.logs():
        assert time.monotonic() < end, mesh.logs()
        time.sleep(0.05)


def runs(pid: int) -> bool:
    with suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False


def ask(mesh: Mesh, **headers: str) -> int:
    """The status of one request, on a connection of its own; 0 where the connection was cut."""
    try:
        return httpx2.post(f"{mesh.base_url}/chat/completions", json=QUESTION, headers=headers, timeout=20).status_code
    except httpx2.HTTPError:
        return 0


def rows(mesh: Mesh) -> int:
    with closing(sqlite3.connect(mesh.data_dir / "ledger.db")) as ledger:
        (count,) = ledger.execute("SELECT count(*) FROM request_logs").fetchone()
        return int(count)


def test_workers_share_the_ports_the_limits_and_the_ledger(mesh: Mesh) -> None:
    with ThreadPoolExecutor(20) as clients:
        statuses = Counter(clients.map(lambda _: ask(mesh, **{"x-tollway-tags": "limited"}), range(100)))
    assert statuses == {200: 30, 429: 70}
    with grpc.insecure_channel(mesh.grpc) as channel:
        chat = chat_pb2.ChatRequest(
            model="sim",
            messages=[chat_pb2.Message(role=chat_pb2.ROLE_USER, content=[chat_pb2.ContentPart(text="hi")])],
        )
        router_pb2_grpc.RouterServiceStub(channel).CreateChatCompletion(
            router_pb2.CreateChatCompletionRequest(chat=chat), timeout=20
        )
    assert mesh.stop() == {"up": 0}
    assert rows(mesh) == 31
    assert not any(runs(pid) for pid in pids(mesh))


def test_each_worker_answers(mesh: Mesh) -> None:
    """With one of them stopped in its tracks, some connections wait, and with none, all are answered."""
    one, other = pids(mesh)
    for frozen in (one, other):
        os.kill(frozen, signal.SIGSTOP)
        try:
            answered = 0
            for _ in range(30):
                with suppress(httpx2.HTTPError):
                    answered += httpx2.get(f"{mesh.http}/healthz", timeout=0.3).status_code == 200
            assert 0 < answered < 30
        finally:
            os.kill(frozen, signal.SIGCONT)


def test_a_worker_that_dies_is_started_again(mesh: Mesh) -> None:
    victim, survivor = pids(mesh)
    os.kill(victim, signal.SIGKILL)
    wait_for_workers(mesh, WORKERS + 1)
    assert re.search(r"worker \d ended \(status -9\); another is started now", mesh.logs())
    assert [ask(mesh) for _ in range(20)] == [200] * 20
    assert runs(survivor)
    assert not runs(victim)
    assert mesh.stop() == {"up": 0}
    assert rows(mesh) == 20


def test_sigterm_lets_running_streams_finish_and_exits_with_zero(mesh: Mesh) -> None:
    ends: list[str] = []
    begun = threading.Barrier(5)

    def read() -> None:
        with httpx2.stream("POST", f"{mesh.base_url}/chat/completions", json=SLOW, timeout=30) as answer:
            last = ""
            for number, line in enumerate(answer.iter_lines()):
                if number == 0:
                    begun.wait(20)
                last = line or last
            ends.append(last)

    readers = [threading.Thread(target=read) for _ in range(4)]
    for reader in readers:
        reader.start()
    begun.wait(20)
    assert mesh.stop() == {"up": 0}
    for reader in readers:
        reader.join(20)
    assert ends == ["data: [DONE]"] * 4


def test_no_worker_outlives_the_process_that_looks_after_it(mesh: Mesh) -> None:
    mesh.processes["up"].kill()
    end = time.monotonic() + 20
    while any(runs(pid) for pid in pids(mesh)):
        assert time.monotonic() < end, mesh.logs()
        time.sleep(0.05)


def refused(mesh: Mesh) -> str:
    process = mesh.processes["up"]
    end = time.monotonic() + 30
    while process.running:
        assert time.monotonic() < end, mesh.logs()
        time.sleep(0.05)
    assert process.stop() == 2
    return mesh.logs()


def test_a_port_that_is_taken_is_refused_in_a_sentence(folder: Path) -> None:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        log = refused(started(folder, "--port", str(other.getsockname()[1])))
    assert re.search(r"tollway: cannot listen on 127\.0\.0\.1:\d+: Address already in use", log)


def test_state_in_memory_is_refused_because_workers_cannot_share_it(folder: Path) -> None:
    log = refused(started(folder, TOLLWAY_STATE__URL="memory://"))
    assert "state.url is memory://, which workers cannot share" in log


def test_a_data_directory_too_deep_for_a_socket_is_refused(folder: Path) -> None:
    log = refused(started(folder, "--data-dir", str(folder / ("deep" * 30))))
    assert "is too long a path for a socket: choose a shorter --data-dir" in log


def test_an_address_that_cannot_be_shared_is_refused(folder: Path) -> None:
    mesh = started(folder)
    mesh.stop()
    command = ["up", "--workers", "2", "--data-dir", str(folder / "e")]
    process = Process("unix", command, folder, clean_environment(TOLLWAY_HTTP__LISTEN=f"unix:{folder}/h.sock"))
    process.start()
    mesh.processes = {"up": process}
    assert "several workers cannot share unix:" in refused(mesh)
