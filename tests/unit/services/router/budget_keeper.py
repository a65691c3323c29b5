"""A ledger's side of budgets, in memory: what it grants and what was spent never come to more than a limit."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass

from mesh.budgets import BudgetBook
from mesh.errors import Reason
from mesh.ids import uuid7
from tests.unit.services.router.twins import error
from tollway.ledger.v1.budget_pb2 import (
    BUDGET_WINDOW_TOTAL,
    Budget,
    BudgetStanding,
    LeaseAnswer,
    LeaseBudgetRequest,
    LeaseWish,
    ReturnLeaseRequest,
)
from tollway.ledger.v1.ledger_pb2 import Attempt

TERM = 30.0


def budget(scope: str, limit: int, *, soft: bool = False) -> Budget:
    return Budget(budget_id=f"{scope}/total", scope=scope, limit_nanos=limit, window=BUDGET_WINDOW_TOTAL, soft=soft)


@dataclass
class Granted:
    name: tuple[str, str]
    journal_id: str
    granted: int = 0
    returned: int = 0
    charged: int = 0
    closed: bool = False

    @property
    def left(self) -> int:
        return 0 if self.closed else self.granted - self.returned - self.charged


class FakeKeeper:
    """Implements `BudgetKeeper`. `most` is what it grants at once; None: all that is wanted and there is."""

    def __init__(self, *budgets: Budget, most: int | None = None) -> None:
        self.budgets, self.most = list(budgets), most
        self.gone = False
        self.answers_lost = False
        self.leases: dict[str, Granted] = {}
        self.spent: dict[tuple[str, str], int] = {}
        self.asked: list[LeaseWish] = []
        self.requests = 0
        self.closed: list[str] = []
        """Journals."""
        self._watching: list[asyncio.Queue[Sequence[Budget]]] = []
        self._recalls: dict[str, asyncio.Queue[Sequence[str]]] = {}

    def _limit(self, name: tuple[str, str]) -> int | None:
        found = BudgetBook(self.budgets).find(name[0])
        return None if found is None or found.soft else found.limit_nanos

    def granted(self, name: tuple[str, str]) -> int:
        """What routers hold."""
        return sum(lease.left for lease in self.leases.values() if lease.name == name)

    def left(self, name: tuple[str, str]) -> int:
        limit = self._limit(name)
        assert limit is not None
        return limit - self.spent.get(name, 0) - self.granted(name)

    def book(self, attempt: Attempt) -> None:
        """A row that a router sent has this cost, charged to these leases."""
        for lease_id in attempt.lease_ids:
            lease = self.leases[lease_id]
            self.spent[lease.name] = self.spent.get(lease.name, 0) + attempt.cost_nanos
            lease.charged += min(attempt.cost_nanos, max(lease.left, 0))

    def change(self, *budgets: Budget) -> None:
        self.budgets = list(budgets)
        for watching in self._watching:
            watching.put_nowait(self.budgets)

    def recall(self, *lease_ids: str) -> None:
        for queue in self._recalls.values():
            queue.put_nowait(lease_ids)

    # -- BudgetKeeper ----------------------------------------------------------------------------------------------

    async def lease(self, request: LeaseBudgetRequest, timeout: float) -> Sequence[LeaseAnswer]:
        await asyncio.sleep(0)
        self._check()
        self.requests += 1
        self.asked += request.wishes
        answers = [self._answer(wish, request.journal_id) for wish in request.wishes]
        if self.answers_lost:
            raise error(Reason.SERVICE_UNAVAILABLE, message="the answer was lost")
        return answers

    def _answer(self, wish: LeaseWish, journal_id: str) -> LeaseAnswer:
        name = (wish.budget_id, wish.subject)
        limit = self._limit(name)
        if limit is None:
            return LeaseAnswer(not_needed=True)
        assert wish.least_nanos >= (1 if wish.wanted_nanos else 0)
        assert wish.wanted_nanos >= wish.least_nanos
        lease_id = wish.lease_id or uuid7(0)
        free = self.left(name)
        answer = LeaseAnswer()
        if free >= wish.least_nanos:
            lease = self.leases.setdefault(lease_id, Granted(name, journal_id))
            assert (lease.name, lease.journal_id, lease.closed) == (name, journal_id, False)
            most = wish.wanted_nanos if self.most is None else max(self.most, wish.least_nanos)
            lease.granted += min(wish.wanted_nanos, max(free, 0), most)
            answer.lease.lease_id, answer.lease.budget_id, answer.lease.subject = lease_id, *name
            answer.lease.granted_nanos = lease.granted
            answer.lease.term.FromMilliseconds(round(TERM * 1000))
        else:
            answer.reserved = any(lease.left > 0 and lease.journal_id != journal_id for lease in self.leases.values())
        spent = self.spent.get(name, 0)
        answer.standing.CopyFrom(
            BudgetStanding(
                budget_id=name[0],
                subject=name[1],
                limit_nanos=limit,
                spent_nanos=spent,
                granted_nanos=self.granted(name),
            )
        )
        return answer

    async def give_back(self, request: ReturnLeaseRequest, timeout: float) -> None:
        await asyncio.sleep(0)
        self._check()
        for each in request.leases:
            lease = self.leases.get(each.lease_id)
            if lease is not None:
                lease.returned = max(lease.returned, min(each.nanos, lease.granted - lease.charged))
                lease.closed = lease.closed or each.closed
        if request.journal_closed:
            self.closed.append(request.journal_id)
            for lease in self.leases.values():
                lease.closed = lease.closed or lease.journal_id == request.journal_id

    async def watch_recalls(self, journal_id: str) -> AsyncGenerator[Sequence[str], None]:
        self._check()
        queue = self._recalls[journal_id] = asyncio.Queue()
        while True:
            yield await queue.get()

    async def watch_budgets(self) -> AsyncGenerator[Sequence[Budget], None]:
        self._check()
        queue: asyncio.Queue[Sequence[Budget]] = asyncio.Queue()
        self._watching.append(queue)
        yield self.budgets
        while True:
            yield await queue.get()

    def _check(self) -> None:
        if self.gone:
            raise error(Reason.SERVICE_UNAVAILABLE, message="nobody listens")
