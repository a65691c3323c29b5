"""Which providers cannot be reached, so that nobody is sent there in vain.

A provider is offline after three attempts in a row that found no connection (refused, unknown host, no handshake in
time), whichever of its models they were for: it is the address that is dead. Whatever is heard of it ends the outage,
an error too. A connection that stands and then breaks, or stays silent, is no outage: the breaker counts those.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

IN_A_ROW = 3


@dataclass(slots=True)
class Outage:
    """Times are on the clock's monotonic time."""

    provider: str
    why: str
    since: float
    next_look: float
    """When it will be looked at next."""

    def wait(self, now: float) -> float:
        """Seconds until it may be back."""
        return max(self.next_look - now, 0.0)


def _nobody_cares(outage: Outage) -> None: ...


class Outages:
    """`on_begin` is told of every outage that begins."""

    def __init__(self) -> None:
        self.on_begin: Callable[[Outage], None] = _nobody_cares
        self._in_vain: dict[str, int] = {}
        self._outages: dict[str, Outage] = {}

    def __bool__(self) -> bool:
        return bool(self._outages)

    def of(self, provider: str) -> Outage | None:
        """The provider's outage; None: it can be reached, as far as anybody knows."""
        return self._outages.get(provider)

    def unreachable(self, provider: str, why: str, now: float) -> None:
        """An attempt found no connection."""
        in_vain = self._in_vain[provider] = self._in_vain.get(provider, 0) + 1
        if in_vain >= IN_A_ROW and provider not in self._outages:
            outage = self._outages[provider] = Outage(provider, why, now, now)
            self.on_begin(outage)

    def reached(self, provider: str) -> None:
        """Something was heard of it."""
        if self._in_vain:
            self._in_vain.pop(provider, None)
            self._outages.pop(provider, None)
