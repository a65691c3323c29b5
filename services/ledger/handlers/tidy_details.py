"""Takes away what rolling has left empty."""

from __future__ import annotations

from dataclasses import dataclass

from mesh.mediator import Command
from services.ledger.ports import Details


@dataclass(frozen=True, slots=True)
class TidyDetails(Command[None]):
    """`before` is the time before which details were rolled, in microseconds since the epoch."""

    before: int


async def tidy_details(command: TidyDetails, *, details: Details) -> None:
    """A transaction of its own: that readers are in the way of it undoes no rolling."""
    await details.tidy(command.before)
