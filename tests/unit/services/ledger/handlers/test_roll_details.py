from __future__ import annotations

from dataclasses import replace
from typing import Any

import grpc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mesh.clock import VirtualClock
from mesh.errors import TollwayError
from mesh.status import from_rpc_error
from services.ledger.handlers.roll_details import RollDetails
from services.ledger.handlers.tidy_details import TidyDetails
from services.ledger.settings import LedgerSettings
from tests.unit.services.ledger.conftest import Ledger, StartLedger, on_postgresql
from tests.unit.services.ledger.samples import NOW, opened, priced, unsettled
from tollway.ledger.v1.ledger_pb2 import (
    ATTEMPT_STATE_SETTLED,
    ATTEMPT_STATE_UNSETTLED,
    ATTEMPT_STATUS_OK,
    RECORD_OUTCOME_DUPLICATE,
    RECORD_OUTCOME_RECORDED,
    RECORD_OUTCOME_REFUSED,
    AdjustAttemptRequest,
    Attempt,
    GetSpendRequest,
    GetSpendResponse,
    SpendDimension,
    UsageFilter,
)

DAY = 86_400
TODAY = int(NOW) // DAY * DAY
EVERY_DIMENSION = [SpendDimension.ValueType(number) for number in range(1, 10)]


async def roll(ledger: Ledger, days: int, most: int = 1000) -> int:
    """Rolls what started before so many days ago."""
    mediator, before = ledger.runtime._servicer._mediator, (TODAY - days * DAY) * 1_000_000
    rolled = 0
    while count := await mediator.send(RollDetails(before, most)):
        rolled += count
        if count < most:
            break
    await mediator.send(TidyDetails(before))
    return rolled


async def spend(ledger: Ledger, usage_filter: UsageFilter | None = None) -> list[GetSpendResponse]:
    return [
        await ledger.stub.GetSpend(GetSpendRequest(filter=usage_filter, group_by=group_by))
        for group_by in ([], *([dimension] for dimension in EVERY_DIMENSION), [*EVERY_DIMENSION])
    ]


def some_attempt(days: int, who: str, tags: list[str], stage: int) -> Attempt:
    kept = priced(NOW - days * DAY, tokens=(days, 3), project=who, api_key_id=f"key-{who}", tags=tags)
    return (opened, unsettled, lambda settled: settled, lambda settled: settled)[stage](kept)


some_attempts = st.lists(
    st.builds(
        some_attempt,
        st.integers(0, 5),
        st.sampled_from("xy"),
        st.lists(st.sampled_from(["a", "b", "ü"]), max_size=3),
        st.integers(0, 3),
    ),
    max_size=12,
)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(some_attempts, st.lists(st.integers(0, 4), min_size=1, max_size=3), st.integers(1, 4), st.data())
async def test_rolling_details_into_daily_totals_changes_no_sum(
    start_ledger: StartLedger, attempts: list[Attempt], horizons: list[int], most: int, data: st.DataObject
) -> None:
    ledger = await start_ledger()
    for table in ("request_logs", "postings", "balances", "daily_totals", "adjustments", "retention"):
        ledger.sql(f"DELETE FROM {table}")
    await ledger.record(*attempts)
    settled = [each for each in attempts if each.state == ATTEMPT_STATE_SETTLED]
    if settled:
        adjusted = data.draw(st.sampled_from(settled))
        await ledger.stub.AdjustAttempt(
            AdjustAttemptRequest(attempt_id=adjusted.attempt_id, cost_nanos=1, reason="a test")
        )
    before = await spend(ledger)
    for days in sorted(horizons, reverse=True):
        await roll(ledger, days, most)
        assert await spend(ledger) == before
        assert (await ledger.audit())[0] == []
    limit = TODAY - min(horizons) * DAY
    kept = sum(each.state != ATTEMPT_STATE_SETTLED or each.start_time.seconds >= limit for each in attempts)
    assert ledger.sql("SELECT count(*) FROM request_logs") == [(kept,)], "what has not settled keeps its row"
    await ledger.runtime.close()


async def test_an_unsettled_attempt_keeps_its_row_until_it_has_settled(ledger: Ledger) -> None:
    late = priced(NOW - 9 * DAY)
    await ledger.record(unsettled(late), priced(NOW - 9 * DAY))
    assert await roll(ledger, 5) == 1
    assert [result.outcome for result in await ledger.record(late)] == [RECORD_OUTCOME_RECORDED]
    assert await roll(ledger, 5) == 1
    assert (await ledger.stub.GetSpend(GetSpendRequest())).total.cost_nanos == 22_000_000
    assert (await ledger.audit())[0] == []


