"""A real PostgreSQL for tests: a given one, else a container, else a throwaway server from installed binaries."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg

URL = "TOLLWAY_TEST_POSTGRES_URL"
HOW = (
    f"no PostgreSQL to test with: install one (Debian: apt-get install postgresql), start a Docker engine, or set {URL}"
)
_IMAGE = "postgres:17-alpine"
_INSTALLED = Path("/usr/lib/postgresql")
_LONGEST = "60s"
"""That a statement may take: one that waits for a lock of whoever waits for it in this thread would wait for ever."""


@contextmanager
def server(*, durable: bool = False) -> Iterator[str | None]:
    """The URL of a database on a server where others may be made; None where there is no server to be had.

    A throwaway server that is `durable` waits for the disk, as one that is measured has to.
    """
    if given := os.environ.get(URL):
        yield given
        return
    with _container() as contained:
        if contained:
            yield contained
            return
    if binaries := _binaries():
        with _throwaway(binaries, durable) as url:
            yield url
    else:
        yield None


def elsewhere(call: Callable[[], Awaitable[Any]]) -> Any:
    """Runs a coroutine to its end on an event loop of its own, whatever runs here."""

    async def run() -> Any:
        return await call()

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(lambda: asyncio.run(run())).result()


def query(url: str, words: str, *parameters: Any) -> list[tuple[Any, ...]]:
    """Rows, as somebody else gets them."""

    async def ask() -> list[tuple[Any, ...]]:
        connection = await asyncpg.connect(url, server_settings={"statement_timeout": _LONGEST})
        try:
            return [tuple(row) for row in await connection.fetch(words, *parameters)]
        finally:
            await connection.close()

    rows: list[tuple[Any, ...]] = elsewhere(ask)
    return rows


def database(server_url: str, name: str) -> str:
    """The URL of another database on the same server."""
    parts = urlsplit(server_url)
    return urlunsplit((parts.scheme, parts.netloc, f"/{name}", parts.query, ""))


@contextmanager
def _container() -> Iterator[str]:
    """The URL of a server in a container; empty where no Docker engine answers, or none has the image."""
    if "DOCKER_HOST" not in os.environ and not Path("/var/run/docker.sock").exists():
        yield ""
        return
    os.environ.setdefault("TESTCONTAINERS_RYUK_DISABLED", "true")  # another image; `finally` below is enough
    from docker.errors import DockerException
    from testcontainers.postgres import PostgresContainer

    try:
        container = PostgresContainer(_IMAGE, driver=None).start()
    except (DockerException, OSError):
        yield ""
        return
    try:
        yield container.get_connection_url()
    finally:
        container.stop()


def _binaries() -> Path | None:
    versions = sorted(_INSTALLED.glob("*/bin/initdb"), key=lambda path: int(path.parent.parent.name))
    if versions:
        return versions[-1].parent
    found = shutil.which("initdb")
    return Path(found).resolve().parent if found else None


class Server:
    """A throwaway server over a data directory of its own, which can be killed and started again.

    One that is `durable` waits for the disk, as one that is measured has to. What a server has committed outlives its
    kill either way, where it does not `forget`: that is for tests that never kill it.
    """

    def __init__(self, binaries: Path, *, durable: bool = False, forgets: bool = False) -> None:
        # The server refuses to run as root.
        self._user: dict[str, Any] = (
            {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.geteuid() == 0 else {}
        )
        self._binaries, self._folder = binaries, Path(tempfile.mkdtemp(prefix="tollway-postgres-"))
        if self._user:
            shutil.chown(self._folder, "nobody", "nogroup")
        self._data, port = self._folder / "data", _free_port()
        self.url = f"postgresql://tollway@127.0.0.1:{port}/postgres"
        settings: dict[str, str | int | Path] = {
            "listen_addresses": "127.0.0.1", "port": port, "unix_socket_directories": self._folder,
            "max_connections": 200,
        }  # fmt: skip
        if not durable:
            settings["fsync"] = "off"
        if forgets:
            settings |= dict.fromkeys(("synchronous_commit", "full_page_writes"), "off")
        self._options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        self._process: subprocess.Popen[bytes] | None = None
        words = ("-U", "tollway", "--auth=trust", "--encoding=UTF8", "--no-locale", "-N")
        make: list[str | Path] = [binaries / "initdb", "-D", self._data, *words]
        subprocess.run(make, check=True, capture_output=True, timeout=60, cwd=self._folder, **self._user)

    def start(self) -> None:
        """Does not wait until it serves: see `wait`."""
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._binaries / "postgres", "-D", self._data, *self._options],
                stderr=log, cwd=self._folder, start_new_session=True, **self._user,
            )  # fmt: skip

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def wait(self, limit: float = 30.0) -> None:
        """Until it serves. Raises RuntimeError with its log where it does not."""
        end = time.monotonic() + limit
        while True:
            try:
                query(self.url, "SELECT 1")
                return
            except (OSError, asyncpg.PostgresError):
                if not self.running or time.monotonic() > end:
                    raise RuntimeError(f"PostgreSQL does not start: {(self._folder / 'log').read_text()}") from None
                time.sleep(0.05)

    def kill(self) -> None:
        """kill -9 of the server and of whatever it has forked, and gone."""
        if self._process is None or not self.running:
            return
        os.kill(self._process.pid, signal.SIGSTOP)  # so that it forks no more
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        for pid in map(int, children.read_text().split() if children.exists() else ()):
            os.kill(pid, signal.SIGKILL)
        self._process.kill()
        self._process.wait()

    def remove(self) -> None:
        """Stops it, and leaves nothing behind."""
        if self._process is not None and self.running:
            self._process.terminate()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)


@contextmanager
def of_its_own() -> Iterator[Server | None]:
    """A server to be killed, started; None where no binaries are installed."""
    binaries = _binaries()
    if binaries is None:
        yield None
        return
    made = Server(binaries)
    try:
        made.start()
        made.wait()
        yield made
    finally:
        made.remove()


@contextmanager
def _throwaway(binaries: Path, durable: bool) -> Iterator[str]:
    """A server that is gone afterwards, with all it was told."""
    made = Server(binaries, durable=durable, forgets=not durable)
    try:
        made.start()
        made.wait()
        yield made.url
    finally:
        made.remove()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
