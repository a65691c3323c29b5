"""Says that a threshold of a budget was reached, for as long as nobody else is told."""

from __future__ import annotations

import logging

from mesh.metrics import Metrics
from mesh.money import format_usd
from services.ledger.domain.events import BudgetThresholdReached

_log = logging.getLogger(__name__)


async def note_when_budget_threshold_reached(event: BudgetThresholdReached, *, metrics: Metrics) -> None:
    """A line in the log, and a count."""
    _log.warning(
        "%s has spent %d%% of its %s budget %s: $%s of $%s",
        event.subject,
        event.threshold,
        "soft" if event.soft else "hard",
        event.budget_id,
        format_usd(event.spent_nanos),
        format_usd(event.limit_nanos),
    )
    kind = event.subject.partition(":")[0]
    metrics.count("tollway.budget.thresholds", 1, {"scope": kind, "threshold": event.threshold, "soft": event.soft})
