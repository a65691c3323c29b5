"""A real PostgreSQL for tests: a given one, else a container, else a throwaway server from installed binaries."""

from __future__ import annotations

import asyncio
import os
import shutil
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
        connection = await asyncpg.connect(url)
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


@contextmanager
def _throwaway(binaries: Path, durable: bool) -> Iterator[str]:
    """A server that is gone afterwards, with all it was told."""
    # The server refuses to run as root.
    user: dict[str, Any] = {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.geteuid() == 0 else {}
    folder = Path(tempfile.mkdtemp(prefix="tollway-postgres-"))
    if user:
        shutil.chown(folder, "nobody", "nogroup")
    data, port = folder / "data", _free_port()
    make: list[str | Path] = [
        binaries / "initdb",
        "-D",
        data,
        "-U",
        "tollway",
        "--auth=trust",
        "--encoding=UTF8",
        "--no-locale",
        "-N",
    ]
    subprocess.run(make, check=True, capture_output=True, timeout=60, cwd=folder, **user)
    settings: dict[str, str | int | Path] = {
        "listen_addresses": "127.0.0.1", "port": port, "unix_socket_directories": folder, "max_connections": 200,
    }  # fmt: skip
    if not durable:
        settings |= dict.fromkeys(("fsync", "synchronous_commit", "full_page_writes"), "off")
    options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([binaries / "postgres", "-D", data, *options], stderr=log, cwd=folder, **user)
    try:
        url = f"postgresql://tollway@127.0.0.1:{port}/postgres"
        _wait_for(url, process, folder / "log")
        yield url
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + 30
    while True:
        try:
            query(url, "SELECT 1")
            return
        except (OSError, asyncpg.PostgresError):
            if process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"PostgreSQL does not start: {log.read_text()}") from None
            time.sleep(0.05)
