"""The state of a process that shares it with nobody."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mesh.clock import Clock
from mesh.state import gcra
from mesh.state.gcra import micros
from mesh.state.lapsing import Lapsing
from mesh.state.store import Decision, Draw, Slot


class MemoryStore:
    """Implements `StateStore`. Nothing in it waits, and it is never lost."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._rates: Lapsing[tuple[int, int]] = Lapsing()
        """When all is there again, in ticks, and how many of those there are to a microsecond."""
        self._holders: Lapsing[dict[str, int]] = Lapsing()
        """Who holds places, and until when."""
        self._records: Lapsing[bytes] = Lapsing()
        self._logs: Lapsing[list[bytes]] = Lapsing()

    def _now(self) -> int:
        return int(self._clock.monotonic() * gcra.MICROS)

    async def admit(self, draws: Sequence[Draw], slots: Sequence[Slot], holder: str) -> Decision:
        now = self._now()
        taken = ""
        for slot in slots:
            if self._is_taken(slot, holder, now):
                taken = slot.key
                break
        decision, fulls = gcra.decide([self._full(draw, now) for draw in draws], now, draws, taken)
        if not decision.refused:
            for draw, full in zip(draws, fulls, strict=True):
                self._keep(draw, full, now)
            for slot in slots:
                self._hold(slot, holder, now)
        return decision

    async def settle(self, draws: Sequence[Draw], slots: Sequence[Slot], holder: str) -> None:
        now = self._now()
        for draw in draws:
            self._keep(draw, gcra.after(self._full(draw, now), now, draw), now)
        for slot in slots:
            holders = self._holders.get(slot.key, 0)
            if holders is not None and holders.pop(holder, None) is not None and not holders:
                self._holders.pop(slot.key)

    def _full(self, draw: Draw, now: int) -> int:
        full, scale = self._rates.get(draw.key, now) or (0, 1)
        limit = draw.rate.limit
        return full if scale == limit else full * limit // scale

    def _keep(self, draw: Draw, full: int, now: int) -> None:
        limit = draw.rate.limit
        self._rates.put(draw.key, (full, limit), -(-full // limit), now)

    def _is_taken(self, slot: Slot, holder: str, now: int) -> bool:
        holders = self._holders.get(slot.key, now)
        if holders is None or len(holders) < slot.limit or holders.get(holder, 0) > now:
            return False
        for name in [name for name, until in holders.items() if until <= now]:
            del holders[name]
        return len(holders) >= slot.limit

    def _hold(self, slot: Slot, holder: str, now: int) -> None:
        holders = self._holders.get(slot.key, now)
        if holders is None:
            holders = {}
        holders[holder] = until = now + micros(slot.lease)
        self._holders.put(slot.key, holders, until, now)

    async def get(self, key: str) -> bytes | None:
        return self._records.get(key, self._now())

    async def put(self, key: str, value: bytes, ttl: float) -> None:
        now = self._now()
        self._records.put(key, value, now + micros(ttl), now)

    async def add(self, key: str, value: bytes, ttl: float) -> bool:
        return await self._put_over(None, key, value, ttl)

    async def swap(self, key: str, old: bytes, new: bytes, ttl: float) -> bool:
        return await self._put_over(old, key, new, ttl)

    async def _put_over(self, there: bytes | None, key: str, value: bytes, ttl: float) -> bool:
        if self._records.get(key, self._now()) != there:
            return False
        await self.put(key, value, ttl)
        return True

    async def delete(self, key: str) -> None:
        self._records.pop(key)
        self._logs.pop(key)

    async def scan(self, prefix: str) -> Mapping[str, bytes]:
        return self._records.beginning(prefix, self._now())

    async def append(self, key: str, pieces: Sequence[bytes], ttl: float) -> None:
        now = self._now()
        log = self._logs.get(key, now)
        if log is None:
            log = []
        log.extend(pieces)
        self._logs.put(key, log, now + micros(ttl), now)

    async def pieces(self, key: str, start: int) -> Sequence[bytes]:
        log = self._logs.get(key, self._now())
        return () if log is None else log[start:]

    async def close(self) -> None: ...
