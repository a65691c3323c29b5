"""By chance, each as often first as its weight says, and, when the first fails, next by the same rule."""

from __future__ import annotations

from math import log

from services.router.domain.circumstances import Circumstances
from services.router.domain.routes import Candidate, Pool


def order(pool: Pool, around: Circumstances) -> list[Candidate]:
    # Whoever would come first of several that come at random, as often as their weights say (Efraimidis, Spirakis).
    arrivals = [(-log(1.0 - around.chance.random()) / each.deployment.weight, each) for each in pool.candidates]
    return [candidate for _, candidate in sorted(arrivals, key=lambda arrival: arrival[0])]


def why(candidate: Candidate, pool: Pool, around: Circumstances) -> str:
    total = sum(each.deployment.weight for each in pool.candidates)
    return f"by chance; first in {candidate.deployment.weight} of {total} cases"
