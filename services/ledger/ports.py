"""What the ledger's handlers need of the outside. Every method raises TollwayError SERVICE_UNAVAILABLE where the
store cannot be reached, read or written."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from google.protobuf.timestamp_pb2 import Timestamp

from mesh.prices import PriceBook
from tollway.ledger.v1.ledger_pb2 import Attempt, GetSpendResponse, Price, SpendDimension, UsageFilter


class Transactions(Protocol):
    """Turns what a command writes into one whole."""

    def transaction(self) -> AbstractAsyncContextManager[None]:
        """Commits at the end of the block, or undoes everything where the block raises. One at a time."""


class Attempts(Protocol):
    """Attempts by their id. To be used inside a transaction."""

    async def find(self, attempt_ids: Sequence[str]) -> Mapping[str, Attempt]:
        """Those of them that have a row."""

    async def put(self, attempts: Sequence[Attempt]) -> None:
        """Writes each attempt's row, or moves the row that is there forward. At most one of each id."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page of attempts ended: the last one's start time in microseconds since the epoch, and its id."""

    start_micros: int
    attempt_id: str


class Usage(Protocol):
    """Attempts by what they have in common."""

    async def page(self, filter: UsageFilter, after: Place | None, size: int) -> tuple[Sequence[Attempt], Place | None]:
        """At most `size` attempts, newest first, and where to go on; None at the end."""

    async def spend(self, filter: UsageFilter, group_by: Sequence[SpendDimension.ValueType]) -> GetSpendResponse:
        """Sums by those dimensions, dearest first, and over all, of one moment.

        Raises TollwayError INVALID_REQUEST where a sum is too large to be said.
        """


class Prices(Protocol):
    """Prices; they are added, never changed. Inside a transaction it sees what that has added."""

    async def book(self) -> PriceBook:
        """All of them; the same book as long as none is added."""

    async def set_at(self, provider: str, model: str, effective: Timestamp) -> Price | None:
        """The price set for exactly this provider, model and time."""

    async def add(self, price: Price) -> None: ...


class PriceChanges(Protocol):
    """Says when prices may have changed."""

    def follow(self) -> AsyncGenerator[None]:
        """Yields at once, and again after every change, until the ledger drains."""

    def announce(self) -> None:
        """Wakes everyone who follows."""
