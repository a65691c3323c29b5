"""Rolls details that are old enough into daily totals, which have had them all along: no sum changes."""

from __future__ import annotations

from dataclasses import dataclass

from mesh.mediator import Command
from services.ledger.domain.totals import Totals, add, key_of, sums_of
from services.ledger.ports import Adjustments, Book, Details


@dataclass(frozen=True, slots=True)
class RollDetails(Command[int]):
    """Rolls at most so many settled attempts that started `before` a time, in microseconds since the epoch."""

    before: int
    most: int = 1000


async def roll_details(command: RollDetails, *, details: Details, book: Book, adjustments: Adjustments) -> int:
    """How many were rolled; fewer than `most` when none are left. What has not settled keeps its row."""
    await details.roll_before(command.before)
    rows = await details.oldest(command.before, command.most)
    if rows:
        identifiers = [row.attempt_id for row in rows]
        adjusted = await adjustments.of(identifiers)
        gone: Totals = {}
        for row in rows:
            add(gone, key_of(row), sums_of(row, adjusted.get(row.attempt_id, 0)))
        await book.add_to_totals(gone, rolled=True)
        await book.add_to_totals({key: [-number for number in sums] for key, sums in gone.items()})
        await details.forget(identifiers)
    return len(rows)
