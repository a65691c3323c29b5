"""The one with the fewest calls under way for its weight; by chance among equals."""

from __future__ import annotations

from services.router.domain.circumstances import Circumstances
from services.router.domain.routes import Candidate, Pool


def order(pool: Pool, around: Circumstances) -> list[Candidate]:
    loads = [(around.load(candidate), around.chance.random(), candidate) for candidate in pool.candidates]
    return [candidate for *_, candidate in sorted(loads, key=lambda load: load[:2])]


def why(candidate: Candidate, pool: Pool, around: Circumstances) -> str:
    return f"{around.in_flight(candidate)} calls under way, weight {candidate.deployment.weight}"
