"""How many attempts a second the ledger records, what one costs it, and how long spend takes to sum, on each database.

Attempts go through the service's own handler in batches of 1000, as routers send them under load, with what they cost,
twenty keys and five tags among them, over the days of two months. CPU is that of this process and, for PostgreSQL, of
its server beside it. Both databases wait for the disk at every commit, as they do in service. Sums are asked for over
everything recorded, and over the last seven days to the second, whose first and last are in single rows.

What a request pays for the journal is measured apart: the CPU of writing that its attempt opened and how it ended, with
the upkeep beside it, and that of sending it to a ledger which answers at once. With `--check`, the first has to stay
below a bar.

    python -m bench.ledger                     # 100,000 attempts on each
    python -m bench.ledger --rows 10000000     # as many as that; some GB of disk, some minutes
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench.attempts import BATCH, NOW, attempts
from bench.journal import Journalled, measure_journal, own_cpu
from mesh.clock import VirtualClock
from mesh.metrics import NoMetrics
from mesh.tracing import NoTracer
from services.ledger.bootstrap import LedgerReader, open_reader, start
from services.ledger.handlers.get_spend import GetSpend
from services.ledger.handlers.record_attempts import RecordAttempts
from services.ledger.settings import DatabaseUrl, LedgerSettings
from tests import postgres
from tollway.ledger.v1.ledger_pb2 import (
    SPEND_DIMENSION_DAY,
    SPEND_DIMENSION_MODEL_REQUESTED,
    SPEND_DIMENSION_TAG,
    UsageFilter,
)

MOST_JOURNAL_CPU = 60.0
"""µs of CPU that an attempt may take in the journal, from opened to settled."""
_QUESTIONS = {
    "all, by model": (0, [SPEND_DIMENSION_MODEL_REQUESTED]),
    "all, by day and tag": (0, [SPEND_DIMENSION_DAY, SPEND_DIMENSION_TAG]),
    "7 days to the second, by model": (7, [SPEND_DIMENSION_MODEL_REQUESTED]),
}


@dataclass(frozen=True, slots=True)
class Measured:
    """Attempts a second, CPU µs an attempt here and at the server (None: not seen), and seconds by question."""

    per_second: float
    cpu: float
    server_cpu: float | None
    sums: dict[str, float]


async def measure(database: Path | DatabaseUrl, count: int) -> Measured:
    settings = LedgerSettings(database)
    ledger = await start(settings, clock=VirtualClock(NOW), tracer=NoTracer(), metrics=NoMetrics())
    send = ledger._servicer._mediator.send
    spent = cpu = 0.0
    server_before = _server_cpu()
    for batch in attempts(count, random.Random(7)):
        began, cpu_began = time.perf_counter(), own_cpu()
        await send(RecordAttempts(batch))
        spent += time.perf_counter() - began
        cpu += own_cpu() - cpu_began
    server_after = _server_cpu()
    await ledger.close()
    async with await open_reader(settings) as reader:
        sums = {name: await _ask(reader, days, by) for name, (days, by) in _QUESTIONS.items()}
    server = None if isinstance(database, Path) else (server_after - server_before) / count * 1e6
    return Measured(count / spent, cpu / count * 1e6, server, sums)


async def _ask(reader: LedgerReader, days: int, by: Sequence[int]) -> float:
    question = UsageFilter()
    if days:
        question.start_time.FromSeconds(int(NOW) - days * 86_400 + 1)
    times = []
    for _ in range(5):
        began = time.perf_counter()
        await reader.send(GetSpend(question, by))  # type: ignore[arg-type] # numbers of an enum
        times.append(time.perf_counter() - began)
    return median(times)


def _server_cpu() -> float:
    """CPU seconds of PostgreSQL's processes on this machine."""
    total = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = stat.read_text().partition(")")
        except OSError:  # it has ended meanwhile
            continue
        if name.endswith("(postgres"):
            fields = rest.split()
            total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")


def table(count: int, measured: dict[str, Measured]) -> str:
    """The figures, in Markdown."""
    lines = [
        f"{count:,} attempts in batches of {BATCH}:", "",
        "| database | attempts/s | CPU µs an attempt | at the server | " + " | ".join(_QUESTIONS) + " |",
        "| --- | ---: | ---: | ---: |" + " ---: |" * len(_QUESTIONS),
    ]  # fmt: skip
    for name, each in measured.items():
        server = "–" if each.server_cpu is None else f"{each.server_cpu:.0f}"
        sums = " | ".join(f"{seconds * 1000:,.0f} ms" for seconds in each.sums.values())
        lines.append(f"| {name} | {each.per_second:,.0f} | {each.cpu:.0f} | {server} | {sums} |")
    return "\n".join(lines)


def journal_table(measured: Journalled) -> str:
    """The figures, in Markdown."""
    return "\n".join([
        "| an attempt in the router's journal | CPU µs |",
        "| --- | ---: |",
        f"| opened and settled, one in each turn of the event loop | {measured.alone:.0f} |",
        f"| opened and settled, 50 in each turn | {measured.together:.0f} |",
        f"| shipped, in batches of {BATCH}, and removed | {measured.shipping:.0f} |",
    ])  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000, help="attempts to record on each database")
    parser.add_argument("--only", choices=["sqlite", "postgresql", "journal"], help="one of them alone")
    parser.add_argument("--check", action="store_true", help="fail where the journal takes more than it may")
    asked = parser.parse_args()
    journalled, measured = None, dict[str, Measured]()
    if asked.only in (None, "journal"):
        with tempfile.TemporaryDirectory(prefix="tollway-bench-") as folder:
            journalled = asyncio.run(measure_journal(Path(folder), 20_000))
    if asked.only in (None, "sqlite"):
        with tempfile.TemporaryDirectory(prefix="tollway-bench-") as folder:
            measured["SQLite"] = asyncio.run(measure(Path(folder) / "ledger.db", asked.rows))
    if asked.only in (None, "postgresql"):
        with postgres.server(durable=True) as url:
            if url is None:
                raise SystemExit(postgres.HOW)
            postgres.query(url, "CREATE DATABASE tollway_bench")
            try:
                where = DatabaseUrl(postgres.database(url, "tollway_bench"))
                measured["PostgreSQL"] = asyncio.run(measure(where, asked.rows))
            finally:
                postgres.query(url, "DROP DATABASE tollway_bench WITH (FORCE)")
    if measured:
        print(table(asked.rows, measured))
    if journalled is not None:
        print("\n" + journal_table(journalled))
        if asked.check and journalled.alone > MOST_JOURNAL_CPU:
            sys.exit(
                f"an attempt takes {journalled.alone:.0f} µs of CPU in the journal, more than {MOST_JOURNAL_CPU:g}"
            )


if __name__ == "__main__":
    main()
