"""The state of a process that shares it with nobody."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import TypeVar

from mesh.clock import Clock
from mesh.state.store import Decision, Draw, Left, Slot

T = TypeVar("T")
_SWEEP = 4
"""Entries that are looked at for having lapsed whenever one is written."""


class MemoryStore:
    """Implements `StateStore`. What has lapsed goes when it is met, or when its turn comes to be looked at."""

    def __init__(self, clock: Clock) -> None:
        self._now = clock.monotonic
        self._records: OrderedDict[str, tuple[bytes, float]] = OrderedDict()
        self._logs: OrderedDict[str, tuple[list[bytes], float]] = OrderedDict()
        self._full_at: dict[str, float] = {}
        """When all of a rate is there again."""
        self._held: dict[str, dict[str, float]] = {}
        """Who holds places, and until when."""

    async def admit(self, draws: Sequence[Draw], slots: Sequence[Slot], holder: str) -> Decision:
        now = self._now()
        waits = [(self._wait(draw, now), draw.key) for draw in draws]
        longest, key = max(waits, default=(0.0, ""))
        taken = next((slot.key for slot in slots if len(self._holders(slot.key, now) - {holder}) >= slot.limit), "")
        if longest <= 0 and not taken:
            await self.adjust(draws)
            for slot in slots:
                self._held.setdefault(slot.key, {})[holder] = now + slot.lease
            return Decision(tuple(self._left(draw, now) for draw in draws))
        left = tuple(self._left(draw, now) for draw in draws)
        return Decision(left, key, longest) if longest > 0 else Decision(left, taken)

    async def adjust(self, draws: Sequence[Draw]) -> None:
        now = self._now()
        for draw in draws:
            spent = draw.amount * draw.rate.period / draw.rate.limit
            self._full_at[draw.key] = max(self._full_at.get(draw.key, now), now) + spent

    async def release(self, slots: Sequence[Slot], holder: str) -> None:
        for slot in slots:
            holders = self._held.get(slot.key, {})
            holders.pop(holder, None)
            if not holders:
                self._held.pop(slot.key, None)

    def _wait(self, draw: Draw, now: float) -> float:
        rate = draw.rate
        after = max(self._full_at.get(draw.key, now), now) + draw.amount * rate.period / rate.limit
        return after - now - rate.period

    def _left(self, draw: Draw, now: float) -> Left:
        rate, reset = draw.rate, max(self._full_at.get(draw.key, now) - now, 0.0)
        return Left(max(int((rate.period - reset) * rate.limit / rate.period), 0), reset)

    def _holders(self, key: str, now: float) -> set[str]:
        holders = self._held.get(key, {})
        for holder in [holder for holder, until in holders.items() if until <= now]:
            del holders[holder]
        return set(holders)

    async def get(self, key: str) -> bytes | None:
        return self._get(key)

    def _get(self, key: str) -> bytes | None:
        value, until = self._records.get(key, (None, 0.0))
        if value is not None and until <= self._now():
            del self._records[key]
            return None
        return value

    async def put(self, key: str, value: bytes, ttl: float) -> None:
        now = self._now()
        self._records[key] = value, now + ttl
        self._records.move_to_end(key)
        self._sweep(self._records, now)

    async def add(self, key: str, value: bytes, ttl: float) -> bool:
        if self._get(key) is not None:
            return False
        await self.put(key, value, ttl)
        return True

    async def swap(self, key: str, old: bytes, new: bytes, ttl: float) -> bool:
        if self._get(key) != old:
            return False
        await self.put(key, new, ttl)
        return True

    async def delete(self, key: str) -> None:
        self._records.pop(key, None)
        self._logs.pop(key, None)

    async def scan(self, prefix: str) -> Mapping[str, bytes]:
        names = [key for key in self._records if key.startswith(prefix)]
        return {key: value for key in names if (value := self._get(key)) is not None}

    async def append(self, key: str, pieces: Sequence[bytes], ttl: float) -> None:
        now = self._now()
        there, until = self._logs.get(key, ([], 0.0))
        self._logs[key] = [*(there if until > now else ()), *pieces], now + ttl
        self._sweep(self._logs, now)

    async def pieces(self, key: str, start: int) -> Sequence[bytes]:
        there, until = self._logs.get(key, ([], 0.0))
        return there[start:] if until > self._now() else ()

    async def close(self) -> None: ...

    @staticmethod
    def _sweep(entries: OrderedDict[str, tuple[T, float]], now: float) -> None:
        for _ in range(min(_SWEEP, len(entries))):
            key = next(iter(entries))
            if entries[key][1] <= now:
                del entries[key]
            else:
                entries.move_to_end(key)
