"""How much a router keeps in a store that bounds nothing itself, and what has to go to make room."""

from __future__ import annotations

from collections import OrderedDict

_COSTS = 512
"""What a key costs beside its value, there and here, about."""


class Shelf:
    """What has been put into a store, in the order of last use; `most` bytes stay."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._sizes: OrderedDict[str, tuple[int, float]] = OrderedDict()
        self._total = 0

    def add(self, name: str, size: int, now: float, until: float) -> list[str]:
        """Notes what is kept until then; the names of what has to go for it. Times are on one clock."""
        self._drop(name)
        self._sizes[name] = (size + _COSTS, until)
        self._total += size + _COSTS
        gone: list[str] = []
        while self._sizes:
            oldest, (_, end) = next(iter(self._sizes.items()))
            if end > now:
                if self._total <= self._most:
                    break
                gone.append(oldest)
            self._drop(oldest)
        return gone

    def use(self, name: str) -> None:
        """Notes that something was used, so that it goes last."""
        if name in self._sizes:
            self._sizes.move_to_end(name)

    def _drop(self, name: str) -> None:
        size, _ = self._sizes.pop(name, (0, 0.0))
        self._total -= size
