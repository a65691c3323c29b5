"""What holds when a store that is shared is lost: this replica's share of it (`local`), or nothing (`deny`).

A store is lost when an operation fails or takes too long. It is left alone then for a second, and asked again in the
background, once a second, until it answers; no request waits for that. Meanwhile, with `local`, a store in memory
stands in for it, whose limits are those configured divided by the replicas that were last seen; it begins empty, and
ends with the loss. With `deny`, every operation raises at once.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, TypeVar

from mesh.clock import Clock
from mesh.errors import Reason, TollwayError
from mesh.metrics import Metrics
from mesh.state.memory import MemoryStore
from mesh.state.replicas import BEAT_EVERY, SECOND_BEAT, Replicas
from mesh.state.store import Decision, Draw, Rate, Slot, StateStore

log = logging.getLogger(__name__)

T = TypeVar("T")
ASK_AGAIN = 1.0
"""Seconds until a lost store is asked again."""

_MOST_OWED = 10_000
"""Places to be given back once the store is there again; those forgotten run out by themselves."""


class GuardedStore:
    """Implements `StateStore` over one that may be lost. `local`: this replica goes on by itself; else it refuses.

    What is settled is done beside the request it is for, in order, and raises nothing.
    """

    def __init__(self, store: StateStore, replicas: Replicas, *, local: bool, clock: Clock, metrics: Metrics) -> None:
        self._store, self._replicas, self._local = store, replicas, local
        self._clock, self._metrics = clock, metrics
        self._alone = MemoryStore(clock)
        self._since = 0.0
        self._owed: deque[tuple[Sequence[Slot], str]] = deque(maxlen=_MOST_OWED)
        self._beside: set[asyncio.Task[None]] = set()
        self._noticed = asyncio.Event()
        self._watching: asyncio.Task[None] | None = None
        self.lost = False
        """Whether it is, at the moment."""

    async def start(self) -> None:
        """Says that this replica is there, and begins to watch the store."""
        self._metrics.gauge("tollway.state.lost", 0, {})
        await self._look()
        self._watching = asyncio.get_running_loop().create_task(self._watch())

    async def close(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.wait((self._watching,))
        await asyncio.gather(*self._beside)
        if not self.lost:
            with suppress(TollwayError):  # it will be forgotten
                await self._replicas.leave()
        await self._store.close()

    # -- the store's operations ------------------------------------------------------------------------------------

    async def admit(self, draws: Sequence[Draw], slots: Sequence[Slot], holder: str) -> Decision:
        return await self._do(
            lambda: self._store.admit(draws, slots, holder), lambda: self._admit_alone(draws, slots, holder)
        )

    async def settle(self, draws: Sequence[Draw], slots: Sequence[Slot], holder: str) -> None:
        if self.lost:
            await self._alone.settle(self._share(draws), slots, holder)
            self._owe(slots, holder)
        else:
            self._do_beside(self._settle(draws, slots, holder))

    async def get(self, key: str) -> bytes | None:
        return await self._do(lambda: self._store.get(key), lambda: self._alone.get(key))

    async def put(self, key: str, value: bytes, ttl: float) -> None:
        await self._do(lambda: self._store.put(key, value, ttl), lambda: self._alone.put(key, value, ttl))

    async def add(self, key: str, value: bytes, ttl: float) -> bool:
        return await self._do(lambda: self._store.add(key, value, ttl), lambda: self._alone.add(key, value, ttl))

    async def swap(self, key: str, old: bytes, new: bytes, ttl: float) -> bool:
        return await self._do(
            lambda: self._store.swap(key, old, new, ttl), lambda: self._alone.swap(key, old, new, ttl)
        )

    async def delete(self, key: str) -> None:
        await self._do(lambda: self._store.delete(key), lambda: self._alone.delete(key))

    async def scan(self, prefix: str) -> Mapping[str, bytes]:
        return await self._do(lambda: self._store.scan(prefix), lambda: self._alone.scan(prefix))

    async def append(self, key: str, pieces: Sequence[bytes], ttl: float) -> None:
        await self._do(lambda: self._store.append(key, pieces, ttl), lambda: self._alone.append(key, pieces, ttl))

    async def pieces(self, key: str, start: int) -> Sequence[bytes]:
        return await self._do(lambda: self._store.pieces(key, start), lambda: self._alone.pieces(key, start))

    async def _do(self, shared: Callable[[], Awaitable[T]], alone: Callable[[], Awaitable[T]]) -> T:
        if not self.lost:
            try:
                return await shared()
            except TollwayError as error:
                self._lose(error)
        if self._local:
            return await alone()
        raise TollwayError(
            Reason.SERVICE_UNAVAILABLE,
            "The state that replicas share is out of reach, and without it nothing is let through "
            "(state.when_lost: deny): try again.",
            retry_after=ASK_AGAIN,
        )

    def _do_beside(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(self._in_peace(work))
        self._beside.add(task)
        task.add_done_callback(self._beside.discard)

    async def _in_peace(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except TollwayError as error:
            self._lose(error)

    async def _settle(self, draws: Sequence[Draw], slots: Sequence[Slot], holder: str) -> None:
        try:
            await self._store.settle(draws, slots, holder)
        except TollwayError:
            self._owe(slots, holder)
            raise

    def _owe(self, slots: Sequence[Slot], holder: str) -> None:
        if slots:
            self._owed.append((slots, holder))

    # -- alone -----------------------------------------------------------------------------------------------------

    async def _admit_alone(self, draws: Sequence[Draw], slots: Sequence[Slot], holder: str) -> Decision:
        count = self._replicas.count
        places = [replace(slot, limit=max(slot.limit // count, 1)) for slot in slots]
        return await self._alone.admit(self._share(draws), places, holder)

    def _share(self, draws: Sequence[Draw]) -> list[Draw]:
        """The draws from this replica's share. What the whole allows, and the share never would, takes all of it."""
        return [_of_share(draw, max(draw.rate.limit // self._replicas.count, 1)) for draw in draws]

    # -- lost and found --------------------------------------------------------------------------------------------

    def _lose(self, error: TollwayError) -> None:
        if self.lost:
            return
        self.lost, self._since, self._alone = True, self._clock.monotonic(), MemoryStore(self._clock)
        self._metrics.gauge("tollway.state.lost", 1, {})
        meanwhile = f"1/{self._replicas.count} of each limit holds here" if self._local else "nothing is let through"
        log.error("%s; until it is back, %s", error.message, meanwhile)
        self._noticed.set()

    async def _find(self) -> None:
        while self._owed:
            await self._store.settle((), *self._owed[0])
            self._owed.popleft()
        if self.lost:
            self.lost = False
            self._noticed.clear()
            self._metrics.gauge("tollway.state.lost", 0, {})
            log.warning("the shared state is back after %.1f s", self._clock.monotonic() - self._since)

    async def _look(self) -> None:
        try:
            await self._replicas.beat()
            await self._find()
        except TollwayError as error:
            self._lose(error)

    async def _watch(self) -> None:
        pause = SECOND_BEAT
        while True:
            if self.lost:
                await self._clock.sleep(ASK_AGAIN)
            else:
                with suppress(TimeoutError):
                    async with self._clock.timeout(pause):
                        await self._noticed.wait()
                    continue
            pause = BEAT_EVERY
            await self._look()


def _of_share(draw: Draw, share: int) -> Draw:
    amount = min(draw.amount, share) if draw.amount <= draw.rate.limit else draw.amount
    return Draw(draw.key, Rate(share, draw.rate.period), amount)
