"""`tollway audit`: whether the books agree with themselves."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import orjson
from google.protobuf.json_format import MessageToDict
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from mesh.money import format_usd
from tollway.ledger.v1 import ledger_pb2
from tollway_cli.reading import Reading, reading
from tollway_cli.terminal import console

INVARIANTS = {
    ledger_pb2.AUDIT_INVARIANT_POSTINGS_SUM_TO_ZERO: "postings sum to zero",
    ledger_pb2.AUDIT_INVARIANT_ROWS_EQUAL_POSTINGS: "rows equal postings",
    ledger_pb2.AUDIT_INVARIANT_BALANCES_EQUAL_SUMS: "balances equal sums",
    ledger_pb2.AUDIT_INVARIANT_ROWS_EQUAL_PRICES: "rows cost what their usage costs",
    ledger_pb2.AUDIT_INVARIANT_TOTALS_EQUAL_ROWS: "daily totals equal rows",
    ledger_pb2.AUDIT_INVARIANT_BUDGETS_EQUAL_ROWS: "budgets equal rows and leases",
}


class Tally:
    """What an audit has found so far, and how far it is."""

    def __init__(self) -> None:
        self.last = ledger_pb2.AuditLedgerResponse()
        self.found: dict[int, int] = dict.fromkeys(INVARIANTS, 0)

    def add(self, response: ledger_pb2.AuditLedgerResponse) -> None:
        self.last = response
        for finding in response.findings:
            self.found[finding.invariant] = self.found.get(finding.invariant, 0) + 1

    @property
    def in_order(self) -> bool:
        return self.last.done and not any(self.found.values())


def verdict_table(tally: Tally) -> Table:
    """One invariant a row, with what it was proved of."""
    last = tally.last
    proved_of = {
        ledger_pb2.AUDIT_INVARIANT_POSTINGS_SUM_TO_ZERO: f"{last.postings:,} postings",
        ledger_pb2.AUDIT_INVARIANT_ROWS_EQUAL_POSTINGS: f"{last.attempts:,} attempts",
        ledger_pb2.AUDIT_INVARIANT_BALANCES_EQUAL_SUMS: f"{last.accounts:,} accounts",
        ledger_pb2.AUDIT_INVARIANT_ROWS_EQUAL_PRICES: f"{last.attempts:,} attempts",
        ledger_pb2.AUDIT_INVARIANT_TOTALS_EQUAL_ROWS: f"{last.days:,} days",
        ledger_pb2.AUDIT_INVARIANT_BUDGETS_EQUAL_ROWS: f"{last.budget_accounts:,} windows",
    }
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for invariant, words in INVARIANTS.items():
        found = tally.found[invariant]
        mark = f"[red]✗ {found:,} {'does' if found == 1 else 'do'} not[/]" if found else "[green]✓[/]"
        table.add_row(words, f"[dim]{proved_of[invariant]}[/]", mark)
    return table


def run_audit(*, as_json: bool, connect: str, key: str, data_dir: Path, config: Path | None) -> None:
    """Audits, prints, and ends with status 1 where something does not agree."""
    tally = asyncio.run(_audit(as_json, connect, key, data_dir, config))
    if not tally.in_order:
        raise SystemExit(1)


async def _audit(as_json: bool, connect: str, key: str, data_dir: Path, config: Path | None) -> Tally:
    async with reading(connect, key, data_dir, config) as source:
        return await (_told_to_programs(source) if as_json else _told_to_people(source))


async def _told_to_programs(source: Reading) -> Tally:
    tally = Tally()
    async for response in source.audit():
        tally.add(response)
        for finding in response.findings:
            sys.stdout.write(_json(finding))
    sys.stdout.write(_json(tally.last))
    return tally


async def _told_to_people(source: Reading) -> Tally:
    tally, out = Tally(), console()
    progress = Progress(
        TextColumn("auditing"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
        console=out if out.is_terminal else Console(stderr=True), transient=True,
    )  # fmt: skip
    with progress:
        task = progress.add_task("", total=None)
        async for response in source.audit():
            tally.add(response)
            progress.update(task, total=response.attempts_in_all, completed=response.attempts)
            for finding in response.findings:
                out.print(f"[red]✗[/] [bold]{escape(finding.subject)}[/] {escape(finding.message)}", highlight=False)
    if not tally.in_order:
        out.print()
    out.print(verdict_table(tally), highlight=False)
    out.print(f"\n{_verdict(tally)}", highlight=False)
    return tally


def _verdict(tally: Tally) -> str:
    last = tally.last
    words = f"The books are in order: ${format_usd(last.cost_nanos)} in all."
    if not tally.in_order:
        found = sum(tally.found.values())
        words = f"[bold red]The books do not agree: {found:,} finding{'' if found == 1 else 's'}.[/]"
    if last.conflicts:
        words += f" {last.conflicts:,} sent again with other content, kept apart in attempt_conflicts."
    return words


def _json(message: ledger_pb2.AuditFinding | ledger_pb2.AuditLedgerResponse) -> str:
    fields = MessageToDict(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
    fields.pop("findings", None)
    return orjson.dumps(fields).decode() + "\n"
