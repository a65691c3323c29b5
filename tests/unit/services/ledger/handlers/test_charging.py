"""What attempts cost is counted to their budgets, in the transaction that books it."""

from __future__ import annotations

import pytest

from services.ledger.domain.spans import day_before
from services.ledger.handlers.roll_details import RollDetails
from services.ledger.handlers.tidy_budgets import TidyBudgets
from tests.unit.services.ledger.budgeting import CENT, DOLLAR, MONTH, create, give_back, lease, new_id, spent, sums
from tests.unit.services.ledger.conftest import Ledger
from tests.unit.services.ledger.samples import NOW, opened, unsettled
from tollway.ledger.v1.budget_pb2 import BUDGET_WINDOW_DAY, DeleteBudgetRequest
from tollway.ledger.v1.ledger_pb2 import (
    AUDIT_INVARIANT_BUDGETS_EQUAL_ROWS,
    RECORD_OUTCOME_DUPLICATE,
    RECORD_OUTCOME_RECORDED,
    AdjustAttemptRequest,
    AuditFinding,
)

DAY = 86_400.0


async def test_what_falls_under_a_budget_without_a_lease_counts_when_it_is_booked(ledger: Ledger) -> None:
    await create(ledger)
    await create(ledger, "tag:*", soft=True)
    await ledger.record(spent(2 * CENT, tags=["a", "b"]), spent(CENT, tags=[]), spent(CENT, project="else"))
    assert await sums(ledger) == (3 * CENT, 0, 3 * CENT)
    assert await sums(ledger, "tag:*/month", "tag:a") == (2 * CENT, 0, 2 * CENT)
    assert (await ledger.audit())[0] == []


async def test_of_the_kinds_of_scope_each_counts_its_own(ledger: Ledger) -> None:
    kinds = ["tenant:default", "project:demo", "key:local", "model:gpt-4o", "tag:ci"]
    for scope in kinds:
        await create(ledger, scope)
    await ledger.record(spent(CENT), spent(CENT, tenant="t", project="p", api_key_id="k", model_requested="m", tags=[]))
    for scope in kinds:
        assert await sums(ledger, f"{scope}/month") == (CENT, 0, CENT), scope


async def test_a_budget_that_is_made_later_counts_what_is_booked_from_then_on(ledger: Ledger) -> None:
    early, late = spent(CENT), spent(2 * CENT)
    await ledger.record(early, opened(late))
    await create(ledger)
    await ledger.record(early, late)
    assert await sums(ledger) == (2 * CENT, 0, 2 * CENT)
    assert (await ledger.audit())[0] == []


async def test_an_attempt_that_is_told_in_steps_counts_once_with_what_it_cost(ledger: Ledger) -> None:
    await create(ledger)
    held = (await lease(ledger, 10 * CENT)).lease.lease_id
    attempt = spent(4 * CENT, held)
    for told in (opened(attempt), unsettled(attempt), attempt, attempt, unsettled(attempt)):
        await ledger.record(told)
    assert await sums(ledger) == (4 * CENT, 6 * CENT, 0)
    assert (await ledger.audit())[0] == []


async def test_steps_of_an_attempt_in_one_batch_count_once(ledger: Ledger) -> None:
    await create(ledger)
    held = (await lease(ledger, 10 * CENT)).lease.lease_id
    attempt = spent(4 * CENT, held)
    await ledger.record(opened(attempt), unsettled(attempt), attempt, attempt)
    assert await sums(ledger) == (4 * CENT, 6 * CENT, 0)


async def test_sending_an_attempt_again_with_its_leases_is_no_conflict(ledger: Ledger) -> None:
    await create(ledger)
    attempt = spent(CENT, (await lease(ledger)).lease.lease_id)
    await ledger.record(attempt)
    [result] = await ledger.record(attempt)
    assert (result.outcome, result.message) == (RECORD_OUTCOME_DUPLICATE, "")


async def test_adjustments_count_in_the_window_of_the_attempt_and_leave_leases_be(ledger: Ledger) -> None:
    await create(ledger, window=BUDGET_WINDOW_DAY)
    held = (await lease(ledger, 10 * CENT, of="project:demo/day")).lease.lease_id
    attempt = spent(4 * CENT, held)
    await ledger.record(attempt)
    await ledger.clock.advance(DAY)
    request = AdjustAttemptRequest(attempt_id=attempt.attempt_id, cost_nanos=CENT, reason="says the invoice")
    await ledger.stub.AdjustAttempt(request)
    assert await sums(ledger, "project:demo/day") == (0, 0, 0)
    assert ledger.sql("SELECT spent_nanos, granted_nanos FROM budget_accounts") == [(CENT, 6 * CENT)]
    assert (await ledger.audit())[0] == []


async def test_a_lease_that_nobody_knows_is_none(ledger: Ledger) -> None:
    await create(ledger)
    await ledger.record(spent(CENT, new_id()))
    assert await sums(ledger) == (CENT, 0, CENT)


async def test_an_attempt_counts_to_the_budget_of_its_lease_after_that_has_ended(ledger: Ledger) -> None:
    await create(ledger)
    held = (await lease(ledger, 10 * CENT)).lease.lease_id
    await create(ledger, "key:*")
    await ledger.stub.DeleteBudget(DeleteBudgetRequest(budget_id=MONTH))
    await ledger.record(spent(4 * CENT, held))
    assert ledger.sql("SELECT spent_nanos, granted_nanos FROM budget_accounts ORDER BY budget_id DESC") == [
        (4 * CENT, 6 * CENT),
        (4 * CENT, 0),
    ]


