"""Gets the book ready for the attempts of the days to come, before the first of them has to wait for it."""

from __future__ import annotations

from dataclasses import dataclass

from mesh.clock import Clock
from mesh.mediator import Command
from services.ledger.ports import Details

_DAYS_AHEAD = 14
_DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class MakeRoom(Command[None]):
    """Asks for room from now until two weeks ahead."""


async def make_room(command: MakeRoom, *, details: Details, clock: Clock) -> None:
    now = clock.time()
    await details.make_room((now, now + _DAYS_AHEAD * _DAY))
