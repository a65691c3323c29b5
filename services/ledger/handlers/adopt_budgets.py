"""Brings in the budgets of the configuration, when the ledger starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mesh.clock import Clock
from mesh.errors import invalid
from mesh.mediator import Command
from services.ledger.domain.budgets import News, news, why_no_budget
from services.ledger.ports import Budgets
from tollway.ledger.v1.budget_pb2 import Budget


@dataclass(frozen=True, slots=True)
class AdoptBudgets(Command[News]):
    """The configuration's budgets, in its order."""

    budgets: Sequence[Budget]

    def check(self) -> None:
        for index, budget in enumerate(self.budgets):
            if why := why_no_budget(budget):
                field, _, description = why.partition(": ")
                raise invalid(f"budgets[{index}].{field}", description)


async def adopt_budgets(command: AdoptBudgets, *, budgets: Budgets, clock: Clock) -> News:
    """What that changed. A limit takes effect, and what was spent stays spent; what the configuration has no longer,
    ends. Budgets made by RPC are let be."""
    there = {budget.budget_id: budget for budget in (await budgets.book()).budgets}
    made, now = news(command.budgets, there), clock.time()
    for budget in made.put:
        await budgets.put(budget, now)
    for budget_id in made.ended:
        await budgets.end(budget_id, now)
    return made
