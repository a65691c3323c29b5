"""In the order of the configuration."""

from __future__ import annotations

from services.router.domain.circumstances import Circumstances
from services.router.domain.routes import Candidate, Pool


def order(pool: Pool, around: Circumstances) -> list[Candidate]:
    return list(pool.candidates)


def why(candidate: Candidate, pool: Pool, around: Circumstances) -> str:
    return "in the order of the configuration"
