"""How the deployments of one name are put in order: a strategy a module.

Each has `order`, which gives all the candidates it is given, and `why`, which says in a few words what a candidate's
place came from. Both are pure: time and chance are in the `Circumstances`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from services.router.domain.circumstances import Circumstances
from services.router.domain.routes import Candidate, Pool
from services.router.domain.strategies import affinity, cost, latency, least_busy, ordered, weighted


class Strategy(Protocol):
    """A module of this package."""

    def order(self, pool: Pool, around: Circumstances) -> list[Candidate]: ...

    def why(self, candidate: Candidate, pool: Pool, around: Circumstances) -> str: ...


STRATEGIES: Mapping[str, Strategy] = {
    "ordered": ordered,
    "weighted": weighted,
    "least_busy": least_busy,
    "latency": latency,
    "cost": cost,
    "affinity": affinity,
}
"""By the name that the configuration uses."""
