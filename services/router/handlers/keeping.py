"""What the store is told of a run: that it goes on, what has been said so far, and how it ended.

Nobody waits for it but the end itself. Where the store cannot be written, the answer goes on, and is not kept.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import msgspec

from mesh.clock import Clock, Handle
from mesh.errors import TollwayError
from mesh.state.store import StateStore
from services.router.domain import replay
from services.router.domain.replay import Record, State
from services.router.domain.shelf import Shelf
from services.router.handlers.run import Run

log = logging.getLogger(__name__)

LEASE = 10.0
"""Seconds that a running question is believed to run without a word from its router."""
_RENEW_EVERY = LEASE / 3
_APPEND_AFTER = 0.1
"""Seconds that what was said waits to be appended to the log, with all that is said meanwhile."""
_LOG_LIVES = 600.0
"""Seconds after the last word in it. Its readers find the whole answer in the record, once there is one."""


@dataclass(frozen=True, slots=True)
class Keeper:
    """Where runs are kept, and for how many seconds. `beside` has something done that nobody waits for."""

    store: StateStore
    clock: Clock
    keep: float
    shelf: Shelf
    beside: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]


class Keeping:
    """The store's side of a run that has taken its key."""

    def __init__(self, keeper: Keeper, run: Run) -> None:
        self._keeper, self._run = keeper, run
        self._written = replay.encode(run.record)
        """The record as it is in the store."""
        self._appended = 0
        self._log_broken = not run.record.streamed
        self._work: set[asyncio.Task[None]] = set()
        self._append_timer: Handle | None = None
        self._renew_timer = keeper.clock.call_later(_RENEW_EVERY, self._renew_now)

    def append_soon(self) -> None:
        """Something more has been said."""
        if self._append_timer is None and not self._log_broken:
            self._append_timer = self._keeper.clock.call_later(_APPEND_AFTER, lambda: self._start(self._append()))

    async def give_up(self) -> None:
        """The answer is too large to be kept. Does nothing the second time."""
        if self._run.record.state is State.RUNNING:
            await self._write(State.TOO_LARGE, LEASE)
            await self._drop_log()

    async def conclude(self) -> None:
        """The run has ended: writes down how."""
        run, keep = self._run, self._keeper.keep
        self._renew_timer.cancel()
        if self._append_timer is not None:
            self._append_timer.cancel()
        if self._work:
            await asyncio.wait(self._work)
        if run.failure is None:
            await self._write(State.ANSWERED if run.kept else State.TOO_LARGE, keep)
        elif replay.is_final(run.failure):
            await self._write(State.REFUSED, keep)
        else:
            await self._write(State.RELEASED, LEASE)
        await self._drop_log()

    # -- what is written -------------------------------------------------------------------------------------------

    async def _write(self, state: State, ttl: float) -> None:
        """Moves the record on, if it is still this run's."""
        run, keeper = self._run, self._keeper
        frames = replay.framed(run.said) if state is State.ANSWERED else b""
        failure = None if run.failure is None else replay.kept(run.failure)
        record = msgspec.structs.replace(run.record, state=state, frames=frames, failure=failure)
        new = replay.encode(record)
        try:
            if not await keeper.store.swap(run.name, self._written, new, ttl):
                log.warning("Another router has taken over the Idempotency-Key of a question that was running here")
                return
            run.record, self._written = record, new
            if ttl == keeper.keep:
                now = keeper.clock.monotonic()
                for name in keeper.shelf.add(run.name, len(new), now, now + ttl):
                    await keeper.store.delete(name)
        except TollwayError as error:
            log.warning("What became of a question under an Idempotency-Key could not be kept: %s", error)

    async def _append(self) -> None:
        run = self._run
        said = run.said[self._appended :]
        self._append_timer = None
        if not said:
            return
        try:
            await self._keeper.store.append(log_of(run.record), [replay.framed(said)], _LOG_LIVES)
        except TollwayError as error:
            # It may have been appended all the same, and must not be twice.
            self._log_broken = True
            log.warning("An answer under an Idempotency-Key cannot be followed from other routers: %s", error)
            return
        self._appended += len(said)
        if len(run.said) > self._appended:
            self.append_soon()

    async def _drop_log(self) -> None:
        if self._appended:
            try:
                await self._keeper.store.delete(log_of(self._run.record))
            except TollwayError as error:
                log.warning("A log could not be removed, and stays until it lapses: %s", error)
            self._appended, self._log_broken = 0, True

    def _renew_now(self) -> None:
        self._start(self._renew())

    async def _renew(self) -> None:
        """Says that the run goes on."""
        written = self._written
        try:
            renewed = await self._keeper.store.swap(self._run.name, written, written, LEASE)
        except TollwayError as error:
            log.warning("An Idempotency-Key could not be renewed: %s", error)
            renewed = True  # perhaps the next time
        if not renewed and written is self._written:
            log.warning("The Idempotency-Key of a question that is running here has lapsed, or is another router's")
        elif not self._run.ended:
            self._renew_timer = self._keeper.clock.call_later(_RENEW_EVERY, self._renew_now)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._keeper.beside(work)
        self._work.add(task)
        task.add_done_callback(self._work.discard)


def log_of(record: Record) -> str:
    """Where the answer is appended while it comes."""
    return f"idempotency-log:{record.owner}"
