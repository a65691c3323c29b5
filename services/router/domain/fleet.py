"""How deployments stand, by what this router saw of them: what strategies weigh, and why one is left alone."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

_MOST = 4096
"""Deployments remembered. Pass-through names are as many as clients make up."""


@dataclass(slots=True)
class Standing:
    """How one deployment stands."""

    in_flight: int = 0
    """Calls under way."""


class Fleet:
    """The standing of every deployment that was asked, by its name (`provider/model`).

    The least recently used are forgotten, but none with calls under way.
    """

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._standings: OrderedDict[str, Standing] = OrderedDict()

    def standing(self, name: str) -> Standing:
        """The deployment's standing, a new one where nothing is known."""
        found = self._standings.get(name)
        if found is not None:
            self._standings.move_to_end(name)
            return found
        if len(self._standings) >= self._most:
            self._forget()
        return self._standings.setdefault(name, Standing())

    def _forget(self) -> None:
        idle = next((name for name, standing in self._standings.items() if not standing.in_flight), None)
        if idle is not None:
            del self._standings[idle]
