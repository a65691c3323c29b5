"""What has happened that others may want to know of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mesh.mediator import Event
from services.ledger.domain.leasing import Balance
from tollway.ledger.v1.budget_pb2 import Budget


@dataclass(frozen=True, slots=True)
class BudgetThresholdReached(Event):
    """What was spent of a budget has come to a share of its limit. Told once a window.

    Amounts are nano-USD, `threshold` is in per cent of the limit, and `window_start` in microseconds since the epoch.
    """

    budget_id: str
    subject: str
    window_start: int
    threshold: int
    spent_nanos: int
    limit_nanos: int
    soft: bool


def thresholds_reached(
    budget: Budget, subject: str, window_start: int, balance: Balance
) -> Sequence[BudgetThresholdReached]:
    """What is to be told of a balance, and was not."""
    return [
        BudgetThresholdReached(
            budget.budget_id, subject, window_start, percent, balance.spent, budget.limit_nanos, budget.soft
        )
        for percent in budget.thresholds
        if percent > balance.told and balance.spent * 100 >= percent * budget.limit_nanos
    ]
