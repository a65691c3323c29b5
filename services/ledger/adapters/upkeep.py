"""What is done now and then: room for the months to come, details that are old enough rolled into daily totals, and
what budgets have left behind taken away."""

from __future__ import annotations

import logging

from mesh.clock import Clock
from mesh.errors import TollwayError
from mesh.mediator import Mediator
from services.ledger.domain.spans import day_before
from services.ledger.handlers.make_room import MakeRoom
from services.ledger.handlers.roll_details import RollDetails
from services.ledger.handlers.tidy_budgets import TidyBudgets
from services.ledger.handlers.tidy_details import TidyDetails

_PAUSE = 0.1
"""Seconds between two batches of details: what routers send goes first."""

_log = logging.getLogger(__name__)


async def keep_house(mediator: Mediator, clock: Clock, retention: float | None, every: float) -> None:
    """Keeps the book in order every so many seconds, until it is cancelled. Room for now is there already.

    Details are kept for `retention` seconds, and until the end of their day; None: for ever.
    """
    while True:
        try:
            if retention is not None:
                await _roll(mediator, clock, retention)
            await clock.sleep(every)
            await mediator.send(MakeRoom())
            await mediator.send(TidyBudgets())
        except TollwayError as error:
            _log.warning("could not keep the book in order, trying again in %g s: %s", every, error.message)
            await clock.sleep(every)


async def _roll(mediator: Mediator, clock: Clock, retention: float) -> None:
    batch, rolled = RollDetails(day_before(clock.time(), retention)), 0
    while (count := await mediator.send(batch)) == batch.most:
        rolled += count
        await clock.sleep(_PAUSE)
    await mediator.send(TidyDetails(batch.before))
    if rolled + count:
        _log.info("rolled %d attempts into daily totals", rolled + count)
