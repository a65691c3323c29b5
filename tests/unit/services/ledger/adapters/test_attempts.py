from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mesh.prices import PriceBook
from services.ledger.adapters.attempts import SqlAttempts
from services.ledger.domain.booking import complete
from services.ledger.domain.posting import Change
from tests.unit.services.ledger.conftest import Ledger
from tests.unit.services.ledger.samples import attempt, opened, unsettled
from tollway.ledger.v1.ledger_pb2 import ListUsageRequest, RecordAttemptsRequest

STAGES = (opened, unsettled, lambda settled: settled)


@pytest.mark.parametrize("before", range(3))
@pytest.mark.parametrize("after", range(3))
async def test_the_store_itself_moves_no_row_back_whoever_was_asked_before(
    ledger: Ledger, before: int, after: int
) -> None:
    settled = attempt()
    rows = [complete(stage(settled), PriceBook()) for stage in STAGES]
    store = ledger.runtime._store
    attempts = SqlAttempts(store)
    async with store.transaction():
        await attempts.put([Change(None, rows[before])])
        await attempts.put([Change(rows[before], rows[after])])
        assert await attempts.find([settled.attempt_id, attempt().attempt_id]) == {
            settled.attempt_id: rows[max(before, after)]
        }


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
async def test_any_order_and_repetition_of_deliveries_leaves_the_same_rows(ledger: Ledger, data: st.DataObject) -> None:
    calls = [attempt(request_id="r") for _ in range(3)]
    every = [stage(call) for call in calls for stage in STAGES]
    deliveries = data.draw(st.permutations(every + data.draw(st.lists(st.sampled_from(every), max_size=5))))
    while deliveries:
        size = data.draw(st.integers(1, len(deliveries)))
        await ledger.stub.RecordAttempts(RecordAttemptsRequest(attempts=deliveries[:size]))
        deliveries = deliveries[size:]
    ids = {call.attempt_id for call in calls}
    page = await ledger.stub.ListUsage(ListUsageRequest(page_size=1000))  # with what earlier examples left, too
    assert {row.attempt_id: row for row in page.attempts if row.attempt_id in ids} == {
        call.attempt_id: call for call in calls
    }
