"""Slices of budgets: how large they are, what is left of one, and how a budget stands.

What was spent and what is held never come to more than the limit, as long as routers spend no more than they hold. A
slice is at most half of a fair share of what is left, so that slices shrink as a budget runs out and whoever comes
later finds something; only what a single call needs at least is granted whole.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

TERM = 60_000_000
"""Microseconds until a lease expires. So long may go on what had budget when the ledger is lost."""


class Account(NamedTuple):
    """What is summed up on its own: a budget, whose share of it, and a window as `windows` has it."""

    budget_id: str
    subject: str
    start: int
    end: int | None


class Balance(NamedTuple):
    """What an account comes to, in nano-USD; `told` is the highest threshold that was told of it, in per cent."""

    spent: int = 0
    granted: int = 0
    unleased: int = 0
    told: int = 0


def total(balances: Iterable[Balance]) -> Balance:
    """Several parts of a window together."""
    spent = granted = unleased = told = 0
    for balance in balances:
        spent += balance.spent
        granted += balance.granted
        unleased += balance.unleased
        told = max(told, balance.told)
    return Balance(spent, granted, unleased, told)


@dataclass(frozen=True, slots=True)
class Lease:
    """A router's slice, in nano-USD: what it was granted in all, what of it came back, and what calls were charged.

    `expires` is in microseconds since the epoch.
    """

    lease_id: str
    journal_id: str
    account: Account
    granted: int
    returned: int
    settled: int
    expires: int
    closed: bool

    @property
    def left(self) -> int:
        """What may still come of it, and so is charged to the budget."""
        return 0 if self.closed else self.granted - self.returned - self.settled


def slice_of(left: int, least: int, wanted: int, others: int) -> int:
    """How much is granted to one of `others` + 1 routers where so much is left; less than `least` is a refusal: 0."""
    if least > left:
        return 0
    return min(wanted, max(least, left // (2 * (others + 1))))


def takes_back(lease: Lease, in_all: int) -> int:
    """What comes back of a lease of which `in_all` is returned so far: what is new about it, and still there."""
    return min(max(in_all - lease.returned, 0), lease.left)


def expiry(now: int, end: int | None) -> int:
    """When what is granted now expires."""
    return now + TERM if end is None else min(now + TERM, end)
