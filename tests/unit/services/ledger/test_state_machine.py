"""Whatever is sent, sent again, adjusted, rolled, refused or restarted, in whatever order: the book agrees with itself.

A model in plain dictionaries says what the book must come to; after every step the audit finds nothing, and spend by
every dimension is what the model says.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
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
from mesh.metrics import NoMetrics
from mesh.tracing import NoTracer
from services.ledger.adapters.schema import request_logs
from services.ledger.bootstrap import LedgerRuntime, start
from services.ledger.domain.totals import DAY, day_of
from services.ledger.handlers.adjust_attempt import AdjustAttempt
from services.ledger.handlers.audit_ledger import AuditLedger
from services.ledger.handlers.get_spend import GetSpend
from services.ledger.handlers.record_attempts import RecordAttempts
from services.ledger.handlers.roll_details import RollDetails
from services.ledger.handlers.tidy_details import TidyDetails
from services.ledger.settings import DatabaseUrl, LedgerSettings
from tests.unit.services.ledger.samples import NOW, opened, priced, unsettled
from tollway.ledger.v1.ledger_pb2 import (
    ATTEMPT_STATE_OPENED,
    ATTEMPT_STATE_SETTLED,
    RECORD_OUTCOME_DUPLICATE,
    RECORD_OUTCOME_RECORDED,
    RECORD_OUTCOME_REFUSED,
    SPEND_DIMENSION_DAY,
    SPEND_DIMENSION_PROJECT,
    SPEND_DIMENSION_TAG,
    Attempt,
    UsageFilter,
)

TODAY = int(NOW) // DAY * DAY
STAGES: tuple[Callable[[Attempt], Attempt], ...] = (opened, unsettled, lambda settled: settled)


class BookMachine(RuleBasedStateMachine):
    """One ledger, and what it must come to."""

    make: Callable[[], Path | DatabaseUrl]
    calls = Bundle("calls")

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.clock = VirtualClock()
        self.where = LedgerSettings(type(self).make())
        self.ledger = self.run(self.open())
        self.rows: dict[str, Attempt] = {}
        self.rolled: dict[str, Attempt] = {}
        self.adjusted: Counter[str] = Counter()
        self.conflicts: set[bytes] = set()
        self.horizon = 0

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

    @rule(
        target=calls,
        days=st.integers(0, 5),
        project=st.sampled_from("xy"),
        tags=st.lists(st.sampled_from("ab"), max_size=2),
        tokens=st.tuples(st.integers(0, 9), st.integers(0, 9)),
        provider=st.sampled_from(["sim", "sim", "nobody"]),
        told=st.integers(0, len(STAGES)),
    )
    def call(self, days: int, project: str, tags: list[str], tokens: tuple[int, int], provider: str, told: int) -> Any:
        """A provider is called; the ledger is told how far that has come, or nothing yet."""
        unpriced: dict[str, Any] = {"cost_nanos": None, "price_version": None} if provider == "nobody" else {}
        made = priced(NOW - days * DAY, tokens=tokens, project=project, tags=tags, provider_name=provider, **unpriced)
        if told < len(STAGES):
            self.tell([STAGES[told](made)])
        return multiple(made)

    @rule(batch=st.lists(st.tuples(calls, st.sampled_from(STAGES)), min_size=1, max_size=6), false=st.booleans())
    def record(self, batch: list[tuple[Attempt, Callable[[Attempt], Attempt]]], false: bool) -> None:
        """Told in any order, any number of times; at times with a row that is not true, and one that cannot be."""
        sent = [stage(each) for each, stage in batch]
        if false:
            lie = Attempt()
            lie.CopyFrom(sent[0])
            lie.deployment = "another/one"
            sent += [lie, priced(attempt_id="no id")]
        self.tell(sent)

    def tell(self, sent: list[Attempt]) -> None:
        answer = self.send(RecordAttempts(sent))
        for each, result in zip(sent, answer.results, strict=True):
            assert result.outcome == self.expect(each), result

    def expect(self, sent: Attempt) -> int:
        name = sent.attempt_id
        if name == "no id":
            return RECORD_OUTCOME_REFUSED
        row = self.rows.get(name)
        if row is None and sent.start_time.seconds < self.horizon:
            return RECORD_OUTCOME_REFUSED
        if row is None or sent.state > row.state:
            self.rows[name] = sent
            return RECORD_OUTCOME_RECORDED
        if sent.state == row.state and sent.deployment != row.deployment:
            self.conflicts.add(sent.SerializeToString(deterministic=True))
        return RECORD_OUTCOME_DUPLICATE

    @rule(which=calls, cost=st.integers(0, 30_000_000))
    def adjust(self, which: Attempt, cost: int) -> None:
        """An operator decides what something costs."""
        row = self.rows.get(which.attempt_id)
        if row is None or row.state == ATTEMPT_STATE_OPENED:
            return
        amount = self.send(AdjustAttempt(which.attempt_id, cost, "says the invoice")).amount_nanos
        self.adjusted[which.attempt_id] += amount
        assert row.cost_nanos + self.adjusted[which.attempt_id] == cost

    @rule(days=st.integers(1, 2), most=st.integers(1, 3), whole=st.booleans())
    def roll(self, days: int, most: int, whole: bool) -> None:
        """Some or all of what is old enough goes."""
        before = TODAY - days * DAY
        self.horizon = max(self.horizon, before)
        while count := self.send(RollDetails(before * 1_000_000, most)):
            if count < most or not whole:
                break
        self.send(TidyDetails(before * 1_000_000))
        present = self.run(self.ids())
        for name in [name for name in self.rows if name not in present]:
            row = self.rows.pop(name)
            assert row.state == ATTEMPT_STATE_SETTLED
            assert row.start_time.seconds < before
            self.rolled[name] = row
            self.conflicts = {each for each in self.conflicts if Attempt.FromString(each).attempt_id != name}
        assert present == self.rows.keys()

    async def ids(self) -> set[str]:
        async with self.ledger._store.connection() as connection:
            return set((await connection.execute(select(request_logs.c.attempt_id))).scalars())

    @rule()
    def restart(self) -> None:
        """The ledger goes and comes back."""
        self.run(self.ledger.close())
        self.ledger = self.run(self.open())

    @invariant()
    def the_book_agrees_with_itself(self) -> None:
        findings, last = self.run(self.audit())
        assert findings == []
        assert last.attempts == len(self.rows)
        assert last.conflicts == len(self.conflicts)

    async def audit(self) -> tuple[list[Any], Any]:
        findings: list[Any] = []
        last: Any = None
        async for last in self.ledger._servicer._mediator.stream(AuditLedger()):
            findings += last.findings
        return findings, last

    @invariant()
    def spend_is_what_was_called(self) -> None:
        known = {**self.rows, **self.rolled}
        total = self.send(GetSpend(UsageFilter())).total
        cost = {name: row.cost_nanos + self.adjusted[name] for name, row in known.items()}
        assert (total.attempts, total.cost_nanos) == (len(known), sum(cost.values()))
        assert total.input_tokens == sum(row.usage.input_tokens for row in known.values())
        assert total.unsettled_attempts == sum(row.state != ATTEMPT_STATE_SETTLED for row in known.values())
        assert total.adjusted_nanos == sum(self.adjusted[name] for name in known)
        expected: Counter[tuple[str, ...]] = Counter()
        for name, row in known.items():
            for tag in set(row.tags) or {""}:
                expected[day_of(row.start_time.seconds), row.project, tag] += cost[name]
        groups = self.send(
            GetSpend(UsageFilter(), [SPEND_DIMENSION_DAY, SPEND_DIMENSION_PROJECT, SPEND_DIMENSION_TAG])
        ).groups
        assert {tuple(group.keys): group.cost_nanos for group in groups} == dict(expected)


@pytest.mark.timeout(600)  # a failure is made small before it is told
def test_the_book_agrees_with_itself_after_every_step(new_book: Callable[[], Path | DatabaseUrl]) -> None:
    machine = type("Machine", (BookMachine,), {"make": staticmethod(new_book)})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=7, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
