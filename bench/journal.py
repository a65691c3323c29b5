"""What a request pays for the attempt journal, in CPU: writing its attempt down, and bringing it to the ledger."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.attempts import Pair, pairs
from mesh.clock import SystemClock
from mesh.prices import PriceBook
from mesh.tracing import NoTracer, TraceContext
from services.router.adapters.journal_sqlite import SqliteJournal
from services.router.adapters.recording import Recorder
from tollway.ledger.v1.ledger_pb2 import RECORD_OUTCOME_RECORDED, Price, RecordAttemptsRequest, RecordedAttempt


class AnsweringLedger:
    """Implements `LedgerClient`: counts, and answers at once."""

    def __init__(self) -> None:
        self.recorded = 0
        self._waiting: list[tuple[int, asyncio.Event]] = []

    async def until(self, recorded: int) -> None:
        """Waits until so many are recorded."""
        reached = asyncio.Event()
        self._waiting.append((recorded, reached))
        self.count(0)
        await reached.wait()

    def count(self, recorded: int) -> None:
        self.recorded += recorded
        for wanted, reached in self._waiting:
            if self.recorded >= wanted:
                reached.set()

    async def record(
        self, request: RecordAttemptsRequest, timeout: float, trace: TraceContext
    ) -> Sequence[RecordedAttempt]:
        self.count(len(request.attempts))
        return [
            RecordedAttempt(attempt_id=each.attempt_id, outcome=RECORD_OUTCOME_RECORDED) for each in request.attempts
        ]

    async def find_price(self, provider: str, model: str, timeout: float) -> Price | None:
        return None

    async def watch_prices(self) -> AsyncGenerator[PriceBook, None]:
        """There are none."""
        return
        yield


@dataclass(frozen=True, slots=True)
class Journalled:
    """CPU µs an attempt: of writing it down in twos and in fifties, and of shipping it."""

    alone: float
    together: float
    shipping: float


async def measure_journal(directory: Path, count: int) -> Journalled:
    clock = SystemClock()
    ledger, coming = AnsweringLedger(), pairs(clock.time)
    journal = SqliteJournal.create(directory, clock, 1.0)
    alone = await _written(journal, [next(coming) for _ in range(count)], 1)
    together = await _written(journal, [next(coming) for _ in range(count)], 50)
    began = own_cpu()
    await Recorder(ledger, clock, NoTracer()).record_ended(journal.file, hurry=True)
    shipping = (own_cpu() - began) / (2 * count) * 1e6
    await journal.close()
    return Journalled(alone, together, shipping)


async def _written(journal: SqliteJournal, calls: Sequence[Pair], at_once: int) -> float:
    """CPU µs an attempt, where so many are under way in each turn of the event loop."""
    turns = [calls[start : start + at_once] for start in range(0, len(calls), at_once)]
    await asyncio.sleep(1.1)  # for the upkeep of what was before
    began = own_cpu()
    for turn in turns:
        opened = await asyncio.gather(*(journal.opened(opened) for opened, _ in turn))
        await asyncio.sleep(0)  # the call
        for number, (_, end) in zip(opened, turn, strict=True):
            journal.settled(number, end)
        await asyncio.sleep(0)
    await asyncio.sleep(1.1)  # its own upkeep
    return (own_cpu() - began) / len(calls) * 1e6


def own_cpu() -> float:
    """CPU seconds of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
