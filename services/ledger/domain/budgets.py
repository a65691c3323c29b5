"""What a budget may look like, what it is called, and what becomes of those that stand in the configuration."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from mesh.config.values import SCOPES, format_duration
from mesh.money import MOST_COST_NANOS
from services.ledger.domain.validation import LONGEST_NAME
from tollway.ledger.v1.budget_pb2 import (
    BUDGET_WINDOW_DAY,
    BUDGET_WINDOW_MONTH,
    BUDGET_WINDOW_ROLLING,
    BUDGET_WINDOW_TOTAL,
    BUDGET_WINDOW_WEEK,
    Budget,
    BudgetWindow,
)

SHORTEST_ROLLING, LONGEST_ROLLING = 60, 10 * 365 * 86_400
"""Seconds of a rolling window."""

HIGHEST_THRESHOLD, MOST_THRESHOLDS = 1000, 16
NAMES = {
    BUDGET_WINDOW_DAY: "day",
    BUDGET_WINDOW_WEEK: "week",
    BUDGET_WINDOW_MONTH: "month",
    BUDGET_WINDOW_TOTAL: "total",
}
"""What windows are called; a rolling one by how long it is."""

_CALENDAR = frozenset({BUDGET_WINDOW_DAY, BUDGET_WINDOW_WEEK, BUDGET_WINDOW_MONTH})


def why_no_budget(budget: Budget) -> str:
    """Why there cannot be such a budget, beginning with the field's name; empty where there can."""
    return _why_not_scope(budget.scope) or _why_not_window(budget) or why_no_terms(budget)


def why_no_terms(budget: Budget) -> str:
    """Why a budget cannot have these terms: what of it can be changed."""
    if not 1 <= budget.limit_nanos <= MOST_COST_NANOS:
        return f"limit_nanos: {budget.limit_nanos} is not between 1 and {MOST_COST_NANOS}"
    return _why_not_thresholds(budget.thresholds)


def _why_not_scope(scope: str) -> str:
    kind, _, name = scope.partition(":")
    if kind not in SCOPES or not name:
        return f"scope: must be such as project:demo or key:*, of {', '.join(SCOPES)}"
    if name != name.strip() or not name.isprintable() or len(name) > LONGEST_NAME:
        return f"scope: must have a name of at most {LONGEST_NAME} characters, none of them control characters"
    if "*" in name and name != "*":
        return "scope: must have a name, or a * alone for every one on its own"
    return ""


def _why_not_window(budget: Budget) -> str:
    if budget.window not in NAMES and budget.window != BUDGET_WINDOW_ROLLING:
        return f"window: {budget.window} is none of {', '.join(BudgetWindow.keys()[1:])}"
    if budget.window == BUDGET_WINDOW_ROLLING:
        whole = not budget.rolling.nanos and SHORTEST_ROLLING <= budget.rolling.seconds <= LONGEST_ROLLING
        if not whole:
            return f"rolling: must be whole seconds from {SHORTEST_ROLLING} to {LONGEST_ROLLING}"
    elif budget.HasField("rolling"):
        return "rolling: is for BUDGET_WINDOW_ROLLING alone"
    if budget.time_zone and budget.window not in _CALENDAR:
        return "time_zone: is for days, weeks and months alone"
    if budget.time_zone and not _is_zone(budget.time_zone):
        return f"time_zone: {budget.time_zone!r} is no time zone such as Europe/Zurich"
    return ""


def _is_zone(name: str) -> bool:
    # Imported late: most budgets do without.
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # a name that is none, leads elsewhere, or is a folder
        return False
    return True


def _why_not_thresholds(thresholds: Sequence[int]) -> str:
    if len(thresholds) > MOST_THRESHOLDS:
        return f"thresholds: are {len(thresholds)}, more than {MOST_THRESHOLDS}"
    for index, percent in enumerate(thresholds):
        if not 1 <= percent <= HIGHEST_THRESHOLD:
            return f"thresholds[{index}]: {percent} is not between 1 and {HIGHEST_THRESHOLD}"
        if index and percent <= thresholds[index - 1]:
            return f"thresholds[{index}]: {percent} is not more than the one before"
    return ""


def window_name(budget: Budget) -> str:
    """`month`, `6h` or `day@Europe/Zurich`."""
    if budget.window == BUDGET_WINDOW_ROLLING:
        return format_duration(budget.rolling.seconds)
    zone = "" if budget.time_zone in ("", "UTC") else f"@{budget.time_zone}"
    return NAMES[budget.window] + zone


def named(budget: Budget) -> Budget:
    """The budget under its name: its scope and window, which no other has and which never change."""
    made = Budget()
    made.CopyFrom(budget)
    if made.time_zone == "UTC":
        made.time_zone = ""
    made.budget_id = f"{made.scope}/{window_name(made)}"
    return made


def on_terms_of(budget: Budget, terms: Budget) -> Budget:
    """The budget with the limit, softness and thresholds of another."""
    made = Budget()
    made.CopyFrom(budget)
    made.limit_nanos, made.soft = terms.limit_nanos, terms.soft
    made.thresholds[:] = terms.thresholds
    return made


def why_another(budget: Budget, told: Budget) -> str:
    """Which of the fields that never change is told differently from how it is; empty where none is."""
    if told.scope and told.scope != budget.scope:
        return f"scope: is {budget.scope}, and cannot be changed"
    if told.window and (told.window != budget.window or told.rolling != budget.rolling):
        return f"window: is {window_name(budget)}, and cannot be changed"
    if told.time_zone and told.time_zone != (budget.time_zone or "UTC"):
        return f"time_zone: is {budget.time_zone or 'UTC'}, and cannot be changed"
    return ""


class News(NamedTuple):
    """What the configuration changes: budgets to be there from now on, and the ids of those that end."""

    put: list[Budget]
    ended: list[str]


def news(configured: Iterable[Budget], there: Mapping[str, Budget]) -> News:
    """What a configuration changes about the budgets there are. It takes over one that was made by RPC."""
    wanted = {budget.budget_id: budget for budget in map(named, configured)}
    put = []
    for budget_id, budget in wanted.items():
        budget.configured = True
        known = there.get(budget_id)
        if known is None:
            put.append(budget)
        elif not known.configured or on_terms_of(known, budget) != known:
            taken = on_terms_of(known, budget)
            taken.configured = True
            put.append(taken)
    return News(put, [name for name, budget in there.items() if budget.configured and name not in wanted])
