"""How a budget stands, as it is told."""

from __future__ import annotations

from collections.abc import Sequence

from google.protobuf.timestamp_pb2 import Timestamp

from services.ledger.domain.leasing import Account, Balance
from services.ledger.domain.windows import counted_at, counted_with
from tollway.ledger.v1.budget_pb2 import BUDGET_WINDOW_ROLLING, BUDGET_WINDOW_TOTAL, Budget, BudgetStanding


def accounts_at(budget: Budget, subject: str, micros: int) -> list[Account]:
    """The accounts of a subject that count at a moment, oldest first; what is spent then goes to the last one."""
    return [Account(budget.budget_id, subject, *window) for window in counted_at(budget, micros)]


def accounts_beside(budget: Budget, account: Account, now: int) -> list[Account]:
    """The accounts that are held against the limit with this one: itself, of a rolling budget all that count now."""
    return accounts_at(budget, account.subject, now) if budget.window == BUDGET_WINDOW_ROLLING else [account]


def accounts_with(budget: Budget, account: Account, now: int) -> list[Account]:
    """The accounts that more of a lease of this one is held against: itself, and all that it ever counts together with.

    A lease may be older than what counts now, and grows where it is: what would fit into today must fit there, too.
    """
    if budget.window != BUDGET_WINDOW_ROLLING:
        return [account]
    return [Account(*account[:2], *window) for window in counted_with(budget, account.start, now)]


def standing(budget: Budget, accounts: Sequence[Account], balance: Balance) -> BudgetStanding:
    """How somebody's accounts stand, oldest first, which come to that balance."""
    told = BudgetStanding(
        budget_id=budget.budget_id,
        subject=accounts[0].subject,
        limit_nanos=budget.limit_nanos,
        spent_nanos=balance.spent,
        granted_nanos=balance.granted,
        # What turned out to cost less than was first booked may leave less spent than that.
        unleased_nanos=min(balance.unleased, balance.spent),
    )
    if budget.window != BUDGET_WINDOW_TOTAL:
        told.window_start_time.CopyFrom(timestamp(accounts[0].start))
        end = accounts[-1].end
        if end is not None and budget.window != BUDGET_WINDOW_ROLLING:
            told.window_end_time.CopyFrom(timestamp(end))
    return told


def timestamp(micros: int) -> Timestamp:
    return Timestamp(seconds=micros // 1_000_000, nanos=micros % 1_000_000 * 1000)
