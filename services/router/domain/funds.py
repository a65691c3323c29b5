"""What is known here of a budget and of the leases on it. Times are monotonic, in seconds; amounts are nano-USD."""

from __future__ import annotations

from collections.abc import Iterator
from math import exp, inf

from tollway.ledger.v1.budget_pb2 import BudgetStanding

Name = tuple[str, str]
"""Of a budget, and whose it is: `budget_id` and `subject`."""

_MEMORY = 1.0
"""Seconds over which demand is summed up."""


class Lease:
    """A slice, as it is known here. Until it is granted, nothing is in it."""

    __slots__ = (
        "granted", "held", "id", "name", "renew_at", "returned", "settled_at", "spent", "told", "until", "window_until",
    )  # fmt: skip

    def __init__(self, id: str, name: Name) -> None:
        self.id, self.name = id, name
        self.granted = self.returned = self.spent = self.held = 0
        self.told = 0
        """How much of `returned` the ledger has confirmed."""
        self.until = -inf
        """When no call may begin any more that is charged to it."""
        self.renew_at = -inf
        self.window_until = inf
        self.settled_at = -inf

    @property
    def idle(self) -> int:
        return self.granted - self.returned - self.spent - self.held


class Fund:
    """A budget, for somebody, as it is known here."""

    __slots__ = ("drawn", "drawn_at", "lease", "name", "past", "refused", "reserved", "standing", "waived")

    def __init__(self, name: Name) -> None:
        self.name = name
        self.lease: Lease | None = None
        """Whose idle part new calls are charged to."""
        self.past: list[Lease] = []
        """Those that no new call is charged to, and that are not closed."""
        self.standing: BudgetStanding | None = None
        """As the ledger said last."""
        self.refused = False
        """Whether the ledger had nothing to give, the last time it was asked."""
        self.reserved = False
        """Whether that was because others hold what is left."""
        self.waived = False
        """Whether the ledger knows of no such budget."""
        self.drawn = 0.0
        self.drawn_at = -inf

    @property
    def leases(self) -> Iterator[Lease]:
        if self.lease is not None:
            yield self.lease
        yield from self.past

    @property
    def held(self) -> int:
        """What is reserved for calls under way."""
        return sum(lease.held for lease in self.leases)

    @property
    def unspent(self) -> int:
        """What of the limit nobody has spent, as far as that is known; some of it others hold."""
        return 0 if self.standing is None else self.standing.limit_nanos - self.standing.spent_nanos

    def has_plenty(self, amount: int) -> bool:
        """Whether half of what is unspent would still be free once that much is reserved."""
        standing = self.standing
        if self.waived:
            return True
        if standing is None or self.lease is None:
            return False
        free = self.unspent - standing.granted_nanos + self.lease.idle
        return 2 * (free - amount) >= self.unspent

    def demand(self, now: float) -> int:
        """What was drawn, or would have been, in the last second or so."""
        return round(self.drawn * exp((self.drawn_at - now) / _MEMORY)) if self.drawn else 0

    def note(self, amount: int, now: float) -> None:
        """So much is wanted."""
        self.drawn = self.demand(now) + amount
        self.drawn_at = now
