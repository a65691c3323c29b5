"""The same deployment for the same beginning of a conversation, so that the provider's prompt cache is warm.

Consistent hashing with bounded loads: whoever is responsible for the beginning answers, unless it has more than its
share of all calls under way, and a quarter on top; then the next one that is responsible, and so on.
"""

from __future__ import annotations

from math import ceil

from services.router.domain.circumstances import Circumstances
from services.router.domain.prefix import prefix_of
from services.router.domain.rendezvous import ranked
from services.router.domain.routes import Candidate, Pool

BOUND = 1.25
"""How many times its fair share of the calls under way a deployment may have."""


def order(pool: Pool, around: Circumstances) -> list[Candidate]:
    responsible = ranked(prefix_of(around.chat), pool.candidates)
    room = {candidate.name: _has_room(candidate, pool, around) for candidate in responsible}
    return sorted(responsible, key=lambda candidate: not room[candidate.name])


def why(candidate: Candidate, pool: Pool, around: Circumstances) -> str:
    place = [each.name for each in ranked(prefix_of(around.chat), pool.candidates)].index(candidate.name) + 1
    full = "" if _has_room(candidate, pool, around) else ", but it has more than its share to do"
    return f"number {place} by the beginning of the conversation{full}"


def capacity(candidate: Candidate, pool: Pool, around: Circumstances) -> int:
    """How many calls under way the candidate may have once this question is asked."""
    total = sum(map(around.in_flight, pool.candidates)) + 1
    weights = sum(each.deployment.weight for each in pool.candidates)
    return ceil(BOUND * total * candidate.deployment.weight / weights)


def _has_room(candidate: Candidate, pool: Pool, around: Circumstances) -> bool:
    return around.in_flight(candidate) < capacity(candidate, pool, around)