async def test_an_unpriced_attempt_counts_nothing_until_it_costs_something(ledger: Ledger) -> None:
    await create(ledger)
    attempt = spent(CENT, cost_nanos=None, price_version=None, provider_name="nobody")
    await ledger.record(attempt)
    assert await sums(ledger) == (0, 0, 0)
    request = AdjustAttemptRequest(attempt_id=attempt.attempt_id, cost_nanos=CENT, reason="found its price")
    await ledger.stub.AdjustAttempt(request)
    assert await sums(ledger) == (CENT, 0, 0)


@pytest.mark.parametrize("name", ["x", "", "a\0", new_id().upper()], ids=["word", "empty", "null", "upper case"])
async def test_what_is_no_lease_is_none_and_the_attempt_is_booked_all_the_same(ledger: Ledger, name: str) -> None:
    await create(ledger)
    held = (await lease(ledger)).lease.lease_id
    [result] = await ledger.record(spent(CENT, name, held))
    assert result.outcome == RECORD_OUTCOME_RECORDED
    assert await sums(ledger) == (CENT, 9 * CENT, 0)


async def test_details_that_are_rolled_change_nothing_about_what_was_spent(ledger: Ledger) -> None:
    await create(ledger, window=BUDGET_WINDOW_DAY)
    old = spent(4 * CENT)
    await ledger.record(old, spent(0))
    request = AdjustAttemptRequest(attempt_id=old.attempt_id, cost_nanos=5 * CENT, reason="says the invoice")
    await ledger.stub.AdjustAttempt(request)
    await ledger.clock.advance(3 * DAY)
    send = ledger.runtime._servicer._mediator.send
    assert await send(RollDetails(day_before(ledger.clock.time(), DAY))) == 2
    assert ledger.sql("SELECT count(*) FROM budget_charges") == [(0,)]
    assert ledger.sql("SELECT spent_nanos, rolled_nanos, attempts FROM budget_accounts") == [(5 * CENT, 5 * CENT, 0)]
    assert (await ledger.audit())[0] == []
    await send(TidyBudgets())
    assert ledger.sql("SELECT count(*) FROM budget_accounts") == [(1,)], "not long ago"
    ledger.clock._now += 10 * DAY
    await send(TidyBudgets())
    assert ledger.sql("SELECT count(*) FROM budget_accounts") == [(0,)]
    assert (await ledger.audit())[0] == []


async def test_leases_are_tidied_once_nobody_can_need_them(ledger: Ledger) -> None:
    await create(ledger)
    await create(ledger, window=BUDGET_WINDOW_DAY)
    closed = (await lease(ledger, CENT)).lease.lease_id
    await give_back(ledger, closed, closed=True)
    await lease(ledger, 2 * CENT)
    await lease(ledger, 4 * CENT, of="project:demo/day")
    ledger.clock._now += 9 * DAY
    await ledger.runtime._servicer._mediator.send(TidyBudgets())
    assert ledger.sql("SELECT granted_nanos FROM budget_leases") == [(2 * CENT,)], "its window is not over"
    assert (await ledger.audit())[0] == []


async def budget_findings(ledger: Ledger) -> list[AuditFinding]:
    findings, _ = await ledger.audit()
    assert {each.invariant for each in findings} <= {AUDIT_INVARIANT_BUDGETS_EQUAL_ROWS}
    return findings


async def test_the_audit_finds_an_account_that_was_changed(ledger: Ledger) -> None:
    await create(ledger)
    await lease(ledger, 10 * CENT)
    await ledger.record(spent(4 * CENT))
    assert await budget_findings(ledger) == []
    ledger.sql("UPDATE budget_accounts SET spent_nanos = 0")
    [finding] = await budget_findings(ledger)
    assert finding.subject == "project:demo/month project:demo from 2023-11-01T00:00:00Z"
    assert finding.message == "has $0.00 spent, and its rows come to $0.04"
    ledger.sql("UPDATE budget_accounts SET granted_nanos = 5")
    [finding] = await budget_findings(ledger)
    assert finding.message.endswith("and $0.000000005 granted, and its leases have $0.10 left")


async def test_the_audit_finds_a_charge_that_is_gone(ledger: Ledger) -> None:
    await create(ledger)
    gone = spent(4 * CENT)
    await ledger.record(gone, spent(CENT))
    ledger.sql("DELETE FROM budget_charges WHERE attempt_id = ?", gone.attempt_id)
    [finding] = await budget_findings(ledger)
    assert finding.message == "has $0.05 spent, and its rows come to $0.01"


async def test_a_batch_that_cannot_be_written_moves_no_budget(ledger: Ledger) -> None:
    await create(ledger, limit=DOLLAR)
    await ledger.record(spent(CENT))
    await ledger.reshape("ALTER TABLE budget_charges RENAME TO hidden")
    with pytest.raises(Exception, match="UNAVAILABLE"):
        await ledger.record(spent(CENT, at=NOW + 1))
    await ledger.reshape("ALTER TABLE hidden RENAME TO budget_charges")
    assert await sums(ledger) == (CENT, 0, CENT)
    assert (await ledger.audit())[0] == []
