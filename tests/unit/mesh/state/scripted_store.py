"""A store that can be lost and found."""

from __future__ import annotations

from typing import Any

from mesh.clock import Clock
from mesh.state.memory import MemoryStore
from mesh.state.store import unreachable


class ScriptedStore:
    """A store in memory that raises while it is `down`. `asked` counts what it was asked."""

    def __init__(self, clock: Clock) -> None:
        self._store = MemoryStore(clock)
        self.down = False
        self.asked = 0
        self.closed = False

    def __getattr__(self, name: str) -> Any:
        operation = getattr(self._store, name)

        async def ask(*arguments: Any) -> Any:
            self.asked += 1
            if self.down:
                raise unreachable("somebody pulled the plug")
            return await operation(*arguments)

        return ask

    async def close(self) -> None:
        self.closed = True
