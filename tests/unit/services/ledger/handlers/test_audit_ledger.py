from __future__ import annotations

import pytest

from mesh.ids import uuid7
from services.ledger.adapters import books
from tests.unit.services.ledger.conftest import Ledger
from tests.unit.services.ledger.samples import NOW, opened, priced, unsettled
from tollway.chat.v1.chat_pb2 import Usage
from tollway.ledger.v1.ledger_pb2 import (
    ATTEMPT_KIND_CACHE_HIT,
    AUDIT_INVARIANT_BALANCES_EQUAL_SUMS,
    AUDIT_INVARIANT_POSTINGS_SUM_TO_ZERO,
    AUDIT_INVARIANT_ROWS_EQUAL_POSTINGS,
    AUDIT_INVARIANT_ROWS_EQUAL_PRICES,
    AUDIT_INVARIANT_TOTALS_EQUAL_ROWS,
    AuditInvariant,
    AuditLedgerRequest,
    AuditLedgerResponse,
)

ZERO, ROWS = AUDIT_INVARIANT_POSTINGS_SUM_TO_ZERO, AUDIT_INVARIANT_ROWS_EQUAL_POSTINGS
BALANCES, PRICES = AUDIT_INVARIANT_BALANCES_EQUAL_SUMS, AUDIT_INVARIANT_ROWS_EQUAL_PRICES
TOTALS = AUDIT_INVARIANT_TOTALS_EQUAL_ROWS
DAY = 86_400.0
SPEND, PAYABLE = "spend:default/default/local", "payable:sim"


@pytest.fixture
async def booked(ledger: Ledger) -> Ledger:
    """A ledger with something of everything in it."""
    settled = priced(tokens=(5, 5))
    await ledger.record(
        priced(), priced(NOW - DAY), settled, unsettled(priced()), opened(priced()), priced(tokens=(0, 0)),
        priced(cost_nanos=None, price_version=None, provider_name="nobody"),
        priced(kind=ATTEMPT_KIND_CACHE_HIT, usage=Usage(), cost_nanos=0, price_version=None),
    )  # fmt: skip
    return ledger


async def found(ledger: Ledger) -> list[tuple[AuditInvariant.ValueType, str, str]]:
    findings, _ = await ledger.audit()
    return [(finding.invariant, finding.subject, finding.message) for finding in findings]


async def test_an_empty_book_is_in_order(ledger: Ledger) -> None:
    findings, last = await ledger.audit()
    assert findings == []
    assert (last.attempts, last.postings, last.accounts, last.days) == (0, 0, 0, 0)


async def test_a_book_in_order_is_counted_through(booked: Ledger) -> None:
    findings, last = await booked.audit()
    assert findings == []
    assert (last.attempts, last.attempts_in_all) == (8, 8)
    assert (last.postings, last.accounts, last.days) == (6, 2, 2)
    assert last.cost_nanos == 2 * 11_000_000 + 15_000_000


async def one(ledger: Ledger) -> str:
    settled = priced()
    await ledger.record(settled)
    return settled.attempt_id


async def test_a_posting_that_was_changed_is_found(booked: Ledger) -> None:
    name = await one(booked)
    booked.sql("UPDATE postings SET amount_nanos = amount_nanos + 1 WHERE seq = 0 AND attempt_id = ?", name)
    assert await found(booked) == [
        (ZERO, name, "entry 0 has 2 of 2 postings, which sum to $0.000000001"),
        (ROWS, name, f"{SPEND} has $0.011000001 posted for it, and the row says $0.011"),
        (BALANCES, SPEND, "stands at $0.048, and its postings sum to $0.048000001"),
    ]


async def test_a_posting_that_is_gone_is_found(booked: Ledger) -> None:
    name = await one(booked)
    booked.sql("DELETE FROM postings WHERE seq = 1 AND attempt_id = ?", name)
    assert [(invariant, subject) for invariant, subject, _ in await found(booked)] == [
        (ZERO, name),
        (ROWS, name),
        (BALANCES, PAYABLE),
    ]


async def test_a_row_that_was_changed_is_found(booked: Ledger) -> None:
    name = await one(booked)
    booked.sql("UPDATE request_logs SET cost_nanos = 1 WHERE attempt_id = ?", name)
    [spend, payable, price, day] = await found(booked)
    assert spend == (ROWS, name, f"{SPEND} has $0.011 posted for it, and the row says $0.000000001")
    assert payable[:2] == (ROWS, name)
    assert price[:2] == (PRICES, name)
    assert day[:2] == (TOTALS, "2023-11-14")
    assert "cost_nanos 37,000,001" not in day[2]
    assert "where rows have" in day[2]


