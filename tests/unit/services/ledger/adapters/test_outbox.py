"""Thresholds of budgets are told: once each, and whatever happens in between."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import pytest

from mesh.mediator import Event
from services.ledger.adapters.bell import Bell
from services.ledger.adapters.outbox import SqlOutbox, relay
from services.ledger.domain.events import BudgetThresholdReached
from tests.unit.services.ledger.budgeting import CENT, DOLLAR, MONTH, create, lease, spent
from tests.unit.services.ledger.conftest import Ledger, StartLedger
from tests.unit.services.ledger.samples import NOW
from tollway.ledger.v1.budget_pb2 import BUDGET_WINDOW_DAY, BUDGET_WINDOW_ROLLING, Budget, UpdateBudgetRequest

DAY = 86_400.0


async def told(ledger: Ledger, caplog: pytest.LogCaptureFixture, count: int) -> list[str]:
    """What the log says of thresholds, once that many were told and the outbox is empty."""
    for _ in range(2000):
        lines = [record.getMessage() for record in caplog.records if "of its" in record.getMessage()]
        if len(lines) >= count and ledger.sql("SELECT count(*) FROM outbox") == [(0,)]:
            return lines
        await asyncio.sleep(0.001)
    raise AssertionError(f"{lines} were told, and not {count}")


async def test_a_threshold_is_told_in_the_log_and_counted_once(
    ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    await create(ledger)
    await ledger.record(spent(49 * CENT))
    assert await told(ledger, caplog, 0) == []
    await ledger.record(spent(CENT))
    line = "project:demo has spent 50% of its hard budget project:demo/month: $0.50 of $1.00"
    assert await told(ledger, caplog, 1) == [line]
    await ledger.record(spent(CENT), spent(CENT))
    assert await told(ledger, caplog, 1) == [line]
    assert ledger.metrics.counts["tollway.budget.thresholds", "50"] == 1


async def test_thresholds_reached_at_once_are_told_each(ledger: Ledger, caplog: pytest.LogCaptureFixture) -> None:
    await create(ledger, "key:*", soft=True, thresholds=[50, 100, 150])
    await ledger.record(spent(60 * CENT), spent(45 * CENT), spent(10 * CENT, api_key_id="other"))
    assert await told(ledger, caplog, 2) == [
        "key:local has spent 50% of its soft budget key:*/month: $1.05 of $1.00",
        "key:local has spent 100% of its soft budget key:*/month: $1.05 of $1.00",
    ]


async def test_each_window_tells_its_own(ledger: Ledger, caplog: pytest.LogCaptureFixture) -> None:
    await create(ledger, window=BUDGET_WINDOW_DAY, thresholds=[50])
    for day in range(3):
        await ledger.record(spent(60 * CENT, at=NOW - day * DAY))
    assert len(await told(ledger, caplog, 3)) == 3


async def test_a_rolling_budget_tells_again_once_what_was_told_is_out_of_its_window(
    ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    await create(ledger, window=BUDGET_WINDOW_ROLLING, rolling={"seconds": 86_400}, thresholds=[50])
    await ledger.record(spent(60 * CENT))
    ledger.clock._now += 3600 * 5
    await ledger.record(spent(CENT, at=ledger.clock.time()))
    assert len(await told(ledger, caplog, 1)) == 1
    ledger.clock._now += 3600 * 25
    await ledger.record(spent(55 * CENT, at=ledger.clock.time()))
    assert len(await told(ledger, caplog, 2)) == 2


async def test_a_limit_that_is_lowered_tells_with_the_next_spend(
    ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    await create(ledger, thresholds=[50])
    await ledger.record(spent(10 * CENT))
    lowered = Budget(budget_id=MONTH, limit_nanos=20 * CENT, thresholds=[50])
    await ledger.stub.UpdateBudget(UpdateBudgetRequest(budget=lowered))
    await ledger.record(spent(CENT))
    assert len(await told(ledger, caplog, 1)) == 1


async def test_what_is_only_held_reaches_no_threshold(ledger: Ledger, caplog: pytest.LogCaptureFixture) -> None:
    await create(ledger)
    await lease(ledger, DOLLAR, DOLLAR)
    assert await told(ledger, caplog, 0) == []


async def events(ledger: Ledger) -> list[str]:
    return [row[0] for row in ledger.sql("SELECT kind FROM outbox")]


class Publisher:
    """Stands in for a mediator: fails as often as told."""

    def __init__(self, failures: int = 0) -> None:
        self.failures, self.published = failures, list[Event]()

    async def publish(self, event: Event) -> None:
        if self.failures:
            self.failures -= 1
            raise ExceptionGroup("no", [RuntimeError("out of luck")])
        self.published.append(event)


def an_event(threshold: int = 50) -> BudgetThresholdReached:
    return BudgetThresholdReached(MONTH, "project:demo", 0, threshold, 5, 10, False)


@pytest.fixture
async def quiet(ledger: Ledger) -> Ledger:
    """A ledger that publishes nothing of its own accord."""
    ledger.runtime._bells.events.close()
    await asyncio.sleep(0)
    return ledger


async def put(ledger: Ledger, *what: Event, fail: bool = False) -> None:
    box = SqlOutbox(ledger.runtime._store, [BudgetThresholdReached], Bell())
    async with ledger.runtime._store.transaction():
        await box.put(what, NOW)
        if fail:
            raise RuntimeError("undone")


async def test_an_event_of_a_transaction_that_is_undone_has_not_happened(quiet: Ledger) -> None:
    with pytest.raises(RuntimeError, match="undone"):
        await put(quiet, an_event(), fail=True)
    assert await events(quiet) == []


async def until(done: Callable[[], bool], ledger: Ledger, every: float = 1.0) -> None:
    for _ in range(5000):
        if done():
            return
        await ledger.clock.advance(every)
        await asyncio.sleep(0.002)
    raise AssertionError("it does not happen")


async def test_an_event_is_published_again_until_its_reactions_have_run(
    quiet: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    bell, publisher = Bell(), Publisher(failures=2)
    box = SqlOutbox(quiet.runtime._store, [BudgetThresholdReached], bell)
    await put(quiet, an_event())
    task = asyncio.create_task(relay(box, publisher, bell, quiet.clock, 5.0))  # type: ignore[arg-type]
    await until(lambda: bool(publisher.published), quiet, 5.0)
    await until(lambda: quiet.sql("SELECT count(*) FROM outbox") == [(0,)], quiet)
    bell.close()
    await task
    assert publisher.published == [an_event()]
    assert caplog.text.count("BudgetThresholdReached could not be published") == 2


async def test_an_event_that_fails_holds_up_no_other(quiet: Ledger) -> None:
    bell, publisher = Bell(), Publisher(failures=1)
    box = SqlOutbox(quiet.runtime._store, [BudgetThresholdReached], bell)
    await put(quiet, an_event(50), an_event(80))
    task = asyncio.create_task(relay(box, publisher, bell, quiet.clock, 1e6))  # type: ignore[arg-type]
    await until(lambda: len(publisher.published) == 1, quiet, 0.0)
    bell.close()
    await task
    assert await events(quiet) == ["BudgetThresholdReached"]


async def test_ledgers_on_one_database_publish_each_event_once(start_ledger: StartLedger) -> None:
    ledgers = [await start_ledger() for _ in range(3)]
    for each in ledgers:
        each.runtime._bells.events.close()
    await put(ledgers[0], *(an_event(percent) for percent in range(1, 251)))
    bells, publisher = [Bell() for _ in ledgers], Publisher()
    tasks: list[asyncio.Task[None]] = []
    for each, bell in zip(ledgers, bells, strict=True):
        box = SqlOutbox(each.runtime._store, [BudgetThresholdReached], bell)
        tasks.append(asyncio.create_task(relay(box, publisher, bell, each.clock, 1e6)))  # type: ignore[arg-type]
    await until(lambda: len(publisher.published) >= 250, ledgers[0], 0.0)
    for bell in bells:
        bell.close()
    await asyncio.gather(*tasks)
    assert sorted(event.threshold for event in publisher.published) == list(range(1, 251))  # type: ignore[attr-defined]


async def test_what_a_ledger_left_behind_is_published_by_the_next(
    ledger: Ledger, start_ledger: StartLedger, caplog: pytest.LogCaptureFixture
) -> None:
    ledger.runtime._bells.events.close()
    await asyncio.sleep(0)
    await create(ledger, thresholds=[50])
    await ledger.record(spent(60 * CENT))
    assert await events(ledger) == ["BudgetThresholdReached"]
    again = await start_ledger()
    assert len(await told(again, caplog, 1)) == 1


async def test_an_event_that_only_a_newer_ledger_knows_is_left_for_that(quiet: Ledger) -> None:
    await put(quiet, an_event())
    quiet.sql("UPDATE outbox SET kind = 'Unheard'")
    box = SqlOutbox(quiet.runtime._store, [BudgetThresholdReached], Bell())
    assert await box.claim(NOW + 1000) == []


async def test_publishing_goes_on_after_the_store_could_not_be_read(
    quiet: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    bell, publisher = Bell(), Publisher()
    box = SqlOutbox(quiet.runtime._store, [BudgetThresholdReached], bell)
    await put(quiet, an_event())
    await quiet.reshape("ALTER TABLE outbox RENAME TO hidden")
    task = asyncio.create_task(relay(box, publisher, bell, quiet.clock, 5.0))  # type: ignore[arg-type]
    await until(lambda: "could not publish events" in caplog.text, quiet, 0.0)
    await quiet.reshape("ALTER TABLE hidden RENAME TO outbox")
    await until(lambda: bool(publisher.published), quiet, 5.0)
    bell.close()
    await task
