"""Operations on a store that is a trip away.

What is asked for while a trip is under way goes with the next one, together and in order. However many ask at once, a
store then has one connection, and as few trips as there can be; and nothing waits longer than for two of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Generic, TypeVar

from mesh.clock import Clock
from mesh.errors import Reason, TollwayError
from mesh.state.store import unreachable

Op = TypeVar("Op")
_MOST = 256
"""Operations on one trip."""

_LOOKS = 5
"""How often a trip is looked at within its time, so that time in which this process did not run hardly counts."""


class Batches(Generic[Op]):
    """Takes operations, and makes trips with them: `trip` has an outcome for each, an error being one.

    A trip that takes longer than `patience` seconds is lost, as is one that raises TollwayError: then so is all that is
    waiting.
    """

    def __init__(self, trip: Callable[[Sequence[Op]], Awaitable[Sequence[Any]]], clock: Clock, patience: float) -> None:
        self._trip, self._clock, self._patience = trip, clock, patience
        self._waiting: list[tuple[Op, asyncio.Future[Any]]] = []
        self._travelling: asyncio.Task[None] | None = None

    async def ask(self, operation: Op) -> Any:
        """The operation's outcome. Raises TollwayError."""
        outcome: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append((operation, outcome))
        if self._travelling is None or self._travelling.done():
            self._travelling = asyncio.get_running_loop().create_task(self._travel())
        return await outcome

    async def close(self) -> None:
        """Waits for what is under way."""
        if self._travelling is not None:
            await asyncio.wait((self._travelling,))

    async def _travel(self) -> None:
        while self._waiting:
            batch = [asked for asked in self._waiting[:_MOST] if not asked[1].done()]  # whoever asked is still there
            del self._waiting[:_MOST]
            if not batch:
                continue
            try:
                outcomes = await self._in_time([operation for operation, _ in batch])
            except TollwayError as lost:
                _fail([*batch, *self._waiting], lost)
                self._waiting.clear()
            else:
                for (_, waiting), outcome in zip(batch, outcomes, strict=True):
                    _tell(waiting, outcome)
            finally:
                _fail(batch, TollwayError(Reason.INTERNAL, "an operation on the shared state broke off"))

    async def _in_time(self, operations: Sequence[Op]) -> Sequence[Any]:
        trip = asyncio.ensure_future(self._trip(operations))
        try:
            for _ in range(_LOOKS):
                try:
                    async with self._clock.timeout(self._patience / _LOOKS):
                        return await asyncio.shield(trip)
                except TimeoutError:
                    if trip.done():
                        return trip.result()
            raise unreachable(f"no answer within {self._patience:g} s")
        finally:
            trip.cancel()


def _fail(batch: Sequence[tuple[Any, asyncio.Future[Any]]], error: TollwayError) -> None:
    for _, waiting in batch:
        _tell(waiting, error)


def _tell(waiting: asyncio.Future[Any], outcome: Any) -> None:
    if waiting.done():  # whoever asked has left
        return
    if isinstance(outcome, TollwayError):
        waiting.set_exception(outcome)
    else:
        waiting.set_result(outcome)
