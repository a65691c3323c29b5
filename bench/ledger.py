"""How many attempts a second the ledger records, what one costs it, and how long spend takes to sum, on each database.

Attempts go through the service's own handler in batches of 500, as routers send them under load, with what they cost,
twenty keys and five tags among them, over the days of two months. CPU is that of this process and, for PostgreSQL, of
its server beside it. Both databases wait for the disk at every commit, as they do in service. Sums are asked for over
everything recorded, and over the last seven days to the second, whose first and last are in single rows.

    python -m bench.ledger                     # 100,000 attempts on each
    python -m bench.ledger --rows 10000000     # as many as that; some GB of disk, some minutes
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import resource
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from mesh.clock import VirtualClock
from mesh.ids import uuid7
from mesh.metrics import NoMetrics
from mesh.tracing import NoTracer
from services.ledger.bootstrap import LedgerReader, open_reader, start
from services.ledger.handlers.get_spend import GetSpend
from services.ledger.handlers.record_attempts import RecordAttempts
from services.ledger.settings import DatabaseUrl, LedgerSettings
from tests import postgres
from tollway.chat.v1.chat_pb2 import Usage
from tollway.ledger.v1.ledger_pb2 import (
    ATTEMPT_STATE_SETTLED,
    ATTEMPT_STATUS_OK,
    PROVENANCE_PROVIDER_REPORTED,
    SPEND_DIMENSION_DAY,
    SPEND_DIMENSION_MODEL_REQUESTED,
    SPEND_DIMENSION_TAG,
    Attempt,
    UsageFilter,
)

NOW = 1_795_521_600.0
"""2026-11-24 12:00 UTC."""
_DAYS, _BATCH, _MODELS = 60, 500, ("gpt-4o", "claude-sonnet", "llama", "small")
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


def attempts(count: int, chance: random.Random) -> Iterator[list[Attempt]]:
    """Batches, in the order of time."""
    step = _DAYS * 86_400 / count
    batch: list[Attempt] = []
    for number in range(count):
        at = NOW - _DAYS * 86_400 + number * step
        tokens_in, tokens_out = chance.randrange(20, 2000), chance.randrange(5, 800)
        attempt = Attempt(
            attempt_id=uuid7(at), request_id=f"req_{number:016x}", trace_id=f"{number + 1:032x}",
            state=ATTEMPT_STATE_SETTLED, tenant="default", project=f"p{number % 4}", api_key_id=f"key-{number % 20}",
            tags=["ci"] if number % 5 else ["nightly", "ci"], model_requested=_MODELS[number % 3], model_used="echo",
            model_provider="sim", provider_name="sim", deployment="sim/echo", attempt_number=1, streamed=True,
            usage=Usage(input_tokens=tokens_in, output_tokens=tokens_out), status=ATTEMPT_STATUS_OK,
            cost_nanos=tokens_in * 1_000_000 + tokens_out * 2_000_000, provenance=PROVENANCE_PROVIDER_REPORTED,
            price_version="sim/*@1970-01-01T00:00:00Z", upstream_status=200, upstream_request_id=f"c-{number}",
            response_time_ms=900, time_to_first_token_ms=200, finish_reason="stop",
        )  # fmt: skip
        attempt.start_time.FromMicroseconds(int(at * 1e6))
        attempt.end_time.FromMicroseconds(int(at * 1e6) + 900_000)
        batch.append(attempt)
        if len(batch) == _BATCH or number == count - 1:
            yield batch
            batch = []


async def measure(database: Path | DatabaseUrl, count: int) -> Measured:
    settings = LedgerSettings(database)
    ledger = await start(settings, clock=VirtualClock(NOW), tracer=NoTracer(), metrics=NoMetrics())
    send = ledger._servicer._mediator.send
    spent = cpu = 0.0
    server_before = _server_cpu()
    for batch in attempts(count, random.Random(7)):
        began, cpu_began = time.perf_counter(), _own_cpu()
        await send(RecordAttempts(batch))
        spent += time.perf_counter() - began
        cpu += _own_cpu() - cpu_began
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


def _own_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


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
        f"{count:,} attempts in batches of {_BATCH}:", "",
        "| database | attempts/s | CPU µs an attempt | at the server | " + " | ".join(_QUESTIONS) + " |",
        "| --- | ---: | ---: | ---: |" + " ---: |" * len(_QUESTIONS),
    ]  # fmt: skip
    for name, each in measured.items():
        server = "–" if each.server_cpu is None else f"{each.server_cpu:.0f}"
        sums = " | ".join(f"{seconds * 1000:,.0f} ms" for seconds in each.sums.values())
        lines.append(f"| {name} | {each.per_second:,.0f} | {each.cpu:.0f} | {server} | {sums} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000, help="attempts to record on each database")
    parser.add_argument("--only", choices=["sqlite", "postgresql"], help="one database alone")
    asked = parser.parse_args()
    measured: dict[str, Measured] = {}
    if asked.only != "postgresql":
        with tempfile.TemporaryDirectory(prefix="tollway-bench-") as folder:
            measured["SQLite"] = asyncio.run(measure(Path(folder) / "ledger.db", asked.rows))
    if asked.only != "sqlite":
        with postgres.server(durable=True) as url:
            if url is None:
                raise SystemExit(postgres.HOW)
            postgres.query(url, "CREATE DATABASE tollway_bench")
            try:
                where = DatabaseUrl(postgres.database(url, "tollway_bench"))
                measured["PostgreSQL"] = asyncio.run(measure(where, asked.rows))
            finally:
                postgres.query(url, "DROP DATABASE tollway_bench WITH (FORCE)")
    print(table(asked.rows, measured))


if __name__ == "__main__":
    main()
