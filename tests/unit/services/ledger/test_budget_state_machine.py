"""Whatever is leased, spent, settled, returned, lost, expired, adjusted, rolled or restarted, in whatever order and
over the ends of windows: budgets are what their rows and leases come to.

A model in plain dictionaries says what every account must come to; after every step the ledger's accounts are compared
with it, and the audit finds nothing.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import select

from mesh.clock import VirtualClock
from mesh.ids import uuid7
from mesh.metrics import NoMetrics
from mesh.tracing import NoTracer
from services.ledger.adapters.schema import budget_accounts, request_logs
from services.ledger.bootstrap import LedgerRuntime, start
from services.ledger.handlers.adjust_attempt import AdjustAttempt
from services.ledger.handlers.audit_ledger import AuditLedger
from services.ledger.handlers.lease_budget import LeaseBudget
from services.ledger.handlers.record_attempts import RecordAttempts
from services.ledger.handlers.return_lease import ReturnLease
from services.ledger.handlers.roll_details import RollDetails
from services.ledger.settings import DatabaseUrl, LedgerSettings
from tests.unit.services.ledger.budgeting import budget
from tests.unit.services.ledger.samples import opened, priced, unsettled
from tollway.ledger.v1.budget_pb2 import (
    BUDGET_WINDOW_DAY,
    BUDGET_WINDOW_ROLLING,
    LeaseWish,
    ReturnedLease,
)
from tollway.ledger.v1.ledger_pb2 import Attempt

MILLI = 1_000_000
"""What a token in costs."""
HOUR, DAY = 3600, 86_400
LIMIT = 200 * MILLI
BY_DAY, BY_PART = "project:demo/day", "key:local/1d"
SUBJECTS = {BY_DAY: "project:demo", BY_PART: "key:local"}
WIDTHS = {BY_DAY: DAY, BY_PART: HOUR}


STAGES: dict[str, Callable[[Attempt], Attempt]] = {
    "opened": opened,
    "unsettled": unsettled,
    "settled": lambda attempt: attempt,
}


@dataclass
class Slice:
    """A lease as its router knows it; `account` is budget and start of the window."""

    lease_id: str
    journal: str
    budget_id: str
    account: tuple[str, int]
    granted: int
    expires: float
    returned: int = 0
    reserved: int = 0
    booked: int = 0
    closed: bool = False

    @property
    def free(self) -> int:
        return self.granted - self.returned - self.reserved

    @property
    def left(self) -> int:
        return 0 if self.closed else self.granted - self.returned - self.booked


@dataclass
class Call:
    """A call as its router knows it, and whether it was booked with what it cost."""

    attempt: Attempt
    slices: list[Slice]
    accounts: dict[str, tuple[str, int]] = field(default_factory=dict)
    booked: bool = False


class BudgetMachine(RuleBasedStateMachine):
    """One ledger, a few routers, and what it must come to."""

    make: Any
    slices = Bundle("slices")
    calls = Bundle("calls")

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.clock = VirtualClock()
        configured = (
            budget(limit=LIMIT, window=BUDGET_WINDOW_DAY),
            budget("key:local", LIMIT, window=BUDGET_WINDOW_ROLLING, rolling={"seconds": DAY}),
        )
        self.where = LedgerSettings(type(self).make(), budgets=configured)
        self.ledger = self.run(self.open())
        self.held: list[Slice] = []
        self.made: list[Call] = []
        self.rows: dict[str, Call] = {}
        self.horizon = 0
        self.spent: Counter[tuple[str, int]] = Counter()
        self.outside: Counter[str] = Counter()
        """Of each budget, what was spent without a lease or added by operators: what no limit holds back."""

    def run(self, what: Awaitable[Any]) -> Any:
        return self.loop.run_until_complete(what)

    def send(self, message: Any) -> Any:
        return self.run(self.ledger._servicer._mediator.send(message))

    def open(self) -> Awaitable[LedgerRuntime]:
        return start(self.where, clock=self.clock, tracer=NoTracer(), metrics=NoMetrics())

    def teardown(self) -> None:
        self.run(self.ledger.close())
        self.loop.close()

    @initialize()
    def begin(self) -> None:
        """Nothing is there."""

    def account_at(self, budget_id: str, at: float) -> tuple[str, int]:
        return budget_id, int(at) // WIDTHS[budget_id] * WIDTHS[budget_id]

    @rule(
        target=slices,
        journal=st.sampled_from(["j1", "j2"]),
        budget_id=st.sampled_from([BY_DAY, BY_PART]),
        wanted=st.integers(1, 220),
        least=st.integers(1, 220),
        asked_twice=st.booleans(),
    )
    def lease(self, journal: str, budget_id: str, wanted: int, least: int, asked_twice: bool) -> Any:
        """A router asks for a slice; at times the answer is lost, and it asks again."""
        name, now = uuid7(self.clock.time()), self.clock.time()
        wish = LeaseWish(
            budget_id=budget_id, subject=SUBJECTS[budget_id], lease_id=name,
            least_nanos=min(least, wanted) * MILLI, wanted_nanos=wanted * MILLI,
        )  # fmt: skip
        [answer] = self.send(LeaseBudget(journal, [wish])).answers
        if asked_twice:
            [again] = self.send(LeaseBudget(journal, [wish])).answers
            if again.HasField("lease"):
                assert again.lease.granted_nanos >= answer.lease.granted_nanos
                answer = again
        if not answer.HasField("lease"):
            return multiple()
        assert answer.lease.lease_id == name
        expires = answer.lease.expire_time.ToMicroseconds() / 1e6
        account = self.account_at(budget_id, now)
        made = Slice(name, journal, budget_id, account, answer.lease.granted_nanos, expires)
        self.held.append(made)
        return multiple(made)

    @rule(which=slices, wanted=st.integers(0, 40))
    def grow(self, which: Slice, wanted: int) -> None:
        """A router asks for more of a slice, in the window that it is of; or renews it."""
        if which.closed:
            return
        wish = LeaseWish(
            budget_id=which.budget_id, subject=SUBJECTS[which.budget_id], lease_id=which.lease_id,
            least_nanos=min(wanted, 1), wanted_nanos=wanted * MILLI,
        )  # fmt: skip
        [answer] = self.send(LeaseBudget(which.journal, [wish])).answers
        if answer.HasField("lease"):
            which.granted = answer.lease.granted_nanos
            which.expires = answer.lease.expire_time.ToMicroseconds() / 1e6

    @rule(
        target=calls,
        of=st.lists(slices, max_size=2, unique_by=lambda each: each.budget_id),
        share=st.integers(1, 4),
        stray=st.integers(0, 5),
    )
    def call(self, of: list[Slice], share: int, stray: int) -> Any:
        """A call is begun, charged to what its router holds: as much as is free, or a part of it. What it costs without
        a lease, nobody holds back."""
        now = self.clock.time()
        usable = [each for each in of if not each.closed and now < each.expires and each.free > 0]
        tokens = min((each.free // MILLI * share // 4 for each in usable), default=stray // 5)
        attempt = priced(now, tokens=(tokens, 0), project="demo", lease_ids=[each.lease_id for each in usable])
        for each in usable:
            each.reserved += attempt.cost_nanos
        made = Call(attempt, usable)
        self.made.append(made)
        return multiple(made)

    @rule(which=calls, states=st.lists(st.sampled_from(["opened", "unsettled", "settled"]), min_size=1, max_size=4))
    def tell(self, which: Call, states: list[str]) -> None:
        """The ledger is told how far a call has come, in any order and any number of times."""
        name = which.attempt.attempt_id
        if which.attempt.start_time.seconds < self.horizon and (which.booked or name not in self.rows):
            return  # it is in daily totals alone, or would be refused
        self.send(RecordAttempts([STAGES[state](which.attempt) for state in states], "j1"))
        self.rows[which.attempt.attempt_id] = which
        furthest = max(list(STAGES).index(state) for state in states)
        if furthest > 0 and not which.accounts:
            which.accounts = {each.budget_id: each.account for each in which.slices}
            for budget_id in SUBJECTS:
                at = which.attempt.start_time.ToMicroseconds() / 1e6
                which.accounts.setdefault(budget_id, self.account_at(budget_id, at))
        if furthest == 2 and not which.booked:
            self.book(which)

    def book(self, call: Call) -> None:
        call.booked = True
        cost = call.attempt.cost_nanos
        leased = set()
        for each in call.slices:
            leased.add(each.budget_id)
            if each.closed:
                self.outside[each.budget_id] += cost
            else:
                each.booked += cost
        for budget_id, account in call.accounts.items():
            self.spent[account] += cost
            if budget_id not in leased:
                self.outside[budget_id] += cost

    @rule(budget_id=st.sampled_from([BY_DAY, BY_PART]), tokens=st.integers(1, 200))
    def live(self, budget_id: str, tokens: int) -> None:
        """A router leases what a call needs, makes it, and tells of it."""
        wish = LeaseWish(
            budget_id=budget_id, subject=SUBJECTS[budget_id], least_nanos=tokens * MILLI, wanted_nanos=tokens * MILLI
        )
        [answer] = self.send(LeaseBudget("j1", [wish])).answers
        if answer.HasField("lease"):
            now = self.clock.time()
            lease_id, expires = answer.lease.lease_id, answer.lease.expire_time.ToMicroseconds() / 1e6
            made = Slice(lease_id, "j1", budget_id, self.account_at(budget_id, now), tokens * MILLI, expires)
            made.reserved = made.granted
            self.held.append(made)
            project, key = ("demo", "unheard") if budget_id == BY_DAY else ("else", "local")
            attempt = priced(now, tokens=(tokens, 0), lease_ids=[lease_id], project=project, api_key_id=key)
            self.tell(Call(attempt, [made], {budget_id: made.account}), ["settled"])

    @rule(target=slices, budget_id=st.sampled_from([BY_DAY, BY_PART]), more=st.integers(0, 1))
    def lease_all(self, budget_id: str, more: int) -> Any:
        """A router asks for exactly what is left, and gets it; or for a little more, and does not."""
        wish = LeaseWish(budget_id=budget_id, subject=SUBJECTS[budget_id], least_nanos=10**15, wanted_nanos=10**15)
        [answer] = self.send(LeaseBudget("j2", [wish])).answers
        assert not answer.HasField("lease")
        left = LIMIT - answer.standing.spent_nanos - answer.standing.granted_nanos
        wish.least_nanos = wish.wanted_nanos = left + more
        if left + more <= 0:
            return multiple()
        [answer] = self.send(LeaseBudget("j2", [wish])).answers
        assert answer.HasField("lease") == (more == 0)
        if more:
            return multiple()
        assert answer.lease.granted_nanos == left
        expires = answer.lease.expire_time.ToMicroseconds() / 1e6
        account = self.account_at(budget_id, self.clock.time())
        made = Slice(answer.lease.lease_id, "j2", budget_id, account, left, expires)
        self.held.append(made)
        return multiple(made)

    @rule(which=slices, share=st.integers(0, 4), again=st.booleans())
    def give_back(self, which: Slice, share: int, again: bool) -> None:
        """What is free of a slice, or a part of it, comes back; at times it is said twice."""
        if which.closed:
            return
        which.returned += which.free * share // 4
        returned = ReturnedLease(lease_id=which.lease_id, nanos=which.returned)
        for _ in range(1 + again):
            self.send(ReturnLease(which.journal, [returned]))

    @rule(which=slices)
    def close(self, which: Slice) -> None:
        """A router closes a slice once all that it began is booked, and not before."""
        if all(call.booked for call in self.made if which in call.slices):
            self.send(ReturnLease(which.journal, [ReturnedLease(lease_id=which.lease_id, closed=True)]))
            which.closed = True

    @rule(journal=st.sampled_from(["j1", "j2"]), reconciled=st.booleans())
    def lose(self, journal: str, reconciled: bool) -> None:
        """A router is lost with all that it holds, and stays charged with it; at times its journal is found."""
        mine = [each for each in self.held if each.journal == journal and not each.closed]
        if reconciled:
            late = [call for call in self.made if not call.booked and any(each in mine for each in call.slices)]
            for call in late:
                self.tell(call, ["unsettled", "settled"])
            self.send(ReturnLease(journal, (), journal_closed=True))
            for each in mine:
                each.closed = True
        else:
            for each in mine:
                each.expires = 0.0  # nobody is there to spend of it, or to return it

    @rule(which=calls, tokens=st.integers(0, 50))
    def adjust(self, which: Call, tokens: int) -> None:
        """An operator decides what something costs."""
        row = self.rows.get(which.attempt.attempt_id)
        if tokens > which.attempt.usage.input_tokens and tokens % 8:
            return  # mostly invoices say less: what operators add, nobody holds back
        if row is None or not row.accounts or not self.run(self.is_there(which.attempt.attempt_id)):
            return
        amount = self.send(AdjustAttempt(which.attempt.attempt_id, tokens * MILLI, "says the invoice")).amount_nanos
        for budget_id, account in which.accounts.items():
            self.spent[account] += amount
            self.outside[budget_id] += max(amount, 0)

    async def is_there(self, attempt_id: str) -> bool:
        query = select(request_logs.c.attempt_id).where(request_logs.c.attempt_id == attempt_id)
        async with self.ledger._store.connection() as connection:
            return (await connection.execute(query)).first() is not None

    @rule(seconds=st.sampled_from([1, 20, 70, 1800, 5 * HOUR, 22 * HOUR, 23 * HOUR, 30 * HOUR]))
    def pass_time(self, seconds: int) -> None:
        """Slices expire, and windows end."""
        self.clock._now += seconds

    @rule()
    def roll(self) -> None:
        """Details go; what was spent stays."""
        self.horizon = int(self.clock.time()) // DAY * DAY
        self.send(RollDetails(self.horizon * 1_000_000))

    @rule()
    def restart(self) -> None:
        """The ledger goes and comes back."""
        self.run(self.ledger.close())
        self.ledger = self.run(self.open())

    @invariant()
    def accounts_are_what_rows_and_leases_come_to(self) -> None:
        left: Counter[tuple[str, int]] = Counter()
        for each in self.held:
            assert each.left >= 0
            left[each.account] += each.left
        there = {(row.budget_id, int(row.start_time.timestamp())): row for row in self.run(self.accounts())}
        assert {key: row.spent_nanos for key, row in there.items() if row.spent_nanos} == +self.spent
        assert {key: row.granted_nanos for key, row in there.items() if row.granted_nanos} == +left
        for row in there.values():
            sums = (row.spent_nanos, row.granted_nanos, row.unleased_nanos, row.rolled_nanos, row.attempts)
            assert min(sums) >= 0, sums

    @invariant()
    def no_window_has_more_spent_and_granted_than_its_limit(self) -> None:
        for row in self.run(self.accounts()):
            assert row.spent_nanos + row.granted_nanos <= LIMIT + self.outside[row.budget_id]
        parts = sorted(
            (row.start_time.timestamp(), row.spent_nanos + row.granted_nanos)
            for row in self.run(self.accounts())
            if row.budget_id == BY_PART
        )
        for begin, _ in parts:
            together = sum(nanos for start, nanos in parts if begin <= start < begin + DAY)
            assert together <= LIMIT + self.outside[BY_PART]

    async def accounts(self) -> Any:
        async with self.ledger._store.connection() as connection:
            return (await connection.execute(select(budget_accounts))).all()

    @invariant()
    def the_audit_finds_nothing(self) -> None:
        findings, last = self.run(self.audit())
        assert findings == []
        assert last.done

    async def audit(self) -> tuple[list[Any], Any]:
        findings: list[Any] = []
        last: Any = None
        async for last in self.ledger._servicer._mediator.stream(AuditLedger()):
            findings += last.findings
        return findings, last


@pytest.mark.timeout(600)  # a failure is made small before it is told
def test_budgets_are_what_their_rows_and_leases_come_to_after_every_step(
    new_book: Callable[[], Path | DatabaseUrl],
) -> None:
    machine = type("Machine", (BudgetMachine,), {"make": staticmethod(new_book)})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=9, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
