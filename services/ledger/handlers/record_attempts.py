"""Books what became of upstream calls: one row each, however often and in whatever order they are told."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from mesh.clock import Clock
from mesh.errors import invalid
from mesh.mediator import Command
from mesh.metrics import Metrics
from mesh.prices import PriceBook
from services.ledger.domain.booking import book as book_attempts
from services.ledger.domain.booking import needs_price
from services.ledger.domain.posting import may_have_postings, postings
from services.ledger.domain.totals import changes_to_totals
from services.ledger.domain.validation import why_not_bookable, why_too_late
from services.ledger.handlers.charging import Charging
from services.ledger.handlers.unpriced import Unpriced
from services.ledger.ports import Attempts, Book, Conflicts, Details, Prices
from tollway.ledger.v1.ledger_pb2 import (
    RECORD_OUTCOME_DUPLICATE,
    RECORD_OUTCOME_RECORDED,
    RECORD_OUTCOME_REFUSED,
    Attempt,
    RecordAttemptsResponse,
)

LARGEST_BATCH = 10_000
_YOUNG = 86_400
"""Seconds within which no attempt is rolled into daily totals, however short details are kept."""

_LABELS = {
    RECORD_OUTCOME_RECORDED: {"outcome": "recorded"},
    RECORD_OUTCOME_DUPLICATE: {"outcome": "duplicate"},
    RECORD_OUTCOME_REFUSED: {"outcome": "refused"},
}
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RecordAttempts(Command[RecordAttemptsResponse]):
    """`journal_id` names the router's journal the attempts come from."""

    attempts: Sequence[Attempt]
    journal_id: str = ""

    def check(self) -> None:
        if len(self.attempts) > LARGEST_BATCH:
            raise invalid("attempts", f"are {len(self.attempts)}; a batch holds at most {LARGEST_BATCH}")


async def record_attempts(
    command: RecordAttempts,
    *,
    attempts: Attempts,
    book: Book,
    conflicts: Conflicts,
    details: Details,
    prices: Prices,
    charging: Charging,
    clock: Clock,
    metrics: Metrics,
    unpriced: Unpriced,
) -> RecordAttemptsResponse:
    """An answer per attempt, in the order of the command."""
    now = clock.time()
    refusals = [why_not_bookable(attempt, now) for attempt in command.attempts]
    sound = [attempt for attempt, refusal in zip(command.attempts, refusals, strict=True) if not refusal]
    there = await attempts.find([attempt.attempt_id for attempt in sound])
    if any(attempt.start_time.seconds < now - _YOUNG for attempt in sound):
        before = await details.rolled_before()
        refusals = [
            refusal or why_too_late(attempt, attempt.attempt_id in there, before)
            for attempt, refusal in zip(command.attempts, refusals, strict=True)
        ]
    known_prices = await prices.book() if any(map(needs_price, sound)) else PriceBook()
    changes, differing, answer = book_attempts(command.attempts, refusals, there, known_prices)
    await attempts.put(changes)
    moved = [before.attempt_id for before, _ in changes if before and may_have_postings(before)]
    await book.post(postings(changes, await book.posted(moved) if moved else {}), now)
    await book.add_to_totals(changes_to_totals(changes))
    await charging.book(changes, now)
    if differing:
        kept = await conflicts.keep(differing, command.journal_id, now)
        metrics.gauge("tollway.ledger.conflicts", kept, {})
    unpriced.note(changes)
    _count(answer, command.journal_id, metrics)
    return answer


def _count(answer: RecordAttemptsResponse, journal_id: str, metrics: Metrics) -> None:
    outcomes = Counter(result.outcome for result in answer.results)
    for outcome, count in outcomes.items():
        metrics.count("tollway.ledger.rows", count, _LABELS[outcome])
    if outcomes.keys() != {RECORD_OUTCOME_RECORDED}:
        _note(answer, journal_id)


def _note(answer: RecordAttemptsResponse, journal_id: str) -> None:
    for result in answer.results:
        if result.message:
            _log.warning("attempt %s of journal %s: %s", result.attempt_id, journal_id, result.message)
