"""How deployments stand, by what this router saw of them: what strategies weigh, and why one is left alone."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field

from services.router.domain.outages import Outages
from services.router.domain.pace import Pace
from services.router.domain.quota import Quota

_MOST = 4096
"""Deployments remembered. Pass-through names are as many as clients make up."""


@dataclass(slots=True)
class Standing:
    """How one deployment stands."""

    in_flight: int = 0
    """Calls under way."""
    begun: int = 0
    """Calls that left: the number of the last one."""
    pace: Pace = field(default_factory=Pace)
    quota: Quota = field(default_factory=Quota)


class Fleet:
    """The standing of every deployment that was asked, by its name (`provider/model`).

    The least recently used are forgotten, but none with calls under way.
    """

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._standings: OrderedDict[str, Standing] = OrderedDict()
        self.outages = Outages()
        """Of whole providers."""

    def standing(self, name: str) -> Standing:
        """The deployment's standing, a new one where nothing is known."""
        found = self._standings.get(name)
        if found is not None:
            self._standings.move_to_end(name)
            return found
        if len(self._standings) >= self._most:
            self._forget()
        return self._standings.setdefault(name, Standing())

    def seen(self, name: str) -> Standing | None:
        """The deployment's standing; None, and nothing is remembered, where it was never asked."""
        return self._standings.get(name)

    def __iter__(self) -> Iterator[str]:
        """The names of those that were asked."""
        return iter(self._standings)

    def _forget(self) -> None:
        idle = next((name for name, standing in self._standings.items() if not standing.in_flight), None)
        if idle is not None:
            del self._standings[idle]
