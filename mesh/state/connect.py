"""From a URL to the store behind it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mesh.clock import Clock
from mesh.ids import uuid7
from mesh.metrics import Metrics
from mesh.state.lost import GuardedStore
from mesh.state.memory import MemoryStore
from mesh.state.replicas import Replicas
from mesh.state.store import StateStore

MEMORY = "memory://"
_SQLITE = "sqlite:///"
_SQLITE_PATIENCE = 1.0
"""Seconds that a file is waited for at least: it is not lost while other processes take their turns."""


@dataclass(frozen=True, slots=True)
class State:
    """A store that is ready, and whether it is lost."""

    store: StateStore
    lost: Callable[[], bool]


async def connect(url: str, *, local: bool, timeout: float, clock: Clock, metrics: Metrics) -> State:
    """The store at `memory://`, `sqlite:///path`, or where Redis is (`redis://`, `rediss://`, `unix://`).

    `local` is what holds when it is lost (`mesh.state.lost`), `timeout` after how many seconds of silence it is. A
    server that does not answer yet is lost from the start. Raises OSError where a file cannot be had, ValueError for a
    URL that cannot be read.
    """
    if url == MEMORY:
        return State(MemoryStore(clock), lambda: False)
    store = _open(url, clock, timeout)
    guarded = GuardedStore(
        store, Replicas(store, uuid7(clock.time()), clock), local=local, clock=clock, metrics=metrics
    )
    await guarded.start()
    return State(guarded, lambda: guarded.lost)


def _open(url: str, clock: Clock, timeout: float) -> StateStore:
    # Imported as needed: most processes have no use for either.
    if url.startswith(_SQLITE):
        from mesh.state.sqlite import SqliteStore

        return SqliteStore.open(Path(url.removeprefix(_SQLITE)), clock, max(timeout, _SQLITE_PATIENCE))
    from mesh.state.redis import RedisStore

    return RedisStore(url, clock, timeout)
