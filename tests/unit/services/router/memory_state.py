"""An in-memory twin of the state that replicas share."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from mesh.clock import Clock
from mesh.errors import Reason, TollwayError
from mesh.state.store import Decision, Draw, Slot


class MemoryState:
    """Implements `StateStore`, for what has to do with records and logs; every operation takes a turn of the loop."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._kept: dict[str, tuple[bytes | list[bytes], float]] = {}
        self.gone = False
        self.asked: list[str] = []
        """The operations, in order."""

    async def _ask(self, operation: str) -> None:
        self.asked.append(operation)
        await asyncio.sleep(0)
        if self.gone:
            raise TollwayError(Reason.SERVICE_UNAVAILABLE, "the state is gone")

    def peek(self, key: str) -> bytes | list[bytes] | None:
        value, until = self._kept.get(key, (None, 0.0))
        return value if until > self._clock.monotonic() else None

    def keys(self, prefix: str = "") -> list[str]:
        return [key for key in self._kept if key.startswith(prefix) and self.peek(key) is not None]

    def _record(self, key: str) -> bytes | None:
        value = self.peek(key)
        assert not isinstance(value, list), f"{key} is a log"
        return value

    def _put(self, key: str, value: bytes | list[bytes], ttl: float) -> None:
        assert ttl > 0
        self._kept[key] = value, self._clock.monotonic() + ttl

    async def admit(self, draws: Sequence[Draw], slots: Sequence[Slot], holder: str) -> Decision:
        raise NotImplementedError

    async def settle(self, draws: Sequence[Draw], slots: Sequence[Slot], holder: str) -> None:
        raise NotImplementedError

    async def get(self, key: str) -> bytes | None:
        await self._ask("get")
        return self._record(key)

    async def put(self, key: str, value: bytes, ttl: float) -> None:
        await self._ask("put")
        self._put(key, value, ttl)

    async def add(self, key: str, value: bytes, ttl: float) -> bool:
        await self._ask("add")
        if self._record(key) is not None:
            return False
        self._put(key, value, ttl)
        return True

    async def swap(self, key: str, old: bytes, new: bytes, ttl: float) -> bool:
        await self._ask("swap")
        if self._record(key) != old:
            return False
        self._put(key, new, ttl)
        return True

    async def delete(self, key: str) -> None:
        await self._ask("delete")
        self._kept.pop(key, None)

    async def scan(self, prefix: str) -> Mapping[str, bytes]:
        await self._ask("scan")
        found = {key: self.peek(key) for key in self.keys(prefix)}
        return {key: value for key, value in found.items() if isinstance(value, bytes)}

    async def append(self, key: str, pieces: Sequence[bytes], ttl: float) -> None:
        await self._ask("append")
        log = self.peek(key)
        assert not isinstance(log, bytes), f"{key} is a record"
        self._put(key, [*(log or ()), *pieces], ttl)

    async def pieces(self, key: str, start: int) -> Sequence[bytes]:
        await self._ask("pieces")
        log = self.peek(key)
        return log[start:] if isinstance(log, list) else ()

    async def close(self) -> None: ...
