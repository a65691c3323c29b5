"""Charging an attempt to the hard budgets that bear its question, before it is made."""

from __future__ import annotations

import asyncio

from mesh.errors import TollwayError
from services.router.handlers.attempt import Turn
from services.router.handlers.budgets import Account
from services.router.handlers.desk import Desk


async def charged(desk: Desk, account: Account | None, turn: Turn, left: float | None) -> Turn:
    """The attempt with what is reserved for it, within `left` seconds; as it was where no budget bears it.

    Raises TollwayError where it cannot be borne: it is not made then, and its breakers are told so.
    """
    if account is None:
        return turn
    try:
        charge = await account.reserve(turn.candidate, turn.chat, left)
    except (TollwayError, asyncio.CancelledError):
        _give_back(desk, turn)
        raise
    return turn._replace(chat=charge.chat, charge=charge)


def charged_now(desk: Desk, account: Account | None, turn: Turn) -> Turn | None:
    """The same for an attempt that can be done without: None where it would have to wait, or cannot be borne."""
    if account is None:
        return turn
    charge = account.reserve_now(turn.candidate, turn.chat)
    if charge is None:
        _give_back(desk, turn)
        return None
    return turn._replace(chat=charge.chat, charge=charge)


def _give_back(desk: Desk, turn: Turn) -> None:
    desk.fleet.standing(turn.candidate.name).give_back(turn.passed)
