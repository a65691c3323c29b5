"""`tollway reconcile`: a provider's usage export beside the book."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from pathlib import Path

import orjson
from google.protobuf.json_format import MessageToDict
from rich.markup import escape
from rich.table import Table

from mesh.money import format_usd
from tollway.ledger.v1 import invoice_pb2, ledger_pb2
from tollway_cli.reading import Reading, reading
from tollway_cli.refusal import refuse
from tollway_cli.spend import attempts_table
from tollway_cli.terminal import console

FORMATS = {
    "openai": invoice_pb2.INVOICE_FORMAT_OPENAI,
    "anthropic": invoice_pb2.INVOICE_FORMAT_ANTHROPIC,
    "generic": invoice_pb2.INVOICE_FORMAT_GENERIC,
}
COMPARED = {
    "input_tokens": "input",
    "cached_input_tokens": "cached",
    "cache_write_tokens": "written",
    "output_tokens": "output",
    "cost_nanos": "USD",
}
"""Figures that have to agree, and what they are called. Requests are not among them: attempts that a provider answered
with an error are in the book, and in no export."""
_PIECE = 64 * 1024


@dataclass
class Compared:
    """What the comparison came to."""

    lines: list[invoice_pb2.InvoiceLine] = field(default_factory=list)
    last: invoice_pb2.ReconcileInvoiceResponse = field(default_factory=invoice_pb2.ReconcileInvoiceResponse)


def drift(line: invoice_pb2.InvoiceLine, figure: str) -> int | None:
    """By how much the export has more than was booked; None where it does not say."""
    if not line.invoiced.HasField(figure):  # type: ignore[arg-type] # one of its fields
        return None
    return int(getattr(line.invoiced, figure) - getattr(line.booked, figure))


def drifts(line: invoice_pb2.InvoiceLine, tolerance: Decimal) -> list[str]:
    """The figures that differ by more than that many percent of the larger side.

    What was booked and is not in the export at all differs, too.
    """
    if not line.models_invoiced and line.models_booked:
        return [figure for figure in COMPARED if getattr(line.booked, figure)]
    return [figure for figure in COMPARED if _differs(line, figure, tolerance)]


def _differs(line: invoice_pb2.InvoiceLine, figure: str, tolerance: Decimal) -> bool:
    by = drift(line, figure)
    if not by:
        return False
    larger: int = max(getattr(line.invoiced, figure), getattr(line.booked, figure))
    return abs(by) * 100 > tolerance * larger


def parse_tolerance(text: str) -> Decimal:
    """Percent. Raises ValueError for anything that is not between 0 and 100."""
    try:
        percent = Decimal(text.strip().removesuffix("%"))
    except InvalidOperation:
        percent = Decimal("NaN")
    if not percent.is_finite() or not 0 <= percent <= 100:
        raise ValueError(f"--tolerance {text!r} is not a percentage such as 0.5%")
    return percent


def drift_table(compared: Compared, tolerance: Decimal) -> Table:
    """One day and model a row: what was booked, what was invoiced, and by how much that is more or less."""
    total = compared.last.total
    said = [figure for figure in COMPARED if total.invoiced.HasField(figure)]  # type: ignore[arg-type]
    table = Table(box=None, header_style="bold", show_footer=True, padding=(0, 2, 0, 0))
    table.add_column("day (UTC)", footer="total", no_wrap=True)
    table.add_column("model", overflow="fold")
    for figure in said:
        for name, footer in (
            (f"{COMPARED[figure]} booked", _shown(figure, getattr(total.booked, figure))),
            ("invoiced", _shown(figure, getattr(total.invoiced, figure))),
            ("drift", _drift(total, figure, agrees=not _differs(total, figure, tolerance))),
        ):
            table.add_column(name, footer=footer, justify="right", no_wrap=True)
    table.add_column("notes", footer=escape(_notes(total)))
    for line in compared.lines:
        beyond = drifts(line, tolerance)
        cells = [line.day, escape(line.model) or "–"]
        for figure in said:
            there = line.invoiced.HasField(figure)  # type: ignore[arg-type]
            cells += [
                _shown(figure, getattr(line.booked, figure)),
                _shown(figure, getattr(line.invoiced, figure)) if there else "–",
                _drift(line, figure, agrees=figure not in beyond),
            ]
        table.add_row(*cells, escape(_notes(line)))
    return table


def _drift(line: invoice_pb2.InvoiceLine, figure: str, *, agrees: bool) -> str:
    by = drift(line, figure)
    if by is None:
        return ""
    if not by:
        return "[dim]0[/]"
    booked = getattr(line.booked, figure)
    percent = f" ({100 * by / booked:+.1f}%)" if booked else ""
    words = f"{'+' if by > 0 else ''}{_shown(figure, by)}{percent}"
    return f"[dim]{words}[/]" if agrees else f"[yellow]{words}[/]"


def _shown(figure: str, number: int) -> str:
    return format_usd(number) if figure == "cost_nanos" else f"{number:,}"


def _notes(line: invoice_pb2.InvoiceLine) -> str:
    notes = []
    if line.models_booked and not line.models_invoiced:
        notes.append("not in the export")
    if line.models_invoiced and not line.models_booked:
        notes.append("not booked")
    if line.unpriced_attempts:
        notes.append(f"{line.unpriced_attempts:,} unpriced")
    if line.unsettled_attempts:
        notes.append(f"{line.unsettled_attempts:,} unsettled")
    several = [name for name in (*line.models_booked, *line.models_invoiced) if name != line.model]
    if several:
        notes.append(f"as {', '.join(dict.fromkeys(several))}")
    return "; ".join(notes)


def run_reconcile(
    files: Sequence[Path],
    provider: str,
    names: Sequence[str],
    tolerance: str,
    rows: int,
    *,
    as_json: bool,
    connect: str,
    key: str,
    data_dir: Path,
    config: Path | None,
) -> None:
    """Compares, prints, and ends with status 1 where something drifts by more than is tolerated."""
    if provider not in FORMATS:
        refuse(f"--provider {provider!r}: choose from {', '.join(FORMATS)}")
    try:
        percent = parse_tolerance(tolerance)
    except ValueError as error:
        refuse(str(error))
    wanted = list(names) or ([] if provider == "generic" else [provider])
    drifting = asyncio.run(
        _reconcile(files, FORMATS[provider], wanted, percent, rows, as_json, connect, key, data_dir, config)
    )
    if drifting:
        raise SystemExit(1)


async def _reconcile(
    files: Sequence[Path],
    format: invoice_pb2.InvoiceFormat.ValueType,
    names: Sequence[str],
    tolerance: Decimal,
    rows: int,
    as_json: bool,
    connect: str,
    key: str,
    data_dir: Path,
    config: Path | None,
) -> bool:
    """Whether something drifts."""
    async with reading(connect, key, data_dir, config) as source:
        compared = Compared()
        async for response in source.reconcile(_pieces(files, format, names)):
            compared.lines += response.lines
            compared.last = response
        drifting = [line for line in compared.lines if drifts(line, tolerance)]
        if as_json:
            for line in compared.lines:
                sys.stdout.write(_json(line, tolerance))
            sys.stdout.write(_json(compared.last.total, tolerance))
            return bool(drifting)
        out = console()
        out.print(drift_table(compared, tolerance), highlight=False)
        for line in drifting if rows else ():
            behind = await _behind(source, line, names, rows)
            out.print(f"\n[bold]{line.day} {escape(line.model) or '–'}[/]", highlight=False)
            out.print(attempts_table(behind))
            if missing := line.booked.requests - len(behind):
                out.print(f"[dim]and {missing:,} more: raise --rows, or they are in daily totals alone by now[/]")
        out.print(f"\n{_verdict(compared, drifting, names)}", highlight=False)
    return bool(drifting)


async def _pieces(
    files: Iterable[Path], format: invoice_pb2.InvoiceFormat.ValueType, names: Sequence[str]
) -> AsyncIterator[invoice_pb2.ReconcileInvoiceRequest]:
    """The files, a piece at a time; `-` is standard input. What cannot be read ends the process."""
    for path in files:
        try:
            with sys.stdin.buffer if str(path) == "-" else path.open("rb") as file:
                first = True
                while (chunk := await asyncio.to_thread(file.read, _PIECE)) or first:
                    yield invoice_pb2.ReconcileInvoiceRequest(
                        format=format, provider_names=names, file_name=str(path), chunk=chunk
                    )
                    first = False
        except OSError as error:
            refuse(f"{path} cannot be read: {error.strerror or error}")


async def _behind(
    source: Reading, line: invoice_pb2.InvoiceLine, names: Sequence[str], most: int
) -> list[ledger_pb2.Attempt]:
    """At most so many of the attempts that a line's booked figures are of, newest first."""
    day = datetime.fromisoformat(line.day).replace(tzinfo=UTC)
    found: list[ledger_pb2.Attempt] = []
    for model in line.models_booked:
        for name in names or ("",):
            asked = ledger_pb2.UsageFilter(model_used=model, provider_name=name)
            asked.start_time.FromDatetime(day)
            asked.end_time.FromDatetime(day + timedelta(days=1))
            request = ledger_pb2.ListUsageRequest(filter=asked, page_size=min(most, 1000))
            while len(found) < most:
                page = await source.list_usage(request)
                found += [one for one in page.attempts if one.kind != ledger_pb2.ATTEMPT_KIND_CACHE_HIT]
                if not page.next_page_token:
                    break
                request.page_token = page.next_page_token
    return sorted(found[:most], key=lambda attempt: attempt.start_time.ToNanoseconds(), reverse=True)


def _verdict(compared: Compared, drifting: Sequence[invoice_pb2.InvoiceLine], names: Sequence[str]) -> str:
    if not any(line.models_booked for line in compared.lines):
        whose = f"of {', '.join(names)} " if names else ""
        return (
            f"[yellow]Nothing was booked {whose}in that time.[/] --name says what the provider is called in the "
            "configuration."
        )
    count = len(compared.lines)
    said = f"{count:,} compared, a day and a model each, of {compared.last.records:,} lines in the export"
    if not drifting:
        return f"[green]✓[/] The book and the export agree: {said}."
    return f"[bold yellow]{len(drifting):,} of them drift[/]: {said}."


def _json(line: invoice_pb2.InvoiceLine, tolerance: Decimal) -> str:
    fields = MessageToDict(line, preserving_proto_field_name=True)
    fields["drift"] = {figure: str(by) for figure in COMPARED if (by := drift(line, figure)) is not None}
    fields["drifts"] = drifts(line, tolerance)
    return orjson.dumps(fields).decode() + "\n"
