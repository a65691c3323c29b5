"""Keeps whoever has to keep to budgets current."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass

from mesh.mediator import StreamQuery
from services.ledger.ports import Budgets, Changes
from tollway.ledger.v1.budget_pb2 import WatchBudgetsResponse


@dataclass(frozen=True, slots=True)
class WatchBudgets(StreamQuery[WatchBudgetsResponse]):
    """Asks for every budget, now and whenever one changes, until the ledger drains."""


async def watch_budgets(
    query: WatchBudgets, *, budgets: Budgets, changes: Changes
) -> AsyncIterator[WatchBudgetsResponse]:
    """Who reads slowly is spared the steps in between."""
    sent = None
    async with aclosing(changes.follow()) as followed:
        async for _ in followed:
            book = await budgets.book()
            if book is not sent:
                yield WatchBudgetsResponse(budgets=book.budgets)
                sent = book
