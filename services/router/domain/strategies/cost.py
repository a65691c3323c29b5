"""The cheapest that is expected to answer within the bound; those without a price after those with one.

Those beyond the bound come last, the fastest of them first. Of a deployment that was not measured yet, the best is
thought. Among equals, the one with the least to do comes first.
"""

from __future__ import annotations

from mesh.money import format_usd
from services.router.domain.circumstances import Circumstances, told
from services.router.domain.routes import Candidate, Pool


def order(pool: Pool, around: Circumstances) -> list[Candidate]:
    return sorted(pool.candidates, key=lambda candidate: _rank(candidate, pool, around))


def why(candidate: Candidate, pool: Pool, around: Circumstances) -> str:
    price = around.price(candidate)
    words = ["no price is known" if price is None else f"about ${format_usd(price)}"]
    if pool.route.latency_bound is not None:
        words.append(told(around.expected(candidate)))
        if _beyond(candidate, pool, around):
            words.append("beyond the bound")
    return ", ".join(words)


def _rank(candidate: Candidate, pool: Pool, around: Circumstances) -> tuple[bool, bool, float, float]:
    if _beyond(candidate, pool, around):
        return True, False, around.expected(candidate) or 0.0, around.load(candidate)
    price = around.price(candidate)
    return False, price is None, price or 0, around.load(candidate)


def _beyond(candidate: Candidate, pool: Pool, around: Circumstances) -> bool:
    bound, expected = pool.route.latency_bound, around.expected(candidate)
    return bound is not None and expected is not None and expected > bound
