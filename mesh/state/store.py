"""What replicas share: limits, records that expire, and answers that grow while others read them.

Every operation is one decision, taken in one place at one time, however many replicas ask at once. Nothing here knows
what it is about: keys are made by whoever uses the store, and say so (`limit:requests:key:ci`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from mesh.errors import Reason, TollwayError


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `limit` in `period` seconds, as a whole or spread: what was drawn comes back evenly over the period."""

    limit: int
    period: float


class Draw(NamedTuple):  # every question makes some, and a frozen dataclass takes three times as long
    """So much of a rate. `key` names whose it is."""

    key: str
    rate: Rate
    amount: int = 1


@dataclass(frozen=True, slots=True)
class Slot:
    """One of `limit` places that are held for a while. After `lease` seconds a place is free whoever held it."""

    key: str
    limit: int
    lease: float


class Left(NamedTuple):
    """What a rate has left after a decision; all of it is there again in `reset` seconds."""

    remaining: int
    reset: float


class Decision(NamedTuple):
    """Whether everything asked for was taken; if not, nothing was.

    `refused` is the key of the draw or slot that stood in the way, the one that takes longest where several do;
    `retry_after` the seconds until it would not. None: not known, as for a slot, or never, as for a draw of more than
    its rate's limit. `left` is in the order of the draws.
    """

    left: tuple[Left, ...]
    refused: str = ""
    retry_after: float | None = None

    @property
    def allowed(self) -> bool:
        return not self.refused


class StateStore(Protocol):
    """The port. Every method raises TollwayError SERVICE_UNAVAILABLE, in bounded time, where the store is lost.

    `ttl` is in seconds; what has outlived it is not there.
    """

    async def admit(self, draws: Sequence[Draw], slots: Sequence[Slot], holder: str) -> Decision:
        """Takes all draws and slots, or nothing. `holder` names who holds the slots."""

    async def settle(self, draws: Sequence[Draw], slots: Sequence[Slot], holder: str) -> None:
        """Takes amounts after the fact, whatever is left (a negative one is given back), and gives places back.

        Places that are not held any more are passed over.
        """

    async def get(self, key: str) -> bytes | None:
        """The record, None where there is none."""

    async def put(self, key: str, value: bytes, ttl: float) -> None:
        """Writes a record, whatever was there."""

    async def add(self, key: str, value: bytes, ttl: float) -> bool:
        """Writes a record where there is none. Whether there was none."""

    async def swap(self, key: str, old: bytes, new: bytes, ttl: float) -> bool:
        """Writes a record where `old` is what is there. Whether it was."""

    async def delete(self, key: str) -> None:
        """Removes a record, or a log."""

    async def scan(self, prefix: str) -> Mapping[str, bytes]:
        """The records whose keys begin so. For few."""

    async def append(self, key: str, pieces: Sequence[bytes], ttl: float) -> None:
        """Adds pieces to the end of a log, in one go."""

    async def pieces(self, key: str, start: int) -> Sequence[bytes]:
        """The pieces of a log from the one with that number on; empty where there are none (yet)."""

    async def close(self) -> None: ...


def unreachable(why: str) -> TollwayError:
    """The error of a store that is lost."""
    return TollwayError(Reason.SERVICE_UNAVAILABLE, f"the shared state cannot be reached: {why}")
