"""Makes a budget."""

from __future__ import annotations

from dataclasses import dataclass

from mesh.clock import Clock
from mesh.errors import Reason, TollwayError, invalid
from mesh.mediator import Command
from services.ledger.domain.budgets import named, why_no_budget
from services.ledger.ports import Budgets
from tollway.ledger.v1.budget_pb2 import Budget


@dataclass(frozen=True, slots=True)
class CreateBudget(Command[Budget]):
    """The budget without its id and times."""

    budget: Budget

    def check(self) -> None:
        if why := why_no_budget(self.budget):
            field, _, description = why.partition(": ")
            raise invalid(f"budget.{field}", description)


async def create_budget(command: CreateBudget, *, budgets: Budgets, clock: Clock) -> Budget:
    """The budget as it was made. Raises TollwayError BUDGET_CONFLICT where its scope and window have one."""
    budget = named(command.budget)
    budget.configured = False
    if (await budgets.book()).find(budget.budget_id):
        raise TollwayError(
            Reason.BUDGET_CONFLICT,
            f"{budget.budget_id} is there already: change it, or choose another scope or window",
            {"budget_id": budget.budget_id},
        )
    return await budgets.put(budget, clock.time())
