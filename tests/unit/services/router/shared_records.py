"""An in-memory twin of the state that routers share, as far as breakers need it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from mesh.clock import Clock
from mesh.errors import Reason, TollwayError
from mesh.state.store import Decision, Draw, Slot


class MemoryRecords:
    """Implements as much of `StateStore` as breakers need."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.lost = False
        self.records: dict[str, tuple[bytes, float]] = {}
        self.writes: list[str] = []

    async def _answer(self) -> None:
        await asyncio.sleep(0)
        if self.lost:
            raise TollwayError(Reason.SERVICE_UNAVAILABLE, "the store is gone")
        now = self._clock.time()
        self.records = {key: record for key, record in self.records.items() if record[1] > now}

    async def put(self, key: str, value: bytes, ttl: float) -> None:
        await self._answer()
        self.writes.append(key)
        self.records[key] = (value, self._clock.time() + ttl)

    async def add(self, key: str, value: bytes, ttl: float) -> bool:
        await self._answer()
        if key in self.records:
            return False
        self.records[key] = (value, self._clock.time() + ttl)
        return True

    async def delete(self, key: str) -> None:
        await self._answer()
        self.records.pop(key, None)

    async def scan(self, prefix: str) -> Mapping[str, bytes]:
        await self._answer()
        return {key: value for key, (value, _) in self.records.items() if key.startswith(prefix)}

    async def get(self, key: str) -> bytes | None:
        raise NotImplementedError

    async def swap(self, key: str, old: bytes, new: bytes, ttl: float) -> bool:
        raise NotImplementedError

    async def admit(self, draws: Sequence[Draw], slots: Sequence[Slot], holder: str) -> Decision:
        raise NotImplementedError

    async def settle(self, draws: Sequence[Draw], slots: Sequence[Slot], holder: str) -> None:
        raise NotImplementedError

    async def append(self, key: str, pieces: Sequence[bytes], ttl: float) -> None:
        raise NotImplementedError

    async def pieces(self, key: str, start: int) -> Sequence[bytes]:
        raise NotImplementedError

    async def close(self) -> None: ...