async def test_what_was_rolled_and_comes_again_is_refused_rather_than_booked_twice(ledger: Ledger) -> None:
    old, waiting = priced(NOW - 9 * DAY), unsettled(priced(NOW - 9 * DAY))
    await ledger.record(old, waiting)
    await roll(ledger, 5)
    results = await ledger.record(old, waiting, priced(NOW - 4 * DAY))
    assert [result.outcome for result in results] == [
        RECORD_OUTCOME_REFUSED, RECORD_OUTCOME_DUPLICATE, RECORD_OUTCOME_RECORDED,
    ]  # fmt: skip
    assert results[0].message.startswith("start_time: is before 2023-11-09, of which daily totals alone are kept")
    assert (await ledger.audit())[0] == []


async def test_what_only_details_could_tell_is_refused_for_days_that_have_none(ledger: Ledger) -> None:
    await ledger.record(priced(NOW - 9 * DAY), unsettled(priced(NOW - 9 * DAY)), priced())
    await roll(ledger, 5)

    def since(seconds: float, **more: Any) -> UsageFilter:
        made = UsageFilter(**more)
        made.start_time.FromSeconds(int(seconds))
        return made

    for field, question in {
        "filter.start_time": since(TODAY - 9 * DAY + 1),
        "filter.start_time ": UsageFilter(status=ATTEMPT_STATUS_OK),
        "filter.start_time  ": UsageFilter(state=ATTEMPT_STATE_SETTLED),
        "filter.end_time": UsageFilter(end_time=since(TODAY - 7 * DAY + 1).start_time),
    }.items():
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await ledger.stub.GetSpend(GetSpendRequest(filter=question))
        violation = from_rpc_error(raised.value).violations[0]
        assert violation.field == field.strip()
        assert "before 2023-11-09 only whole days are kept" in violation.description
    for question, attempts in (
        (since(TODAY - 9 * DAY), 3),
        (since(TODAY - 5 * DAY, status=ATTEMPT_STATUS_OK), 1),
        (UsageFilter(state=ATTEMPT_STATE_UNSETTLED), 1),
        (since(NOW - 1), 1),
    ):
        assert (await ledger.stub.GetSpend(GetSpendRequest(filter=question))).total.attempts == attempts


async def test_details_are_rolled_by_themselves_once_they_are_old_enough(
    start_ledger: StartLedger, settings: LedgerSettings
) -> None:
    clock = VirtualClock()
    ledger = await start_ledger(replace(settings, retention=2 * DAY), clock)
    await ledger.record(priced(), priced())
    for _ in range(74):
        await clock.advance(3600)
    # Rolling takes turns of the driver's, which virtual time knows nothing of.
    while ledger.sql("SELECT count(*) FROM request_logs") != [(0,)]:
        await clock.advance(3600)
    assert (await ledger.stub.GetSpend(GetSpendRequest())).total.attempts == 2
    assert (await ledger.audit())[0] == []


@on_postgresql
async def test_details_are_rolled_while_a_reader_keeps_their_month_from_being_dropped(
    start_ledger: StartLedger, settings: LedgerSettings
) -> None:
    ledger = await start_ledger(replace(settings, busy_timeout=0.05))
    await ledger.record(priced(NOW - 100 * DAY))
    async with ledger.runtime._store.connection() as reader:
        await reader.exec_driver_sql("SELECT count(*) FROM request_logs")
        with pytest.raises(TollwayError, match="lock timeout"):
            await roll(ledger, 1)
    assert ledger.sql("SELECT count(*) FROM request_logs") == [(0,)]
    await roll(ledger, 1)
    assert ledger.sql("SELECT count(*) FROM pg_class WHERE relname LIKE 'request_logs_2023_08'") == [(0,)]


@on_postgresql
async def test_a_month_whose_rows_are_all_rolled_is_dropped(ledger: Ledger) -> None:
    await ledger.record(priced(NOW - 100 * DAY), priced(NOW - 70 * DAY), unsettled(priced(NOW - 70 * DAY)))
    await roll(ledger, 1)
    partitions = {row[0] for row in ledger.sql("SELECT relname::text FROM pg_class WHERE relispartition")}
    assert {"request_logs_2023_09", "postings_2023_09", "request_logs_2023_11"} <= partitions
    assert not {"request_logs_2023_08", "postings_2023_08"} & partitions
    assert (await ledger.stub.GetSpend(GetSpendRequest())).total.attempts == 3
    assert (await ledger.audit())[0] == []
