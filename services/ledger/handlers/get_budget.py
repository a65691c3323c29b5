"""Tells how a budget stands."""

from __future__ import annotations

from dataclasses import dataclass

from mesh.budgets import ANY
from mesh.clock import Clock
from mesh.errors import invalid
from mesh.mediator import Query
from services.ledger.domain.leasing import total
from services.ledger.domain.standing import accounts_at, standing
from services.ledger.handlers.update_budget import found
from services.ledger.ports import Budgets, Spending
from tollway.ledger.v1.budget_pb2 import Budget, BudgetStanding, GetBudgetResponse

MOST_STANDINGS = 1000


@dataclass(frozen=True, slots=True)
class GetBudget(Query[GetBudgetResponse]):
    """`subject` asks for one standing alone, where the scope has `*`."""

    budget_id: str
    subject: str = ""

    def check(self) -> None:
        if "\0" in self.subject:
            raise invalid("subject", "holds a null character")


async def get_budget(query: GetBudget, *, budgets: Budgets, spending: Spending, clock: Clock) -> GetBudgetResponse:
    """Raises TollwayError BUDGET_NOT_FOUND, and INVALID_REQUEST for a subject that the budget is not of."""
    book, now = await budgets.book(), int(clock.time() * 1_000_000)
    budget = found(book, query.budget_id)
    if query.subject and not book.holds(query.budget_id, query.subject):
        raise invalid("subject", f"{query.subject} does not fall under {query.budget_id}")
    standings = await standings_of(budget, now, spending, MOST_STANDINGS, query.subject)
    return GetBudgetResponse(budget=budget, standings=standings)


async def standings_of(
    budget: Budget, now: int, spending: Spending, most: int, subject: str = ""
) -> list[BudgetStanding]:
    """How a budget stands now: for a subject, or for the one it is of, or for those who spent most of it."""
    name = budget.scope.partition(":")[2]
    if subject or name != ANY:
        accounts = accounts_at(budget, subject or budget.scope, now)
        balances = await spending.balances(accounts)
        return [standing(budget, accounts, total(balances.values()))]
    accounts = accounts_at(budget, budget.scope, now)
    spenders = await spending.spenders(budget.budget_id, [account.start for account in accounts], most)
    return [
        standing(budget, [account._replace(subject=spender) for account in accounts], balance)
        for spender, balance in spenders
    ]
