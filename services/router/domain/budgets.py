"""What is said of a budget that cannot bear a call."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from mesh.errors import Reason, TollwayError
from mesh.money import format_usd
from mesh.prices import unix_seconds
from services.router.domain.funds import Fund
from tollway.ledger.v1.budget_pb2 import (
    BUDGET_WINDOW_DAY,
    BUDGET_WINDOW_MONTH,
    BUDGET_WINDOW_ROLLING,
    BUDGET_WINDOW_TOTAL,
    BUDGET_WINDOW_WEEK,
    Budget,
)

_PERIODS = {
    BUDGET_WINDOW_DAY: " a day",
    BUDGET_WINDOW_WEEK: " a week",
    BUDGET_WINDOW_MONTH: " a month",
    BUDGET_WINDOW_TOTAL: " in all",
}


def exceeded(budget: Budget, subject: str, fund: Fund, about: Mapping[str, str]) -> TollwayError:
    """What the client is told where nothing of the budget is left, or too little for what it asked."""
    standing = fund.standing
    allowed = f"{subject} may spend ${format_usd(budget.limit_nanos)}{_period(budget)}"
    metadata = {**about, "scope": subject, "budget": budget.budget_id, "limit_usd": format_usd(budget.limit_nanos)}
    if standing is None:
        return TollwayError(Reason.BUDGET_EXCEEDED, f"{allowed}, and nothing of it could be reserved.", metadata)
    metadata["spent_usd"] = format_usd(standing.spent_nanos)
    message = f"{allowed}, and has spent ${metadata['spent_usd']}"
    if standing.spent_nanos >= standing.limit_nanos:
        message += ": nothing is left"
    elif fund.held or fund.reserved:
        message += ": the rest is reserved for requests under way, or too little for this one"
    else:
        message += ": the rest is too little for this request"
    if standing.HasField("window_end_time"):
        ends = datetime.fromtimestamp(unix_seconds(standing.window_end_time), UTC)
        metadata["window_ends"] = ends.strftime("%Y-%m-%dT%H:%M:%SZ")
        message += f". Its next window begins at {metadata['window_ends']}"
    return TollwayError(Reason.BUDGET_EXCEEDED, f"{message}.", metadata)


def out_of_reach(subject: str, about: Mapping[str, str]) -> TollwayError:
    """What the client is told where the ledger is gone, and what had been leased of a budget is used up."""
    message = (
        f"{subject} has a budget, and the ledger that keeps it cannot be reached: nothing is spent of it until it can "
        "be (ledger.when_lost is deny)."
    )
    return TollwayError(Reason.SERVICE_UNAVAILABLE, message, {**about, "scope": subject})


def unpriced(provider: str, model: str, subject: str, about: Mapping[str, str]) -> TollwayError:
    """What the client is told where nobody knows what a call would cost that has to stay within a budget."""
    message = (
        f"{subject} has a budget, and {provider}/{model} has no price, so nobody could tell what is left. Set one "
        f'under `prices` in the configuration: {{provider: {provider}, model: "{model}", input: $…, output: $…}} (per '
        "1M tokens), or with LedgerService.SetPrice."
    )
    return TollwayError(Reason.MODEL_UNPRICED, message, {**about, "scope": subject})


def unbounded(provider: str, model: str, subject: str, operation: str, about: Mapping[str, str]) -> TollwayError:
    """What the client is told of a call that might cost anything, and has to stay within a budget."""
    message = (
        f"{subject} has a budget, and what a call for {operation} costs at most cannot be told beforehand: "
        f"{provider}/{model} has a price for its tokens. It could be asked at a price for each request alone, or for "
        "nothing, or under a soft budget."
    )
    return TollwayError(Reason.MODEL_UNPRICED, message, {**about, "scope": subject})


def _period(budget: Budget) -> str:
    if budget.window == BUDGET_WINDOW_ROLLING:
        return f" in {_span(budget.rolling.seconds)}"
    return _PERIODS.get(budget.window, "")


def _span(seconds: int) -> str:
    for unit, length in (("d", 86_400), ("h", 3600), ("m", 60)):
        if seconds % length == 0:
            return f"{seconds // length}{unit}"
    return f"{seconds}s"
