from __future__ import annotations

import grpc
import pytest

from mesh.status import from_rpc_error
from tests.unit.services.ledger.conftest import Ledger
from tests.unit.services.ledger.samples import NOW, opened, priced, unsettled
from tollway.ledger.v1.ledger_pb2 import (
    AdjustAttemptRequest,
    Attempt,
    GetSpendRequest,
    ListUsageRequest,
    UsageFilter,
)


async def adjust(ledger: Ledger, attempt: Attempt, cost_nanos: int, reason: str = "the invoice says so") -> int:
    request = AdjustAttemptRequest(attempt_id=attempt.attempt_id, cost_nanos=cost_nanos, reason=reason)
    return (await ledger.stub.AdjustAttempt(request)).amount_nanos


async def spent(ledger: Ledger, usage_filter: UsageFilter | None = None) -> tuple[int, int]:
    total = (await ledger.stub.GetSpend(GetSpendRequest(filter=usage_filter))).total
    return total.cost_nanos, total.adjusted_nanos


async def test_an_adjustment_is_postings_beside_those_there_are_and_the_row_stays(ledger: Ledger) -> None:
    settled = priced()
    await ledger.record(settled)
    assert await adjust(ledger, settled, 15_000_000) == 4_000_000
    assert ledger.sql("SELECT seq, account, amount_nanos, kind FROM postings ORDER BY seq") == [
        (0, "spend:default/default/local", 11_000_000, "settlement"),
        (1, "payable:sim", -11_000_000, "settlement"),
        (2, "spend:default/default/local", 4_000_000, "adjustment"),
        (3, "payable:sim", -4_000_000, "adjustment"),
    ]
    assert list((await ledger.stub.ListUsage(ListUsageRequest())).attempts) == [settled]
    assert ledger.sql("SELECT seq, amount_nanos, reason FROM adjustments") == [(2, 4_000_000, "the invoice says so")]
    assert (await ledger.audit())[0] == []


async def test_spend_holds_adjustments_in_whole_days_and_in_parts_of_them(ledger: Ledger) -> None:
    settled = priced()
    await ledger.record(settled, priced())
    await adjust(ledger, settled, 1_000_000)
    within = UsageFilter()
    within.start_time.FromSeconds(int(NOW) - 1)
    assert await spent(ledger) == await spent(ledger, within) == (12_000_000, -10_000_000)


async def test_asking_twice_adjusts_once(ledger: Ledger) -> None:
    settled = priced()
    await ledger.record(settled)
    assert [await adjust(ledger, settled, nanos) for nanos in (5, 5, 11_000_000, 11_000_000)] == [
        5 - 11_000_000, 0, 11_000_000 - 5, 0,
    ]  # fmt: skip
    assert await spent(ledger) == (11_000_000, 0)
    assert (await ledger.audit())[0] == []


async def test_what_was_never_settled_can_be_given_its_cost_and_still_settle(ledger: Ledger) -> None:
    settled = priced()
    await ledger.record(unsettled(settled))
    assert await adjust(ledger, settled, 7) == 7
    await ledger.record(settled)
    assert await spent(ledger) == (11_000_007, 7)
    kinds = ledger.sql("SELECT kind, amount_nanos FROM postings WHERE seq % 2 = 0 ORDER BY seq")
    assert kinds == [("adjustment", 7), ("adjustment", 11_000_000)]
    assert (await ledger.audit())[0] == []


async def test_what_cannot_be_adjusted_is_refused_by_the_name_of_the_field(ledger: Ledger) -> None:
    waiting, settled = opened(priced()), priced()
    await ledger.record(waiting, settled)
    for field, call in {
        "attempt_id": adjust(ledger, Attempt(attempt_id="x"), 1),
        "attempt_id ": adjust(ledger, priced(), 1),
        "attempt_id  ": adjust(ledger, waiting, 1),
        "cost_nanos": adjust(ledger, settled, -1),
        "cost_nanos ": adjust(ledger, settled, 2**62),
        "reason": adjust(ledger, settled, 1, " "),
    }.items():
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await call
        assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert from_rpc_error(raised.value).violations[0].field == field.strip()
    assert await spent(ledger) == (11_000_000, 0)
