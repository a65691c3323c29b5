"""Grants slices of budgets to routers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from google.protobuf.duration_pb2 import Duration

from mesh.budgets import BudgetBook
from mesh.clock import Clock
from mesh.errors import invalid
from mesh.ids import uuid7
from mesh.mediator import Command
from mesh.money import MOST_COST_NANOS
from services.ledger.domain.leasing import Account, Balance, expiry, slice_of, total
from services.ledger.domain.leasing import Lease as Held
from services.ledger.domain.standing import accounts_at, accounts_with, standing, timestamp
from services.ledger.domain.validation import LONGEST_NAME, is_uuid7
from services.ledger.ports import Budgets, Leases, Spending
from tollway.ledger.v1.budget_pb2 import Budget, Lease, LeaseAnswer, LeaseBudgetResponse, LeaseWish

MOST_WISHES = 1000
LONGEST_SUBJECT = 4200


@dataclass(frozen=True, slots=True)
class LeaseBudget(Command[LeaseBudgetResponse]):
    """Asks for slices; see LeaseBudgetRequest."""

    journal_id: str
    wishes: Sequence[LeaseWish]

    def check(self) -> None:
        check_journal(self.journal_id)
        if len(self.wishes) > MOST_WISHES:
            raise invalid("wishes", f"are {len(self.wishes)}; a request holds at most {MOST_WISHES}")
        for index, wish in enumerate(self.wishes):
            if why := _why_not(wish):
                field, _, description = why.partition(": ")
                raise invalid(f"wishes[{index}].{field}", description)


def check_journal(journal_id: str) -> None:
    """Raises TollwayError INVALID_REQUEST for what is no journal's id."""
    if not journal_id or len(journal_id) > LONGEST_NAME or "\0" in journal_id:
        raise invalid("journal_id", f"must be the router's journal, in at most {LONGEST_NAME} characters")


def _why_not(wish: LeaseWish) -> str:
    if not wish.budget_id or "\0" in wish.budget_id:
        return "budget_id: must name a budget, as WatchBudgets tells them"
    if not re.match(r"[a-z]+:.", wish.subject) or "\0" in wish.subject or len(wish.subject) > LONGEST_SUBJECT:
        return "subject: must be whose slice it is, such as project:demo"
    if wish.lease_id and not is_uuid7(wish.lease_id):
        return "lease_id: is not a UUID version 7 in lower case"
    least = 0 if wish.lease_id and not wish.wanted_nanos else 1
    if not least <= wish.least_nanos <= MOST_COST_NANOS:
        return f"least_nanos: {wish.least_nanos} is not between {least} and {MOST_COST_NANOS}"
    if not wish.least_nanos <= wish.wanted_nanos <= MOST_COST_NANOS:
        return f"wanted_nanos: {wish.wanted_nanos} is not between least_nanos and {MOST_COST_NANOS}"
    return ""


async def lease_budget(
    command: LeaseBudget, *, budgets: Budgets, spending: Spending, leases: Leases, clock: Clock
) -> LeaseBudgetResponse:
    """An answer per wish, in the order of the command. Raises TollwayError INVALID_REQUEST for a lease of another."""
    book, now = await budgets.book(), int(clock.time() * 1_000_000)
    granting = _Granting(command.journal_id, book, spending, leases, now)
    return LeaseBudgetResponse(
        answers=[await granting.answer(index, wish) for index, wish in enumerate(command.wishes)]
    )


@dataclass(frozen=True, slots=True)
class _Granting:
    journal_id: str
    book: BudgetBook
    spending: Spending
    leases: Leases
    now: int

    async def answer(self, index: int, wish: LeaseWish) -> LeaseAnswer:
        budget = self.book.find(wish.budget_id)
        if budget is None or budget.soft or not self.book.holds(wish.budget_id, wish.subject):
            return LeaseAnswer(not_needed=True)
        there = await self._there(index, wish)
        counted = accounts_at(budget, wish.subject, self.now)
        if there is not None:
            counted = accounts_with(budget, there.account, self.now)
        balance = total((await self.spending.balances(counted)).values())
        nanos = await self._slice(budget, wish, counted, balance)
        answer = LeaseAnswer()
        if nanos or not wish.wanted_nanos:
            lease = await self._grant(wish, there, counted[-1], nanos)
            answer.lease.CopyFrom(_told(lease, self.now))
            balance = balance._replace(granted=balance.granted + nanos)
        elif balance.spent + wish.least_nanos <= budget.limit_nanos:
            answer.reserved = True
            await self.leases.recall(counted, self.journal_id, self.now)
        answer.standing.CopyFrom(standing(budget, counted, balance))
        return answer

    async def _there(self, index: int, wish: LeaseWish) -> Held | None:
        """The lease that is to grow; None where there is none, or it is closed."""
        if not wish.lease_id:
            return None
        lease = (await self.leases.find([wish.lease_id])).get(wish.lease_id)
        if lease is None or lease.closed:
            return None
        for said, is_ in (
            ("journal", lease.journal_id == self.journal_id),
            ("budget", lease.account.budget_id == wish.budget_id),
            ("subject", lease.account.subject == wish.subject),
        ):
            if not is_:
                raise invalid(f"wishes[{index}].lease_id", f"{wish.lease_id} is a lease of another {said}")
        return lease

    async def _slice(self, budget: Budget, wish: LeaseWish, counted: Sequence[Account], balance: Balance) -> int:
        if not wish.wanted_nanos:
            return 0
        left = budget.limit_nanos - balance.spent - balance.granted
        others = {*await self.leases.holders(counted, self.now)} - {self.journal_id}
        return slice_of(left, wish.least_nanos, wish.wanted_nanos, len(others))

    async def _grant(self, wish: LeaseWish, there: Held | None, account: Account, nanos: int) -> Held:
        if there is not None:
            expires = max(there.expires, expiry(self.now, there.account.end))
            lease = replace(there, granted=there.granted + nanos, expires=expires)
        else:
            # The id of a lease that is closed is taken.
            taken = bool(wish.lease_id and await self.leases.find([wish.lease_id]))
            name = uuid7(self.now / 1_000_000) if taken or not wish.lease_id else wish.lease_id
            expires = expiry(self.now, account.end)
            lease = Held(name, self.journal_id, account, nanos, 0, 0, expires, closed=False)
        await self.leases.put(there, lease)
        return lease


def _told(lease: Held, now: int) -> Lease:
    term = max(lease.expires - now, 0)
    told = Lease(
        lease_id=lease.lease_id,
        budget_id=lease.account.budget_id,
        subject=lease.account.subject,
        granted_nanos=lease.granted,
        expire_time=timestamp(lease.expires),
        term=Duration(seconds=term // 1_000_000, nanos=term % 1_000_000 * 1000),
    )
    if lease.account.end is not None:
        told.window_end_time.CopyFrom(timestamp(lease.account.end))
    return told
