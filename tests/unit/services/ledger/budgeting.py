"""Budgets and leases to ask for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mesh.ids import uuid7
from tests.unit.services.ledger.conftest import Ledger
from tests.unit.services.ledger.samples import NOW, priced
from tollway.ledger.v1.budget_pb2 import (
    BUDGET_WINDOW_MONTH,
    Budget,
    BudgetStanding,
    CreateBudgetRequest,
    GetBudgetRequest,
    LeaseAnswer,
    LeaseBudgetRequest,
    LeaseWish,
    ReturnedLease,
    ReturnLeaseRequest,
)
from tollway.ledger.v1.ledger_pb2 import Attempt

CENT = 10_000_000
DOLLAR = 100 * CENT
MONTH = "project:demo/month"


def budget(scope: str = "project:demo", limit: int = DOLLAR, **changes: Any) -> Budget:
    """A hard budget by the month, unless said otherwise."""
    fields: dict[str, Any] = {"window": BUDGET_WINDOW_MONTH, "thresholds": [50, 80, 100]}
    return Budget(scope=scope, limit_nanos=limit, **fields | changes)


async def create(ledger: Ledger, scope: str = "project:demo", limit: int = DOLLAR, **changes: Any) -> Budget:
    request = CreateBudgetRequest(budget=budget(scope, limit, **changes))
    return (await ledger.stub.CreateBudget(request)).budget


async def lease(
    ledger: Ledger,
    wanted: int = 10 * CENT,
    least: int = 1,
    *,
    of: str = MONTH,
    subject: str = "project:demo",
    journal: str = "j1",
    lease_id: str = "",
) -> LeaseAnswer:
    """The answer to one wish."""
    wish = LeaseWish(budget_id=of, subject=subject, least_nanos=least, wanted_nanos=wanted, lease_id=lease_id)
    response = await ledger.stub.LeaseBudget(LeaseBudgetRequest(journal_id=journal, wishes=[wish]))
    return response.answers[0]


async def give_back(
    ledger: Ledger, lease_id: str, nanos: int = 0, *, closed: bool = False, journal: str = "j1"
) -> None:
    returned = ReturnedLease(lease_id=lease_id, nanos=nanos, closed=closed)
    await ledger.stub.ReturnLease(ReturnLeaseRequest(journal_id=journal, leases=[returned]))


def spent(nanos: int, *leases: str, at: float = NOW, **changes: Any) -> Attempt:
    """A settled attempt of the project demo that cost so much: by its tokens, in whole thousandths of a dollar."""
    fields: dict[str, Any] = {"project": "demo", "cost_nanos": nanos, "lease_ids": leases}
    return priced(at, tokens=(nanos // 1_000_000, 0), **fields | changes)


async def standing(ledger: Ledger, budget_id: str = MONTH, subject: str = "") -> BudgetStanding:
    """How a budget stands for one."""
    standings: Sequence[BudgetStanding] = (
        await ledger.stub.GetBudget(GetBudgetRequest(budget_id=budget_id, subject=subject))
    ).standings
    assert len(standings) == 1
    return standings[0]


async def sums(ledger: Ledger, budget_id: str = MONTH, subject: str = "") -> tuple[int, int, int]:
    """Of a budget: what is spent, granted, and spent without a lease."""
    stands = await standing(ledger, budget_id, subject)
    return stands.spent_nanos, stands.granted_nanos, stands.unleased_nanos


def new_id(at: float = NOW) -> str:
    return uuid7(at)