async def test_a_row_of_another_owner_than_its_postings_is_found(booked: Ledger) -> None:
    name = await one(booked)
    booked.sql("UPDATE request_logs SET tenant = 'else' WHERE attempt_id = ?", name)
    findings = await found(booked)
    assert (ROWS, name, "spend:else/default/local has $0.00 posted for it, and the row says $0.011") in findings
    assert {invariant for invariant, *_ in findings} == {ROWS, TOTALS}


async def test_a_row_that_is_gone_is_found(booked: Ledger) -> None:
    name = await one(booked)
    booked.sql("DELETE FROM request_logs WHERE attempt_id = ?", name)
    assert (await found(booked))[0] == (ROWS, name, "there are 2 postings for it, and no row")


async def test_a_balance_that_was_changed_is_found(booked: Ledger) -> None:
    booked.sql("UPDATE balances SET balance_nanos = 0 WHERE account = ?", PAYABLE)
    assert await found(booked) == [(BALANCES, PAYABLE, "stands at $0.00, and its postings sum to -$0.037")]
    booked.sql("DELETE FROM balances WHERE account = ?", PAYABLE)
    assert await found(booked) == [(BALANCES, PAYABLE, "has no balance, and its postings sum to -$0.037")]


async def test_a_cost_that_its_usage_does_not_come_to_is_found(booked: Ledger) -> None:
    lied = priced(cost_nanos=5)
    await booked.record(lied)
    assert await found(booked) == [
        (PRICES, lied.attempt_id, "costs $0.000000005, and its usage costs $0.011 at sim/*@1970-01-01T00:00:00Z")
    ]


async def test_usage_that_was_changed_is_found_by_the_price(booked: Ledger) -> None:
    name = await one(booked)
    booked.sql("UPDATE request_logs SET output_tokens = output_tokens + 1 WHERE attempt_id = ?", name)
    assert [(invariant, subject) for invariant, subject, _ in await found(booked)] == [
        (PRICES, name),
        (TOTALS, "2023-11-14"),
    ]


async def test_a_price_that_the_ledger_does_not_have_is_found(booked: Ledger) -> None:
    strange = priced(price_version="sim/echo@2020-01-01T00:00:00Z")
    await booked.record(strange)
    [(invariant, subject, message)] = await found(booked)
    assert (invariant, subject) == (PRICES, strange.attempt_id)
    assert message == "costs $0.011 at a price the ledger does not have: sim/echo@2020-01-01T00:00:00Z"


async def test_a_daily_total_that_was_changed_is_found(booked: Ledger) -> None:
    who = "default/default/local sim/echo"
    booked.sql("UPDATE daily_totals SET attempts = attempts + 1, cache_hits = 7 WHERE day = '2023-11-13'")
    assert await found(booked) == [
        (TOTALS, "2023-11-13", f"the total of {who} has attempts 2 where rows have 1, cache_hits 7 where rows have 0")
    ]


@pytest.mark.parametrize("at_once", [1, 2, 3, 100])
async def test_a_book_is_read_in_stretches_of_any_size(
    booked: Ledger, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(books, "_ROWS_AT_ONCE", at_once)
    monkeypatch.setattr(books, "_POSTINGS_AT_ONCE", 2 * at_once)
    first, last = uuid7(NOW - 1000), uuid7(NOW + 1000)
    gone = await one(booked)
    booked.sql("DELETE FROM request_logs WHERE attempt_id = ?", gone)
    for orphan in (first, last):
        for seq in range(6):
            booked.sql(
                f"INSERT INTO postings SELECT '{orphan}', {seq}, account, amount_nanos, kind, time "
                f"FROM postings WHERE attempt_id = ? AND seq = {seq % 2}",
                gone,
            )
    findings, told = await booked.audit()
    orphans = [finding.subject for finding in findings if finding.invariant == ROWS]
    assert sorted(orphans) == sorted([first, gone, last])
    assert (told.attempts, told.postings) == (8, 6 + 2 + 12)


async def test_an_audit_sees_the_book_as_it_was_when_it_began_and_holds_up_nobody(booked: Ledger) -> None:
    responses: list[AuditLedgerResponse] = []
    async for response in booked.stub.AuditLedger(AuditLedgerRequest()):
        if not responses:
            await booked.record(priced(), priced())
        responses.append(response)
    assert responses[-1].attempts == responses[-1].attempts_in_all == 8
    assert not any(response.findings for response in responses)
