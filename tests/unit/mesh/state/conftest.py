from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest

from mesh.clock import SystemClock, VirtualClock
from mesh.state.memory import MemoryStore
from mesh.state.redis import RedisStore
from mesh.state.sqlite import SqliteStore
from mesh.state.store import StateStore


@dataclass
class House:
    """A store, what makes its time pass, and a second door to the same state (None: there can be none)."""

    store: StateStore
    other: StateStore
    clock: VirtualClock | None
    prefix: str

    def key(self, name: str) -> str:
        """A key that no other test uses."""
        return f"{self.prefix}:{name}"

    async def pass_time(self, seconds: float) -> None:
        if self.clock is None:
            await asyncio.sleep(seconds)  # a server's time is its own
        else:
            await self.clock.advance(seconds)


@pytest.fixture(params=["memory", "sqlite", "redis"])
async def house(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[House]:
    clock = VirtualClock()
    prefix = uuid4().hex
    if request.param == "memory":
        store: StateStore = MemoryStore(clock)
        yield House(store, store, clock, prefix)
        await store.close()
        return
    stores: list[StateStore]
    if request.param == "sqlite":
        stores = [SqliteStore.open(tmp_path / "state.db", clock, 5.0) for _ in range(2)]
        house = House(stores[0], stores[1], clock, prefix)
    else:
        url = request.getfixturevalue("redis")
        stores = [RedisStore(url, SystemClock(), 5.0) for _ in range(2)]
        house = House(stores[0], stores[1], None, prefix)
    yield house
    for each in stores:
        await each.close()
