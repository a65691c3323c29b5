"""Routers are kept current about budgets, and told what others are in need of."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest

from tests.unit.services.ledger.budgeting import CENT, DOLLAR, MONTH, create, give_back, lease
from tests.unit.services.ledger.conftest import Ledger, StartLedger
from tollway.ledger.v1.budget_pb2 import (
    Budget,
    DeleteBudgetRequest,
    UpdateBudgetRequest,
    WatchBudgetsRequest,
    WatchRecallsRequest,
)


async def limits(call: Any) -> dict[str, int]:
    return {each.budget_id: each.limit_nanos for each in (await call.read()).budgets}


async def test_every_budget_comes_at_once_and_all_again_when_one_changes(ledger: Ledger) -> None:
    call = ledger.stub.WatchBudgets(WatchBudgetsRequest())
    assert await limits(call) == {}
    await create(ledger)
    assert await limits(call) == {MONTH: DOLLAR}
    await ledger.stub.UpdateBudget(UpdateBudgetRequest(budget=Budget(budget_id=MONTH, limit_nanos=5)))
    assert await limits(call) == {MONTH: 5}
    await ledger.stub.DeleteBudget(DeleteBudgetRequest(budget_id=MONTH))
    assert await limits(call) == {}
    call.cancel()


async def test_a_budget_that_another_process_made_is_seen_within_seconds(start_ledger: StartLedger) -> None:
    here, elsewhere = await start_ledger(), await start_ledger()
    call = here.stub.WatchBudgets(WatchBudgetsRequest())
    assert await limits(call) == {}
    await create(elsewhere)
    told = asyncio.ensure_future(limits(call))
    while not told.done():  # looking takes turns of the driver's thread, which virtual time knows nothing of
        await here.clock.advance(5)
        await asyncio.sleep(0.001)
    assert await told == {MONTH: DOLLAR}
    call.cancel()


async def recalled(call: Any) -> list[str]:
    return list((await call.read()).lease_ids)


async def test_who_is_refused_for_what_others_hold_has_it_recalled(ledger: Ledger) -> None:
    await create(ledger)
    held = (await lease(ledger, DOLLAR, DOLLAR, journal="idle")).lease.lease_id
    call = ledger.stub.WatchRecalls(WatchRecallsRequest(journal_id="idle"))
    other = ledger.stub.WatchRecalls(WatchRecallsRequest(journal_id="other"))
    assert (await lease(ledger, CENT, CENT, journal="other")).reserved
    assert await recalled(call) == [held]
    await give_back(ledger, held, 10 * CENT, journal="idle")
    assert (await lease(ledger, CENT, CENT, journal="other")).HasField("lease")
    await ledger.clock.advance(1)
    assert (await lease(ledger, DOLLAR, 50 * CENT, journal="other")).reserved
    assert await recalled(call) == [held], "in need again, told again"
    for each in (call, other):
        each.cancel()


async def test_a_recall_is_told_to_who_asks_only_later(ledger: Ledger) -> None:
    await create(ledger)
    held = (await lease(ledger, DOLLAR, DOLLAR, journal="idle")).lease.lease_id
    await lease(ledger, CENT, CENT, journal="other")
    call = ledger.stub.WatchRecalls(WatchRecallsRequest(journal_id="idle"))
    assert await recalled(call) == [held]
    call.cancel()


async def test_nothing_is_recalled_of_who_asks_of_expired_or_of_used_up_leases(ledger: Ledger) -> None:
    await create(ledger)
    expired = (await lease(ledger, 30 * CENT, 30 * CENT, journal="expired")).lease.lease_id
    await ledger.clock.advance(61)
    used = (await lease(ledger, 30 * CENT, 30 * CENT, journal="used")).lease.lease_id
    await give_back(ledger, used, 30 * CENT, journal="used")
    own = (await lease(ledger, 30 * CENT, 30 * CENT)).lease.lease_id
    assert (await lease(ledger, DOLLAR, 90 * CENT)).reserved
    assert ledger.sql("SELECT count(*) FROM budget_leases WHERE recall_time IS NOT NULL") == [(0,)]
    assert len({expired, used, own}) == 3


async def test_what_another_process_recalls_is_seen_within_a_second(start_ledger: StartLedger) -> None:
    here, elsewhere = await start_ledger(), await start_ledger()
    await create(here)
    held = (await lease(here, DOLLAR, DOLLAR, journal="idle")).lease.lease_id
    call = here.stub.WatchRecalls(WatchRecallsRequest(journal_id="idle"))
    told = asyncio.ensure_future(recalled(call))
    await asyncio.sleep(0.01)
    await lease(elsewhere, CENT, CENT, journal="other")
    while not told.done():
        await here.clock.advance(0.5)
        await asyncio.sleep(0.001)
    assert await told == [held]
    call.cancel()


async def test_a_watch_must_name_its_journal(ledger: Ledger) -> None:
    call = ledger.stub.WatchRecalls(WatchRecallsRequest())
    with pytest.raises(grpc.aio.AioRpcError, match="journal_id: "):
        await call.read()


@pytest.mark.parametrize("what", ["drains", "closes"])
async def test_watches_end_well_with_the_ledger(ledger: Ledger, what: str) -> None:
    await create(ledger)
    await lease(ledger, DOLLAR, DOLLAR, journal="idle")
    await lease(ledger, CENT, CENT, journal="other")
    calls: list[Any] = [
        ledger.stub.WatchBudgets(WatchBudgetsRequest()),
        ledger.stub.WatchRecalls(WatchRecallsRequest(journal_id="idle")),
    ]
    for call in calls:
        await call.read()
    if what == "drains":
        ledger.draining.begin()
    else:
        await ledger.runtime.close()
    for call in calls:
        assert await call.read() is grpc.aio.EOF
        assert await call.code() is grpc.StatusCode.OK
