"""`tollway spend`: sums or single attempts, as a table or as JSON lines."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
from google.protobuf.json_format import MessageToDict
from rich.bar import Bar
from rich.console import Console, RenderableType
from rich.markup import escape
from rich.measure import Measurement
from rich.table import Table

from mesh.money import format_usd
from tollway.ledger.v1 import ledger_pb2
from tollway_cli.refusal import refuse
from tollway_cli.terminal import console
from tollway_cli.times import parse_time

_LONGEST_BAR, _SHORTEST_BAR = 24, 6
"""Columns of the largest amount's bar: as many as there is room for; none where that is too few to compare."""

DIMENSIONS = {
    "tenant": ledger_pb2.SPEND_DIMENSION_TENANT,
    "project": ledger_pb2.SPEND_DIMENSION_PROJECT,
    "key": ledger_pb2.SPEND_DIMENSION_API_KEY,
    "model": ledger_pb2.SPEND_DIMENSION_MODEL_REQUESTED,
    "model-used": ledger_pb2.SPEND_DIMENSION_MODEL_USED,
    "provider": ledger_pb2.SPEND_DIMENSION_PROVIDER,
    "deployment": ledger_pb2.SPEND_DIMENSION_DEPLOYMENT,
    "tag": ledger_pb2.SPEND_DIMENSION_TAG,
    "day": ledger_pb2.SPEND_DIMENSION_DAY,
}


def dimensions(by: str) -> list[ledger_pb2.SpendDimension.ValueType]:
    """The dimensions that `--by` names. Raises ValueError naming one there is not."""
    names = [name.strip() for name in by.split(",") if name.strip()]
    for name in names:
        if name not in DIMENSIONS:
            raise ValueError(f"--by {name!r}: choose from {', '.join(DIMENSIONS)}")
    return [DIMENSIONS[name] for name in names]


def span(since: str, until: str, now: datetime) -> ledger_pb2.UsageFilter:
    """The filter that `--since` and `--until` ask for. Raises ValueError."""
    usage_filter = ledger_pb2.UsageFilter()
    if since:
        usage_filter.start_time.FromDatetime(parse_time(since, now))
    if until:
        usage_filter.end_time.FromDatetime(parse_time(until, now))
        if usage_filter.end_time.ToNanoseconds() < usage_filter.start_time.ToNanoseconds():
            raise ValueError(f"--until {until} is before --since {since}")
    return usage_filter


def spend_table(by: Sequence[str], response: ledger_pb2.GetSpendResponse, bar: int = 0) -> Table:
    """Sums, one group a row, and their total; with a bar of at most so many columns for what each cost."""
    table = Table(box=None, header_style="bold", show_footer=bool(response.groups))
    total = response.total
    for index, name in enumerate(by):
        table.add_column(name, footer="total" if index == 0 else "", overflow="fold")
    for name, number in (
        ("requests", total.requests),
        ("attempts", total.attempts),
        ("input", total.input_tokens),
        ("output", total.output_tokens),
    ):
        table.add_column(name, footer=f"{number:,}", justify="right", no_wrap=True)
    table.add_column("USD", footer=format_usd(total.cost_nanos), justify="right", no_wrap=True)
    most = max((group.cost_nanos for group in response.groups), default=0)
    charted = bar >= _SHORTEST_BAR and len(response.groups) > 1 and most > 0
    if charted:
        table.add_column("", width=bar)
    noted = bool(_notes(total)) or any(map(_notes, response.groups))
    if noted:
        table.add_column("notes", footer=_notes(total))
    for group in _in_order(by, response.groups):
        tokens = (group.requests, group.attempts, group.input_tokens, group.output_tokens)
        cells: list[RenderableType] = [
            *(escape(key) or "–" for key in group.keys),
            *(f"{number:,}" for number in tokens),
        ]
        cells.append(format_usd(group.cost_nanos))
        if charted:
            cells.append(Bar(most, 0, max(group.cost_nanos, 0), color="cyan"))
        if noted:
            cells.append(_notes(group))
        table.add_row(*cells)
    return table


def spend_chart(by: Sequence[str], response: ledger_pb2.GetSpendResponse, out: Console) -> Table:
    """The table with bars as long as the room beside it."""
    width = Measurement.get(out, out.options.update(width=10_000), spend_table(by, response)).maximum
    return spend_table(by, response, min(_LONGEST_BAR, out.width - width - 2))


def _in_order(by: Sequence[str], groups: Iterable[ledger_pb2.SpendGroup]) -> Iterable[ledger_pb2.SpendGroup]:
    """Dearest first, as they came; where days come first they are a course of time."""
    return sorted(groups, key=lambda group: group.keys[0]) if by[:1] == ["day"] else groups


