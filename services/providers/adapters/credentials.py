"""How a call shows who pays for it with a key: where the key is put, and where it comes from.

A key of the configuration goes out in a header that stays the same. One that may change is asked for with each call,
and so is one that is part of the URL: the URL that everybody else sees is the one without it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from signal import SIGKILL
from subprocess import DEVNULL, PIPE, Popen
from threading import Event, Timer
from typing import NamedTuple, Protocol
from urllib.parse import quote

from mesh.clock import Clock
from mesh.telemetry.redaction import learn
from services.providers.domain.renewal import Renewal, Secret, unavailable
from services.providers.domain.wire import Outgoing

_HEADERS: Mapping[str, tuple[str, str]] = {
    "bearer": ("authorization", "Bearer "),
    "api-key": ("api-key", ""),
    "x-api-key": ("x-api-key", ""),
    "x-goog-api-key": ("x-goog-api-key", ""),
}
"""By kind: the header that an API key is sent in, and what stands before it there."""

_COMMAND_TIME = 10.0
_LONGEST_KEY = 64 * 2**10


class Place(NamedTuple):
    """Where in a call a key is put: in a header, behind some words, or in the URL as a parameter."""

    name: str
    before: str = ""
    in_url: bool = False


def place_of(kind: str, name: str = "") -> Place:
    """The place that a kind of key has; `header` and `query` are those that go under a name."""
    if kind == "header":
        return Place(name.lower())
    if kind == "query":
        return Place(name, in_url=True)
    return Place(*_HEADERS[kind])


def key_headers(place: Place, key: str) -> Mapping[str, str]:
    """The headers of a key that stays the same. None for no key: local servers ask for none."""
    return {place.name: f"{place.before}{key}"} if key and not place.in_url else {}


class Source(Protocol):
    """Where a key comes from."""

    async def get(self) -> str:
        """The key as it is now. Raises UPSTREAM_CREDENTIALS."""

    def refused(self) -> None:
        """The provider did not take the last one."""


class KeyCredentials:
    """Implements `ports.Credentials`: puts a source's key in its place."""

    def __init__(self, place: Place, source: Source) -> None:
        self._place, self._source = place, source

    async def sign(self, call: Outgoing) -> Outgoing:
        place, key = self._place, await self._source.get()
        if not place.in_url:
            return call._replace(headers={**call.headers, place.name: f"{place.before}{key}"})
        joint = "&" if "?" in call.url else "?"
        return call._replace(url=f"{call.url}{joint}{quote(place.name, safe='')}={quote(key, safe='')}")

    def refused(self) -> None:
        self._source.refused()


class FixedKey:
    """A key of the configuration."""

    def __init__(self, key: str) -> None:
        self._key = key

    async def get(self) -> str:
        return self._key

    def refused(self) -> None:
        """There is no other."""


class KeyFile:
    """A key in a file, read again when the file is another one, or was written to."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._key = ""
        self._seen: tuple[int, int, int] | None = None

    async def get(self) -> str:
        # In place: a file that is looked at for each call is in memory, and a thread would take longer.
        try:
            found = os.stat(self._path)
            seen = (found.st_mtime_ns, found.st_size, found.st_ino)
            if seen != self._seen:
                with self._path.open("rb") as file:
                    self._key = read_key(file.read(_LONGEST_KEY + 1), f"the file {self._path}")
                self._seen = seen
        except OSError as error:
            raise unavailable(f"the key's file {self._path} cannot be read: {error.strerror}") from None
        return self._key

    def refused(self) -> None:
        self._seen = None


def command_key(command: Sequence[str], ttl: float, clock: Clock, limit: float = _COMMAND_TIME) -> Renewal:
    """A key that a program prints within `limit` seconds, and that holds for `ttl` seconds."""

    async def fetch() -> Secret:
        # In a thread, and not by the loop: uvloop would fork, which gRPC's threads do not like; this does not.
        printed = await asyncio.to_thread(_run, command, limit)
        return Secret(read_key(printed, f"the program {Path(command[0]).name}"), ttl)

    return Renewal(fetch, clock, what="the key of an api_key_command")


def read_key(data: bytes, whose: str) -> str:
    """The key in what a file holds or a program printed: its first line. Raises UPSTREAM_CREDENTIALS for none."""
    key = data.strip().partition(b"\n")[0].strip()
    if not key or len(data) > _LONGEST_KEY or not all(0x21 <= byte <= 0x7E for byte in key):
        raise unavailable(f"{whose} has no key in it: printable ASCII without white space")
    text = key.decode()
    learn(text)
    return text


def _run(command: Sequence[str], limit: float) -> bytes:
    """What the program prints. What it complains of is not read: nobody knows what is in it."""
    name = Path(command[0]).name
    try:
        # With a session of its own, whatever it starts can be ended with it.
        process = Popen(command, stdin=DEVNULL, stdout=PIPE, stderr=DEVNULL, start_new_session=True)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else type(error).__name__
        raise unavailable(f"the program {name}, which prints the key, cannot be run: {why}") from None
    late = Event()
    timer = Timer(limit, _end, (process, late))
    timer.start()
    with process:
        try:
            assert process.stdout is not None
            printed: bytes = process.stdout.read(_LONGEST_KEY + 1)
            process.stdout.close()  # one that has more to say is not waited for
            status = process.wait()
        finally:
            timer.cancel()
    if late.is_set():
        raise unavailable(f"the program {name} printed no key within {limit:g}s")
    if status and len(printed) <= _LONGEST_KEY:
        raise unavailable(f"the program {name}, which prints the key, ended with status {status}")
    return printed


def _end(process: Popen[bytes], late: Event) -> None:
    late.set()
    os.killpg(process.pid, SIGKILL)
