"""Lists budgets and how they stand, by scope."""

from __future__ import annotations

from dataclasses import dataclass

from mesh.clock import Clock
from mesh.mediator import Query
from services.ledger.domain import paging
from services.ledger.handlers.get_budget import standings_of
from services.ledger.ports import Budgets, Spending
from tollway.ledger.v1.budget_pb2 import ListBudgetsResponse

MOST_STANDINGS = 100
"""Of a budget."""


@dataclass(frozen=True, slots=True)
class ListBudgets(Query[ListBudgetsResponse]):
    """Asks for one page; see ListBudgetsRequest."""

    page_size: int = 0
    page_token: str = ""


async def list_budgets(
    query: ListBudgets, *, budgets: Budgets, spending: Spending, clock: Clock
) -> ListBudgetsResponse:
    """The page, and the token of the next. Raises TollwayError INVALID_REQUEST for a token that is not ours."""
    size, now = paging.size(query.page_size), int(clock.time() * 1_000_000)
    after = str(paging.decode_token(b"budgets", query.page_token)[0]) if query.page_token else ""
    # All are read for a page of them: they are few, and every router holds them all anyway.
    rest = [budget for budget in (await budgets.book()).budgets if budget.budget_id > after]
    page = rest[:size]
    standings = [each for budget in page for each in await standings_of(budget, now, spending, MOST_STANDINGS)]
    token = paging.encode_token(b"budgets", [page[-1].budget_id]) if len(rest) > size else ""
    return ListBudgetsResponse(budgets=page, standings=standings, next_page_token=token)
