"""Makes an attempt cost another amount, beside what is booked."""

from __future__ import annotations

from dataclasses import dataclass

from mesh.clock import Clock
from mesh.errors import invalid
from mesh.mediator import Command
from mesh.money import MOST_COST_NANOS
from services.ledger.domain.posting import adjustment
from services.ledger.domain.totals import Totals, add, key_of, sums_of
from services.ledger.domain.validation import LONGEST_TEXT, is_uuid7
from services.ledger.handlers.charging import Charging
from services.ledger.ports import Adjustments, Attempts, Book
from tollway.ledger.v1.ledger_pb2 import ATTEMPT_STATE_OPENED, AdjustAttemptResponse


@dataclass(frozen=True, slots=True)
class AdjustAttempt(Command[AdjustAttemptResponse]):
    """`cost_nanos` is what the attempt is to cost in all; see AdjustAttemptRequest."""

    attempt_id: str
    cost_nanos: int
    reason: str

    def check(self) -> None:
        if not is_uuid7(self.attempt_id):
            raise invalid("attempt_id", "is not a UUID version 7 in lower case")
        if not 0 <= self.cost_nanos <= MOST_COST_NANOS:
            raise invalid("cost_nanos", f"{self.cost_nanos} is not between 0 and {MOST_COST_NANOS}")
        if not self.reason.strip() or len(self.reason) > LONGEST_TEXT or "\0" in self.reason:
            raise invalid("reason", f"must say why, in at most {LONGEST_TEXT} characters")


async def adjust_attempt(
    command: AdjustAttempt,
    *,
    attempts: Attempts,
    book: Book,
    adjustments: Adjustments,
    charging: Charging,
    clock: Clock,
) -> AdjustAttemptResponse:
    """What was added. Raises TollwayError INVALID_REQUEST for an attempt that has no row, or has not ended."""
    identifier, now = command.attempt_id, clock.time()
    row = (await attempts.find([identifier])).get(identifier)
    if row is None:
        raise invalid("attempt_id", f"{identifier} has no row: it was never booked, or is in daily totals alone by now")
    if row.state == ATTEMPT_STATE_OPENED:
        raise invalid("attempt_id", f"{identifier} is still under way: what it costs is not known yet")
    amount = command.cost_nanos - row.cost_nanos - (await adjustments.of([identifier])).get(identifier, 0)
    if amount:
        posted = (await book.posted([identifier])).get(identifier, 0)
        await adjustments.add(identifier, posted, amount, command.reason, now)
        await book.post(adjustment(row, amount, posted), now)
        totals: Totals = {}
        add(totals, key_of(row), sums_of(row, amount))
        add(totals, key_of(row), sums_of(row), -1)
        await book.add_to_totals(totals)
        await charging.adjust(row, amount, now)
    return AdjustAttemptResponse(amount_nanos=amount)
