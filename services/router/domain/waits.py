"""How long answers have been waited for lately, and how long is longer than usual."""

from __future__ import annotations

from collections import deque

_KEPT = 128
_RECENT = 900.0
_LEAST = 20
_RENEWED_EVERY = 8


class Waits:
    """The last waits of some deployment, within a quarter of an hour; all times are in seconds."""

    __slots__ = ("_p95", "_since", "_waits")

    def __init__(self) -> None:
        self._waits: deque[tuple[float, float]] | None = None
        self._p95: float | None = None
        self._since = 0

    def note(self, now: float, waited: float) -> None:
        if self._waits is None:
            self._waits = deque(maxlen=_KEPT)
        self._waits.append((now, waited))
        self._since += 1

    def p95(self, now: float) -> float | None:
        """What 19 of 20 waits are not longer than; None while too few are known. It is a few waits old at most."""
        if self._waits is None:
            return None
        if self._since >= _RENEWED_EVERY or now - self._waits[0][0] > _RECENT:
            self._renew(now)
        return self._p95

    def _renew(self, now: float) -> None:
        waits = self._waits or deque()
        while waits and now - waits[0][0] > _RECENT:
            waits.popleft()
        self._since = 0
        if not waits:
            self._waits = None
        if len(waits) < _LEAST:
            self._p95 = None
            return
        ordered = sorted(wait for _, wait in waits)
        self._p95 = ordered[(len(ordered) * 95 - 1) // 100]
