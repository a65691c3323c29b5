"""When a second attempt is worth making because the first is slow, and how many of them there may be."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

_MOST_SAVED = 10.0
"""Extra calls that may be made at once after a quiet time."""


@dataclass(frozen=True, slots=True)
class Hedge:
    """After how many seconds without content a second attempt is made; None: when it takes longer than 19 of 20 do.

    `budget` is how many extra calls there may be, as a share of all questions.
    """

    after: float | None
    budget: float


class HedgeBudget:
    """Extra calls that may be made: each question adds its share of one, and each extra call takes a whole one.

    It begins with nothing, so that extra calls are at no time more than their share.
    """

    __slots__ = ("_saved",)

    def __init__(self) -> None:
        self._saved = 0.0

    def note_question(self, share: float) -> None:
        self._saved = min(self._saved + share, _MOST_SAVED)

    def take(self) -> bool:
        """Whether an extra call may be made; then it counts as made."""
        if self._saved < 1.0 - 1e-9:
            return False
        self._saved -= 1.0
        return True


class HedgeBudgets:
    """One budget for each entry of the configuration's models, by its name."""

    def __init__(self) -> None:
        self._budgets: dict[str, HedgeBudget] = {}

    def of(self, route: str) -> HedgeBudget:
        return self._budgets.setdefault(route, HedgeBudget())


def patience(hedge: Hedge, p95s: Iterable[float | None]) -> float | None:
    """Seconds to wait for the first attempt. None: too little is known to call it slow.

    `p95s` are those of the model's deployments. The middle one is what is usual: one deployment that is slow these days
    must not make slowness usual.
    """
    if hedge.after is not None:
        return hedge.after
    known = sorted(p95 for p95 in p95s if p95 is not None)
    return known[(len(known) - 1) // 2] if known else None
