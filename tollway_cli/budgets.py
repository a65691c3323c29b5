"""`tollway budgets`: how they stand, and setting and ending those that the configuration does not have."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import orjson
from google.protobuf.duration_pb2 import Duration
from google.protobuf.json_format import MessageToDict
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from mesh.config.values import parse_budget_window, parse_thresholds
from mesh.money import format_usd
from tollway.ledger.v1 import budget_pb2
from tollway_cli.amounts import parse_amount
from tollway_cli.refusal import refuse
from tollway_cli.terminal import console

if TYPE_CHECKING:
    from tollway_cli.reading import Reading

_BAR = 24
"""Columns of a whole budget."""

DEFAULT_THRESHOLDS = "50,80,100"


@dataclass(frozen=True, slots=True)
class Source:
    """Where budgets are kept: the ledger at `connect`, else the database that the others lead to."""

    connect: str
    key: str
    data_dir: Path
    config: Path | None

    def open(self, *, writable: bool = False) -> AbstractAsyncContextManager[Reading]:
        from tollway_cli.reading import reading

        return reading(self.connect, self.key, self.data_dir, self.config, writable=writable)


def budgets_table(budgets: Sequence[budget_pb2.Budget], standings: Sequence[budget_pb2.BudgetStanding]) -> Table:
    """How budgets stand, one standing a row: what is spent (full), what routers hold (light), and what is left."""
    by_id = {budget.budget_id: budget for budget in budgets}
    table = Table(box=None, header_style="bold")
    for name in ("budget", "whose"):
        table.add_column(name, overflow="fold")
    for name in ("limit", "spent", "granted", "left"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("", width=_BAR)
    table.add_column("until (UTC)", no_wrap=True)
    table.add_column("notes")
    idle = by_id.keys() - {standing.budget_id for standing in standings}
    rows = [
        *standings,
        *(budget_pb2.BudgetStanding(budget_id=name, limit_nanos=by_id[name].limit_nanos) for name in idle),
    ]
    for standing in sorted(rows, key=lambda each: each.budget_id):
        budget = by_id[standing.budget_id]
        whose = standing.subject if standing.subject != budget.scope else ""
        left = standing.limit_nanos - standing.spent_nanos - standing.granted_nanos
        table.add_row(
            escape(standing.budget_id),
            escape(whose),
            format_usd(standing.limit_nanos),
            format_usd(standing.spent_nanos),
            format_usd(standing.granted_nanos),
            format_usd(left),
            bar(standing),
            _until(standing),
            ", ".join(_notes(budget, standing)),
        )
    return table


def bar(standing: budget_pb2.BudgetStanding) -> Text:
    """What is spent and what is granted, of the limit; red from the limit on."""
    limit = max(standing.limit_nanos, 1)
    spent = min(_BAR, _BAR * standing.spent_nanos // limit)
    # What there is a little of shows, and what is not used up does not look so.
    spent = max(spent, 1) if standing.spent_nanos else spent
    taken = min(_BAR, -(-_BAR * (standing.spent_nanos + standing.granted_nanos) // limit))
    held = max(taken - spent, 0) if standing.granted_nanos else 0
    colour = "red" if standing.spent_nanos >= limit else "cyan"
    return Text.assemble(("█" * spent, colour), ("▒" * held, colour), ("·" * (_BAR - spent - held), "dim"))


def _until(standing: budget_pb2.BudgetStanding) -> str:
    if not standing.HasField("window_end_time"):
        return ""
    return standing.window_end_time.ToDatetime().isoformat(" ", "minutes")


def _notes(budget: budget_pb2.Budget, standing: budget_pb2.BudgetStanding) -> list[str]:
    notes = ["soft"] if budget.soft else []
    if budget.configured:
        notes.append("configured")
    if standing.unleased_nanos and not budget.soft:
        notes.append(f"{format_usd(standing.unleased_nanos)} spent without a lease")
    if not standing.subject:
        notes.append("nobody has spent of it")
    return notes


def run_list(source: Source, *, as_json: bool) -> None:
    """Prints how budgets stand."""
    budgets, standings = asyncio.run(_read(source))
    if as_json:
        for message in (*budgets, *standings):
            fields = MessageToDict(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
            sys.stdout.write(orjson.dumps(fields).decode() + "\n")
        return
    if budgets:
        console().print(budgets_table(budgets, standings), highlight=False)
    else:
        sys.stdout.write(
            "There are none. `tollway budgets set project:demo '$100'` makes one, or `budgets:` in the file.\n"
        )


async def _read(source: Source) -> tuple[list[budget_pb2.Budget], list[budget_pb2.BudgetStanding]]:
    budgets, standings, token = list[budget_pb2.Budget](), list[budget_pb2.BudgetStanding](), ""
    async with source.open() as book:
        while True:
            page = await book.list_budgets(budget_pb2.ListBudgetsRequest(page_size=1000, page_token=token))
            budgets += page.budgets
            standings += page.standings
            token = page.next_page_token
            if not token:
                return budgets, standings


def asked(scope: str, window: str, time_zone: str) -> budget_pb2.Budget:
    """The budget of that scope and window. Raises ValueError for a window that is none."""
    try:
        parsed = parse_budget_window(window)
    except ValueError as error:
        raise ValueError(f"--window {window!r} {error}") from None
    budget = budget_pb2.Budget(scope=scope, time_zone="" if time_zone == "UTC" else time_zone)
    if isinstance(parsed, str):
        budget.window = budget_pb2.BudgetWindow.Value(f"BUDGET_WINDOW_{parsed.upper()}")
    else:
        budget.window = budget_pb2.BUDGET_WINDOW_ROLLING
        budget.rolling.CopyFrom(Duration(seconds=int(parsed)))
    return budget


def run_set(
    source: Source, scope: str, limit: str, window: str, time_zone: str, soft: bool | None, thresholds: str | None
) -> None:
    """Makes the budget, or changes what is said of the one that is there; prints what it is now."""
    try:
        budget = asked(scope, window, time_zone)
        budget.limit_nanos = _amount(limit)
        percents = None if thresholds is None else _percents(thresholds)
    except ValueError as error:
        refuse(str(error))
    made, before = asyncio.run(_set(source, budget, soft, percents))
    kind = "soft" if made.soft else "hard"
    told = f"{made.budget_id} is a {kind} budget of ${format_usd(made.limit_nanos)}"
    if before is not None and before.limit_nanos != made.limit_nanos:
        told += f", and was one of ${format_usd(before.limit_nanos)}"
    console().print(told + ".", highlight=False, markup=False)


def _amount(limit: str) -> int:
    try:
        nanos = parse_amount(limit)
    except ValueError as error:
        raise ValueError(f"LIMIT {error}") from None
    if not nanos:
        raise ValueError("LIMIT must be more than $0; `tollway budgets end` ends a budget")
    return nanos


def _percents(thresholds: str) -> tuple[int, ...]:
    listed = [each.strip() for each in thresholds.split(",") if each.strip()]
    try:
        return parse_thresholds(listed)
    except ValueError as error:
        raise ValueError(f"--thresholds {thresholds!r} {error}") from None


async def _set(
    source: Source, budget: budget_pb2.Budget, soft: bool | None, thresholds: tuple[int, ...] | None
) -> tuple[budget_pb2.Budget, budget_pb2.Budget | None]:
    there = await _find(source, budget)
    async with source.open(writable=True) as book:
        if there is None:
            budget.soft = bool(soft)
            budget.thresholds[:] = _percents(DEFAULT_THRESHOLDS) if thresholds is None else thresholds
            return (await book.create_budget(budget_pb2.CreateBudgetRequest(budget=budget))).budget, None
        changed = budget_pb2.Budget(budget_id=there.budget_id, limit_nanos=budget.limit_nanos)
        changed.soft = there.soft if soft is None else soft
        changed.thresholds[:] = there.thresholds if thresholds is None else thresholds
        return (await book.update_budget(budget_pb2.UpdateBudgetRequest(budget=changed))).budget, there


def run_end(source: Source, scope: str, window: str, time_zone: str) -> None:
    """Ends the budget, and says so."""
    try:
        budget = asked(scope, window, time_zone)
    except ValueError as error:
        refuse(str(error))
    budget_id = asyncio.run(_end(source, budget))
    console().print(f"{budget_id} is ended. What was spent of it is kept.", highlight=False, markup=False)


async def _end(source: Source, budget: budget_pb2.Budget) -> str:
    there = await _find(source, budget)
    if there is None:
        refuse(f"{budget.scope} has no such budget; `tollway budgets` lists those that there are")
    async with source.open(writable=True) as book:
        await book.delete_budget(budget_pb2.DeleteBudgetRequest(budget_id=there.budget_id))
    return there.budget_id


async def _find(source: Source, wanted: budget_pb2.Budget) -> budget_pb2.Budget | None:
    """The budget of the same scope and window, if there is one."""
    budgets, _ = await _read(source)
    return next((budget for budget in budgets if _place(budget) == _place(wanted)), None)


def _place(budget: budget_pb2.Budget) -> tuple[str, int, int, str]:
    return budget.scope, budget.window, budget.rolling.seconds, budget.time_zone
