"""Takes away what budgets have left behind."""

from __future__ import annotations

from dataclasses import dataclass

from mesh.clock import Clock
from mesh.mediator import Command
from services.ledger.ports import Spending

_KEPT = 7 * 86_400.0
"""Seconds for which leases and windows are kept after they are over: attempts that name them may still come."""


@dataclass(frozen=True, slots=True)
class TidyBudgets(Command[None]):
    """Asks for leases and accounts that nobody needs any more to be taken away."""


async def tidy_budgets(command: TidyBudgets, *, spending: Spending, clock: Clock) -> None:
    await spending.tidy(int((clock.time() - _KEPT) * 1_000_000))
