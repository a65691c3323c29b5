"""The better of two that are drawn by chance, by what each is expected to take (`domain.pace`); then the others.

Taking the best of all would send everybody to the same one until its figure changes; of two drawn at random, the
slowest of several is never taken while another one is faster, and no herd forms. Weights do not count: a deployment
that can do more is faster under the same load.
"""

from __future__ import annotations

from services.router.domain.circumstances import Circumstances, told
from services.router.domain.routes import Candidate, Pool


def order(pool: Pool, around: Circumstances) -> list[Candidate]:
    costs = {candidate.name: _cost(candidate, around) for candidate in pool.candidates}
    drawn = around.chance.sample(pool.candidates, min(2, len(pool.candidates)))
    first = min(drawn, key=lambda candidate: costs[candidate.name])
    others = sorted(pool.candidates, key=lambda candidate: costs[candidate.name])
    return [first, *(candidate for candidate in others if candidate is not first)]


def why(candidate: Candidate, pool: Pool, around: Circumstances) -> str:
    what = "first content" if around.streamed else "answer"
    return f"{what}: {told(around.expected(candidate))}; {around.in_flight(candidate)} calls under way"


def _cost(candidate: Candidate, around: Circumstances) -> float:
    standing = around.fleet.seen(candidate.name)
    if standing is None:
        return 0.0
    return standing.pace.cost(around.now, standing.in_flight, streamed=around.streamed)
