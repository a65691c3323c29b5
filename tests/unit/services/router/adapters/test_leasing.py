from __future__ import annotations

import asyncio
import logging
import os
from pathlib import Path

import pytest

from services.router.adapters.leasing import TICK
from services.router.domain.funds import Name
from services.router.domain.purse import UNUSED_FOR, Hold, Short
from services.router.domain.reservation import Amounts
from tests.unit.services.router.bench import Bench
from tests.unit.services.router.budget_keeper import TERM, Granted, budget
from tests.unit.services.router.spending import Spending, spending
from tollway.ledger.v1.budget_pb2 import WatchBudgetsResponse

DEMO = budget("project:demo", 1_000)
NAME: Name = ("project:demo/total", "project:demo")
SOME = Amounts(100, 100, 100)


async def reserved(made: Spending, amount: int = 100) -> Hold:
    held = await made.reservations.reserve((NAME,), Amounts(amount, amount, amount), 2.0)
    assert isinstance(held, Hold)
    return held


async def test_budgets_are_known_when_the_router_starts_and_whenever_they_change(bench: Bench, tmp_path: Path) -> None:
    async with spending(bench, tmp_path) as made:
        assert not made.budgeting.any
        made.keeper.change(budget("project:demo", 1, soft=True))
        await bench.clock.advance(0)
        assert not made.budgeting.any
        made.keeper.change(DEMO)
        await bench.clock.advance(0)
        assert made.budgeting.any
        await reserved(made)


async def test_without_hard_budgets_the_ledger_is_asked_for_nothing(bench: Bench, tmp_path: Path) -> None:
    async with spending(bench, tmp_path, budget("project:demo", 1, soft=True)) as made:
        await bench.clock.advance(60.0)
        assert made.keeper.requests == 0
        assert not made.keeper._recalls


async def test_a_router_that_starts_without_its_ledger_knows_the_budgets_that_were_kept(
    bench: Bench, tmp_path: Path
) -> None:
    (tmp_path / "budgets.pb").write_bytes(WatchBudgetsResponse(budgets=[DEMO]).SerializeToString())
    made = Spending(bench, tmp_path, DEMO)
    made.keeper.gone = True
    await bench.seconds(asyncio.create_task(made.leasing.start(1.0)))
    assert made.budgeting.any
    assert await made.reservations.reserve((NAME,), SOME, 2.0) == Short(NAME, lost=True)
    made.keeper.gone = False
    await bench.clock.advance(20.0)
    assert not made.reservations.lost
    await reserved(made)
    await made.leasing.drain()


async def test_budgets_are_kept_for_that(bench: Bench, tmp_path: Path) -> None:
    async with spending(bench, tmp_path, DEMO):
        kept = WatchBudgetsResponse.FromString((tmp_path / "budgets.pb").read_bytes())
        assert list(kept.budgets) == [DEMO]
        assert os.listdir(tmp_path) == ["budgets.pb"]


async def test_what_was_kept_may_be_unreadable(bench: Bench, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "budgets.pb").write_bytes(b"\xff\xff\xff")
    async with spending(bench, tmp_path, DEMO) as made:
        assert made.budgeting.any
        assert "cannot be read" in caplog.text


