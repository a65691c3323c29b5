"""How many share a store: each says so now and then, in one record."""

from __future__ import annotations

import json

from mesh.clock import Clock
from mesh.state.store import StateStore

BEAT_EVERY = 10.0
"""Seconds."""
SECOND_BEAT = 1.0
"""Seconds after the first: replicas are often started together, and each should know of the others soon."""

_FORGOTTEN_AFTER = 30.0
"""Seconds of silence, by clocks that agree to a few."""

_KEY = "replicas"
_TRIES = 8
"""How often a record that others are writing to is read again; whoever still had no turn has one at the next beat."""


class Replicas:
    """This replica among those of a store. `own` is its name, which no other has."""

    def __init__(self, store: StateStore, own: str, clock: Clock) -> None:
        self._store, self._own, self._clock = store, own, clock
        self.count = 1
        """How many there were at the last beat, this one included."""

    async def beat(self) -> None:
        """Says that this one is there, and counts. Raises TollwayError."""
        for _ in range(_TRIES):
            now = self._clock.time()
            old = await self._store.get(_KEY)
            seen: dict[str, float] = json.loads(old) if old else {}
            alive = {name: at for name, at in seen.items() if now - at < _FORGOTTEN_AFTER} | {self._own: now}
            self.count = len(alive)
            if await self._write(old, json.dumps(alive).encode()):
                return

    async def leave(self) -> None:
        """Says that this one is gone. Raises TollwayError."""
        for _ in range(_TRIES):
            old = await self._store.get(_KEY)
            if not old:
                return
            others = {name: at for name, at in json.loads(old).items() if name != self._own}
            if await self._write(old, json.dumps(others).encode()):
                return

    async def _write(self, old: bytes | None, new: bytes) -> bool:
        if old is None:
            return await self._store.add(_KEY, new, _FORGOTTEN_AFTER)
        return await self._store.swap(_KEY, old, new, _FORGOTTEN_AFTER)
