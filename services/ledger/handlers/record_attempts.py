"""Books what became of upstream calls: one row each, however often and in whatever order they are told."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from mesh.errors import invalid
from mesh.mediator import Command
from mesh.metrics import Metrics
from mesh.prices import PriceBook
from services.ledger.domain.booking import book, needs_price
from services.ledger.domain.validation import why_not_bookable
from services.ledger.ports import Attempts, Prices
from tollway.ledger.v1.ledger_pb2 import (
    RECORD_OUTCOME_DUPLICATE,
    RECORD_OUTCOME_RECORDED,
    RECORD_OUTCOME_REFUSED,
    Attempt,
    RecordAttemptsResponse,
)

LARGEST_BATCH = 10_000
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
    command: RecordAttempts, *, attempts: Attempts, prices: Prices, metrics: Metrics
) -> RecordAttemptsResponse:
    """An answer per attempt, in the order of the command."""
    refusals = [why_not_bookable(attempt) for attempt in command.attempts]
    sound = [attempt for attempt, refusal in zip(command.attempts, refusals, strict=True) if not refusal]
    booked = await attempts.find([attempt.attempt_id for attempt in sound])
    known_prices = await prices.book() if any(map(needs_price, sound)) else PriceBook()
    rows, answer = book(command.attempts, refusals, booked, known_prices)
    await attempts.put(rows)
    outcomes = Counter(result.outcome for result in answer.results)
    for outcome, count in outcomes.items():
        metrics.count("tollway.ledger.rows", count, _LABELS[outcome])
    if outcomes.keys() != {RECORD_OUTCOME_RECORDED}:
        _note(answer, command.journal_id)
    return answer


def _note(answer: RecordAttemptsResponse, journal_id: str) -> None:
    for result in answer.results:
        if result.message:
            _log.warning("attempt %s of journal %s: %s", result.attempt_id, journal_id, result.message)
