"""Events that wait to be published, and who publishes them.

An event is put in by the transaction that makes it true, and so has happened if that is committed. Of the ledgers on a
database, one at a time is at publishing an event; it is gone once all reactions to it have run. Where one of them
fails, or the ledger dies over it, it is published again: at least once, and about in the order of what happened.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Sequence
from contextlib import aclosing
from dataclasses import asdict
from typing import Any

from sqlalchemy import delete, insert, or_, select, update

from mesh.clock import Clock, Handle
from mesh.errors import TollwayError
from mesh.ids import uuid7
from mesh.mediator import Event, Mediator
from services.ledger.adapters.bell import Bell
from services.ledger.adapters.moments import from_seconds
from services.ledger.adapters.schema import outbox
from services.ledger.adapters.store import Store

_AT_ONCE = 100
_CLAIMED_FOR = 30.0
"""Seconds after which an event that somebody was at is anybody's again."""

_log = logging.getLogger(__name__)


class SqlOutbox:
    """Implements `ports.Outbox`, for events of the given kinds, which are dataclasses of what JSON can say.

    The bell rings when events were put in.
    """

    def __init__(self, store: Store, kinds: Iterable[type[Event]], bell: Bell) -> None:
        self._store, self._bell = store, bell
        self._kinds = {kind.__name__: kind for kind in kinds}

    async def put(self, events: Sequence[Event], time: float) -> None:
        if not events:
            return
        moment = from_seconds(time)
        names = sorted(uuid7(time) for _ in events)  # what happened together is told in its order
        rows = [
            {
                "event_id": name,
                "time": moment,
                "kind": self._kinds[type(event).__name__].__name__,
                "content": json.dumps(asdict(event)),  # type: ignore[call-overload] # dataclasses, as said
            }
            for name, event in zip(names, events, strict=True)
        ]
        async with self._store.connection() as connection:
            await connection.execute(insert(outbox), rows)
        self._store.after_commit(self._bell.announce)

    async def claim(self, now: float) -> list[tuple[str, Event]]:
        """The oldest events that nobody is at, which from now on are ours for a while."""
        free = or_(outbox.c.claimed_until.is_(None), outbox.c.claimed_until <= from_seconds(now))
        query = (
            select(outbox.c.event_id, outbox.c.kind, outbox.c.content)
            .where(free, outbox.c.kind.in_(list(self._kinds)))  # a newer ledger beside this one may know others
            .order_by(outbox.c.event_id)
            .limit(_AT_ONCE)
        )
        async with self._store.connection() as connection:  # nearly always there is nothing, and nothing is locked
            if (await connection.execute(query)).first() is None:
                return []
        async with self._store.transaction(), self._store.connection() as connection:
            rows = (await connection.execute(query)).all()
            claimed = outbox.c.event_id.in_([row.event_id for row in rows])
            await connection.execute(
                update(outbox).where(claimed).values(claimed_until=from_seconds(now + _CLAIMED_FOR))
            )
        return [(row.event_id, self._kinds[row.kind](**json.loads(row.content))) for row in rows]

    async def done(self, event_ids: Sequence[str]) -> None:
        """They are published."""
        async with self._store.transaction(), self._store.connection() as connection:
            await connection.execute(delete(outbox).where(outbox.c.event_id.in_(event_ids)))


async def relay(box: SqlOutbox, mediator: Mediator, bell: Bell, clock: Clock, every: float) -> None:
    """Publishes what is in the outbox when the bell rings, and every so many seconds, until it is cancelled."""
    later: Handle | None = None
    async with aclosing(bell.follow()) as rung:
        async for _ in rung:
            if later:
                later.cancel()
            try:
                while events := await box.claim(clock.time()):
                    await box.done([event_id for event_id, event in events if await _publish(mediator, event)])
            except TollwayError as error:
                _log.warning("could not publish events, trying again in %g s: %s", every, error.message)
            later = clock.call_later(every, bell.announce)


async def _publish(mediator: Mediator, event: Any) -> bool:
    """Whether all reactions have run."""
    try:
        await mediator.publish(event)
    except ExceptionGroup:
        _log.exception("%s could not be published, trying again in %g s", type(event).__name__, _CLAIMED_FOR)
        return False
    return True