async def test_a_folder_that_cannot_be_written_to_keeps_nobody_from_starting(
    bench: Bench, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with spending(bench, tmp_path / "missing", DEMO) as made:
        assert made.budgeting.any
        assert "cannot be kept" in caplog.text


async def test_calls_that_come_together_are_asked_for_together(bench: Bench, tmp_path: Path) -> None:
    async with spending(bench, tmp_path, DEMO) as made:
        holds = [await reserved(made, 10) for _ in range(3)]
        assert made.keeper.requests <= 3
        assert len({lease.id for hold in holds for lease in hold.leases}) == 1


async def test_a_ledger_that_is_gone_is_told_once_and_asked_again_until_it_is_back(
    bench: Bench, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with spending(bench, tmp_path, DEMO) as made:
        made.keeper.gone = True
        assert await made.reservations.reserve((NAME,), SOME, 2.0) == Short(NAME, lost=True)
        await bench.clock.advance(5.0)
        assert made.reservations.lost
        assert [record.levelno for record in caplog.records if "asked for leases" in record.message] == [
            logging.WARNING
        ]
        assert bench.metrics.values("tollway.budgets.lost")[-1] == 1
        made.keeper.gone = False
        await bench.clock.advance(1.5)
        assert bench.metrics.values("tollway.budgets.lost")[-1] == 0
        await reserved(made)


async def test_an_answer_that_is_lost_costs_the_budget_nothing(bench: Bench, tmp_path: Path) -> None:
    async with spending(bench, tmp_path, DEMO) as made:
        made.keeper.answers_lost = True
        assert await made.reservations.reserve((NAME,), SOME, 2.0) == Short(NAME, lost=True)
        await bench.clock.advance(3.0)
        made.keeper.answers_lost = False
        await bench.clock.advance(1.5)
        hold = await reserved(made)
        (lease,) = made.keeper.leases.values()
        (ours,) = hold.leases
        assert ours.granted == lease.granted


async def test_what_is_in_use_is_renewed_before_it_expires(bench: Bench, tmp_path: Path) -> None:
    async with spending(bench, tmp_path, DEMO) as made:
        hold = await reserved(made)
        for _ in range(6):
            await bench.clock.advance(TERM / 3)
            (lease,) = hold.leases
            assert bench.clock.monotonic() < lease.until


async def test_what_nobody_draws_from_goes_back_and_is_closed_when_it_is_recorded(bench: Bench, tmp_path: Path) -> None:
    async with spending(bench, tmp_path, DEMO) as made:
        hold = await reserved(made)
        made.reservations.settle(hold, 40)
        await bench.clock.advance(UNUSED_FOR + TICK)
        (lease,) = made.keeper.leases.values()
        assert (lease.granted - lease.returned, lease.closed) == (40, False)
        made.recorded_until = bench.clock.monotonic()
        await bench.clock.advance(TICK)
        assert lease.closed


async def test_a_lease_of_an_attempt_that_the_ledger_refused_is_not_closed(bench: Bench, tmp_path: Path) -> None:
    """Nobody knows there what was spent of it."""
    async with spending(bench, tmp_path, DEMO) as made:
        hold = await reserved(made)
        (lease,) = hold.leases
        made.unbooked.add(lease.id)
        made.reservations.settle(hold, 40)
        made.recorded_until = bench.clock.monotonic() + 1
        await bench.clock.advance(UNUSED_FOR + 3 * TICK)
        (granted,) = made.keeper.leases.values()
        assert (granted.left, granted.closed) == (40, False)
        assert not await made.leasing.close(recorded=True)


async def test_a_recalled_lease_gives_back_what_is_idle_at_once(bench: Bench, tmp_path: Path) -> None:
    async with spending(bench, tmp_path, DEMO) as made:
        first, second = await reserved(made), await reserved(made)
        made.reservations.settle(second, 10)
        await bench.clock.advance(0)
        (lease,) = first.leases
        assert lease.idle > 0
        made.keeper.recall(lease.id)
        await bench.clock.advance(0)
        assert made.keeper.granted(NAME) == 110
        assert made.keeper.left(NAME) == 890


async def test_who_waits_is_asked_for_again_until_others_have_given_back(bench: Bench, tmp_path: Path) -> None:
    async with spending(bench, tmp_path, DEMO) as made:
        other = made.keeper.leases["other"] = Granted(NAME, "journal-2", granted=950)
        asked = asyncio.create_task(made.reservations.reserve((NAME,), SOME, 2.0))
        await bench.clock.advance(1.0)
        assert not asked.done()
        other.returned = 500
        await bench.clock.advance(0.1)
        assert isinstance(asked.result(), Hold)


async def test_at_the_end_what_is_idle_goes_back_at_once_and_the_rest_when_it_is_recorded(
    bench: Bench, tmp_path: Path
) -> None:
    made = Spending(bench, tmp_path, DEMO)
    await made.leasing.start(1.0)
    hold = await reserved(made)
    made.reservations.settle(hold, 40)
    await made.leasing.drain()
    assert made.keeper.granted(NAME) == 40
    assert not await made.leasing.close(recorded=False)
    assert made.keeper.granted(NAME) == 40
    assert await made.leasing.close(recorded=True)
    assert made.keeper.closed == ["journal-1"]
    assert made.keeper.granted(NAME) == 0


async def test_at_the_end_without_the_ledger_somebody_else_has_to_close_them(bench: Bench, tmp_path: Path) -> None:
    made = Spending(bench, tmp_path, DEMO)
    await made.leasing.start(1.0)
    await reserved(made)
    made.keeper.gone = True
    await made.leasing.drain()
    assert not await made.leasing.close(recorded=True)


async def test_a_router_that_leased_nothing_has_nothing_to_close(bench: Bench, tmp_path: Path) -> None:
    made = Spending(bench, tmp_path, DEMO)
    await made.leasing.start(1.0)
    await made.leasing.drain()
    made.keeper.gone = True
    assert await made.leasing.close(recorded=True)
