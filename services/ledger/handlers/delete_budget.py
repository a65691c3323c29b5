"""Ends a budget."""

from __future__ import annotations

from dataclasses import dataclass

from mesh.clock import Clock
from mesh.mediator import Command
from services.ledger.handlers.update_budget import changeable
from services.ledger.ports import Budgets


@dataclass(frozen=True, slots=True)
class DeleteBudget(Command[None]):
    """It holds no longer; what was spent of it is kept."""

    budget_id: str


async def delete_budget(command: DeleteBudget, *, budgets: Budgets, clock: Clock) -> None:
    """Raises TollwayError BUDGET_NOT_FOUND, BUDGET_CONFIGURED."""
    budget = changeable(await budgets.book(), command.budget_id)
    await budgets.end(budget.budget_id, clock.time())
