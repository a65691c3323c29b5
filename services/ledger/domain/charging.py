"""Whose budgets attempts are charged to: those of their leases, and all others that they fall under.

An attempt counts to the window that its lease is of, without a lease to the one it started in, whenever it is booked or
adjusted. To which accounts it counts is settled when it is first known that it may cost something, and kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from mesh.budgets import BudgetBook
from services.ledger.domain.leasing import Account, Lease
from services.ledger.domain.posting import Change, may_have_postings
from services.ledger.domain.windows import window_at
from tollway.ledger.v1.ledger_pb2 import Attempt


@dataclass(slots=True)
class Charges:
    """What a batch comes to: which attempts count to which accounts from now on, and in nano-USD what that adds.

    `settled` is by lease; `unleased` is of `spent`.
    """

    rows: list[tuple[str, Account]] = field(default_factory=list)
    spent: dict[Account, int] = field(default_factory=dict)
    unleased: dict[Account, int] = field(default_factory=dict)
    settled: dict[str, int] = field(default_factory=dict)


def charges(
    changes: Iterable[Change],
    book: BudgetBook,
    leases: Mapping[str, Lease],
    charged: Mapping[str, Sequence[Account]],
    adjusted: Mapping[str, int],
) -> Charges:
    """What changed rows are charged to.

    `leases` are those that the attempts name and the ledger knows, `charged` the accounts that rows which were there
    count to, and `adjusted` what operators added to them.
    """
    made = Charges()
    for before, after in changes:
        if not may_have_postings(after):  # nothing is known to be owed: it is under way
            continue
        identifier = after.attempt_id
        there = charged.get(identifier, ())
        accounts = _accounts(after, book, leases, there)
        if not accounts:
            continue
        cost = after.cost_nanos
        more = cost - (before.cost_nanos if before else 0)
        # What it did not count to before, it counts to with all that it costs.
        whole = cost + adjusted.get(identifier, 0)
        for account in accounts:
            new = account not in there
            if new:
                made.rows.append((identifier, account))
            amount = whole if new else more
            made.spent[account] = made.spent.get(account, 0) + amount
            unleased = amount - _settle(made, after, leases, account, amount)
            if unleased > 0:  # what turns out to cost less frees nothing of a lease, which its router closes anyway
                made.unleased[account] = made.unleased.get(account, 0) + unleased
    return made


def _accounts(
    attempt: Attempt, book: BudgetBook, leases: Mapping[str, Lease], there: Sequence[Account]
) -> list[Account]:
    """Those it counts to already, those of its leases, and those of all else it falls under: of each budget and subject
    one, and the first of these."""
    found = {(account.budget_id, account.subject): account for account in there}
    for lease_id in attempt.lease_ids:
        if lease := leases.get(lease_id):
            found.setdefault(lease.account[:2], lease.account)
    claims = book.claims(attempt.tenant, attempt.project, attempt.api_key_id, attempt.model_requested, attempt.tags)
    for budget, subject in claims:
        if (budget.budget_id, subject) not in found:
            window = window_at(budget, attempt.start_time.ToMicroseconds())
            found[budget.budget_id, subject] = Account(budget.budget_id, subject, *window)
    return list(found.values())


def _settle(made: Charges, attempt: Attempt, leases: Mapping[str, Lease], account: Account, amount: int) -> int:
    """Takes an amount out of the attempt's leases of an account, as far as something is left of them: how much."""
    taken = 0
    for lease_id in attempt.lease_ids:
        lease = leases.get(lease_id)
        if lease is None or lease.account != account or amount <= taken:
            continue
        so_far = made.settled.get(lease_id, 0)
        part = min(amount - taken, lease.left - so_far)
        if part:
            made.settled[lease_id] = so_far + part
            taken += part
    return taken
