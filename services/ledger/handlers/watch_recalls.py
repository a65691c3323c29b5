"""Tells routers which of their leases others are in need of."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass

from mesh.mediator import StreamQuery
from services.ledger.handlers.lease_budget import check_journal
from services.ledger.ports import Changes, Leases
from tollway.ledger.v1.budget_pb2 import WatchRecallsResponse


@dataclass(frozen=True, slots=True)
class WatchRecalls(StreamQuery[WatchRecallsResponse]):
    """Asks for what is recalled of a journal's leases, now and from now on, until the ledger drains."""

    journal_id: str


async def watch_recalls(
    query: WatchRecalls, *, leases: Leases, changes: Changes
) -> AsyncIterator[WatchRecallsResponse]:
    """Each recall is told once, and again where the lease is recalled anew. Raises INVALID_REQUEST for no journal."""
    check_journal(query.journal_id)
    told: Mapping[str, int] = {}
    async with aclosing(changes.follow()) as followed:
        async for _ in followed:
            recalled = await leases.recalled(query.journal_id)
            news = [lease_id for lease_id, time in recalled.items() if told.get(lease_id) != time]
            if news:
                yield WatchRecallsResponse(lease_ids=news)
            told = recalled