def _notes(group: ledger_pb2.SpendGroup) -> str:
    notes = []
    if group.adjusted_nanos:
        sign = "+" if group.adjusted_nanos > 0 else ""
        notes.append(f"{sign}{format_usd(group.adjusted_nanos)} adjusted")
    if group.unpriced_attempts:
        notes.append(f"{group.unpriced_attempts:,} unpriced")
    if group.unsettled_attempts:
        notes.append(f"{group.unsettled_attempts:,} unsettled")
    if group.cache_hits:
        notes.append(f"{group.cache_hits:,} from the cache")
    return "\n".join(notes)


def attempts_table(attempts: Iterable[ledger_pb2.Attempt]) -> Table:
    """Attempts, one a row."""
    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    for name in ("time (UTC)", "model", "deployment", "status"):
        table.add_column(name, no_wrap=True, overflow="ellipsis")
    for name in ("tokens", "USD", "ms"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("trace", no_wrap=True, overflow="ellipsis")
    for attempt in attempts:
        table.add_row(
            attempt.start_time.ToDatetime().isoformat(" ", "seconds"),
            attempt.model_requested,
            attempt.deployment,
            _status(attempt),
            _tokens(attempt),
            _cost(attempt),
            f"{attempt.response_time_ms:,}",
            attempt.trace_id,
        )
    return table


def _cost(attempt: ledger_pb2.Attempt) -> str:
    if attempt.HasField("cost_nanos"):
        return format_usd(attempt.cost_nanos)
    return "unpriced" if attempt.HasField("usage") else ""


def _tokens(attempt: ledger_pb2.Attempt) -> str:
    """Input and output; a tilde where the provider did not say and they were counted or estimated here."""
    if not attempt.HasField("usage"):
        return ""
    exact = attempt.provenance in (ledger_pb2.PROVENANCE_PROVIDER_REPORTED, ledger_pb2.PROVENANCE_CACHED)
    return f"{'' if exact else '~'}{attempt.usage.input_tokens:,} + {attempt.usage.output_tokens:,}"


def _status(attempt: ledger_pb2.Attempt) -> str:
    """How it ended, why, and, where it was not a plain call, what it was."""
    words = []
    if attempt.status:
        words = [_word(ledger_pb2.AttemptStatus.Name(attempt.status), "ATTEMPT_STATUS_"), attempt.error_reason]
    if attempt.state != ledger_pb2.ATTEMPT_STATE_SETTLED:
        state = _word(ledger_pb2.AttemptState.Name(attempt.state), "ATTEMPT_STATE_")
        words.append(f"({state})" if words else state)
    if attempt.kind:
        words.append(f"({_word(ledger_pb2.AttemptKind.Name(attempt.kind), 'ATTEMPT_KIND_').replace('_', ' ')})")
    return " ".join(filter(None, words))


def _word(name: str, prefix: str) -> str:
    return name.removeprefix(prefix).lower()


def run_spend(
    by: str,
    since: str,
    until: str,
    rows: int,
    *,
    as_json: bool,
    connect: str,
    key: str,
    data_dir: Path,
    config: Path | None,
) -> None:
    """Reads the ledger, and prints."""
    try:
        group_by = dimensions(by)
        usage_filter = span(since, until, datetime.now(UTC))
    except ValueError as error:
        refuse(str(error))
    response = asyncio.run(_read(usage_filter, group_by, rows, connect, key, data_dir, config))
    if as_json:
        for message in response.attempts if rows else (*response.groups, response.total):
            sys.stdout.write(_json(message))
        return
    names = [name.strip() for name in by.split(",") if name.strip()]
    out = console()
    out.print(attempts_table(response.attempts) if rows else spend_chart(names, response, out))
    if not (response.attempts if rows else response.groups):
        out.print("Nothing was spent in that time." if since or until else "Nothing was spent yet.")


def _json(message: Any) -> str:
    fields = MessageToDict(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
    return orjson.dumps(fields).decode() + "\n"


async def _read(
    usage_filter: ledger_pb2.UsageFilter,
    group_by: list[ledger_pb2.SpendDimension.ValueType],
    rows: int,
    connect: str,
    key: str,
    data_dir: Path,
    config: Path | None,
) -> Any:
    from tollway_cli.reading import reading

    async with reading(connect, key, data_dir, config) as source:
        if rows:
            return await source.list_usage(ledger_pb2.ListUsageRequest(filter=usage_filter, page_size=rows))
        return await source.get_spend(ledger_pb2.GetSpendRequest(filter=usage_filter, group_by=group_by))
