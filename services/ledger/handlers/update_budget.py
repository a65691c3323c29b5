"""Changes a budget's limit, thresholds, or whether it is hard."""

from __future__ import annotations

from dataclasses import dataclass

from mesh.budgets import BudgetBook
from mesh.clock import Clock
from mesh.errors import Reason, TollwayError, invalid
from mesh.mediator import Command
from services.ledger.domain.budgets import on_terms_of, why_another, why_no_terms
from services.ledger.ports import Budgets
from tollway.ledger.v1.budget_pb2 import Budget


@dataclass(frozen=True, slots=True)
class UpdateBudget(Command[Budget]):
    """The budget as it is to be, found by its id."""

    budget: Budget

    def check(self) -> None:
        if why := why_no_terms(self.budget):
            field, _, description = why.partition(": ")
            raise invalid(f"budget.{field}", description)


async def update_budget(command: UpdateBudget, *, budgets: Budgets, clock: Clock) -> Budget:
    """The budget as it is now. Raises TollwayError INVALID_REQUEST for another scope, window or time zone, and as
    `changeable` does."""
    there = changeable(await budgets.book(), command.budget.budget_id)
    if why := why_another(there, command.budget):
        field, _, description = why.partition(": ")
        raise invalid(f"budget.{field}", description)
    return await budgets.put(on_terms_of(there, command.budget), clock.time())


def changeable(book: BudgetBook, budget_id: str) -> Budget:
    """The budget of that id. Raises TollwayError BUDGET_NOT_FOUND, BUDGET_CONFIGURED."""
    budget = found(book, budget_id)
    if budget.configured:
        raise TollwayError(
            Reason.BUDGET_CONFIGURED,
            f"{budget_id} stands in the configuration: change it there, and start the ledger again",
            {"budget_id": budget_id},
        )
    return budget


def found(book: BudgetBook, budget_id: str) -> Budget:
    """The budget of that id. Raises TollwayError BUDGET_NOT_FOUND."""
    if budget := book.find(budget_id):
        return budget
    raise TollwayError(Reason.BUDGET_NOT_FOUND, f"there is no budget {budget_id}", {"budget_id": budget_id[:200]})
