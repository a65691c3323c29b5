"""Counts what attempts cost to the budgets they fall under, beside booking them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from mesh.budgets import BudgetBook
from mesh.mediator import Event
from services.ledger.domain.charging import Charges, charges
from services.ledger.domain.events import thresholds_reached
from services.ledger.domain.leasing import Account, total
from services.ledger.domain.posting import Change, may_have_postings
from services.ledger.domain.standing import accounts_beside
from services.ledger.domain.validation import is_uuid7
from services.ledger.ports import Adjustments, Budgets, Leases, Outbox, Spending
from tollway.ledger.v1.ledger_pb2 import Attempt


@dataclass(frozen=True, slots=True)
class Charging:
    """What a transaction that books or adjusts attempts does for budgets; without any, it asks for that alone."""

    budgets: Budgets
    spending: Spending
    leases: Leases
    adjustments: Adjustments
    outbox: Outbox

    async def book(self, changes: Sequence[Change], now: float) -> None:
        """Charges changed rows to their leases and budgets, and tells of thresholds that this reached."""
        if not await self.budgets.ever():
            return
        book = await self.budgets.book()
        # What is no lease's id is a lease that nobody knows: its attempt is booked all the same.
        named = {lease_id for _, after in changes for lease_id in after.lease_ids if is_uuid7(lease_id)}
        moved = [before.attempt_id for before, _ in changes if before and may_have_postings(before)]
        leases = await self.leases.find(named) if named else {}
        charged = await self.spending.charged(moved) if moved else {}
        adjusted = await self.adjustments.of(moved) if moved else {}
        made = charges(changes, book, leases, charged, adjusted)
        if made.spent:
            await self.spending.charge(made, leases)
            await self._tell(made.spent, book, now)

    async def adjust(self, attempt: Attempt, amount_nanos: int, now: float) -> None:
        """Counts what an operator added where the attempt counts."""
        accounts = (await self.spending.charged([attempt.attempt_id])).get(attempt.attempt_id, ())
        if accounts:
            await self.spending.charge(Charges(spent=dict.fromkeys(accounts, amount_nanos)), {})
            await self._tell(accounts, await self.budgets.book(), now)

    async def _tell(self, touched: Collection[Account], book: BudgetBook, now: float) -> None:
        """Puts an event for every threshold that was reached and not told yet into the outbox."""
        micros = int(now * 1_000_000)
        beside: dict[Account, list[Account]] = {}
        for account in touched:
            budget = book.find(account.budget_id)
            if budget is not None and budget.thresholds:
                beside[account] = accounts_beside(budget, account, micros)
        if not beside:
            return
        balances = await self.spending.balances({each for counted in beside.values() for each in counted})
        events: list[Event] = []
        told: dict[Account, int] = {}
        for account, counted in beside.items():
            budget = book.find(account.budget_id)
            assert budget is not None
            balance = total(balances[each] for each in counted if each in balances)
            reached = thresholds_reached(budget, account.subject, counted[0].start, balance)
            if reached:
                events += reached
                told[account] = reached[-1].threshold
        await self.spending.tell(told)
        await self.outbox.put(events, now)
