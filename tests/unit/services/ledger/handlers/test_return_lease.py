from __future__ import annotations

import grpc
import pytest

from tests.unit.services.ledger.budgeting import CENT, create, give_back, lease, new_id, spent, sums
from tests.unit.services.ledger.conftest import Ledger
from tollway.ledger.v1.budget_pb2 import ReturnedLease, ReturnLeaseRequest


async def test_what_is_returned_is_free_and_returning_it_again_changes_nothing(ledger: Ledger) -> None:
    await create(ledger)
    name = (await lease(ledger, 10 * CENT)).lease.lease_id
    for _ in range(3):
        await give_back(ledger, name, 4 * CENT)
    assert await sums(ledger) == (0, 6 * CENT, 0)
    await give_back(ledger, name, 3 * CENT)
    assert await sums(ledger) == (0, 6 * CENT, 0), "in all, it said; nobody takes back what was returned"
    await give_back(ledger, name, 9 * CENT)
    assert await sums(ledger) == (0, CENT, 0)


async def test_what_was_charged_and_is_not_recorded_yet_stays_granted(ledger: Ledger) -> None:
    await create(ledger)
    name = (await lease(ledger, 10 * CENT)).lease.lease_id
    await give_back(ledger, name, 4 * CENT)
    await ledger.record(spent(6 * CENT, name))
    assert await sums(ledger) == (6 * CENT, 0, 0)


async def test_a_closed_lease_returns_exactly_what_is_left(ledger: Ledger) -> None:
    await create(ledger)
    name = (await lease(ledger, 10 * CENT)).lease.lease_id
    await ledger.record(spent(3 * CENT, name))
    await give_back(ledger, name, 2 * CENT, closed=True)
    assert await sums(ledger) == (3 * CENT, 0, 0)
    await give_back(ledger, name, 10 * CENT, closed=True)
    assert await sums(ledger) == (3 * CENT, 0, 0)


async def test_no_more_comes_back_than_is_left(ledger: Ledger) -> None:
    await create(ledger)
    name = (await lease(ledger, 10 * CENT)).lease.lease_id
    await ledger.record(spent(3 * CENT, name))
    await give_back(ledger, name, 10 * CENT)
    assert await sums(ledger) == (3 * CENT, 0, 0)


async def test_a_lease_named_twice_comes_back_once(ledger: Ledger) -> None:
    await create(ledger)
    name = (await lease(ledger, 10 * CENT)).lease.lease_id
    twice = [ReturnedLease(lease_id=name, nanos=4 * CENT), ReturnedLease(lease_id=name, nanos=6 * CENT)]
    await ledger.stub.ReturnLease(ReturnLeaseRequest(journal_id="j1", leases=twice))
    assert await sums(ledger) == (0, 4 * CENT, 0)


async def test_closing_a_journal_closes_its_leases_alone(ledger: Ledger) -> None:
    await create(ledger)
    for journal in ("j1", "j1", "j2"):
        await lease(ledger, 10 * CENT, journal=journal)
    await ledger.stub.ReturnLease(ReturnLeaseRequest(journal_id="j1", journal_closed=True))
    assert await sums(ledger) == (0, 10 * CENT, 0)


async def test_leases_that_nobody_knows_are_let_be(ledger: Ledger) -> None:
    await give_back(ledger, new_id(), 5, closed=True)
    await ledger.stub.ReturnLease(ReturnLeaseRequest(journal_id="never seen", journal_closed=True))


async def test_a_return_that_makes_no_sense_is_refused_by_name(ledger: Ledger) -> None:
    for returned, field in (
        (ReturnedLease(lease_id="x"), "lease_id"),
        (ReturnedLease(lease_id=new_id(), nanos=-1), "nanos"),
        (ReturnedLease(lease_id=new_id(), nanos=10**18 + 1), "nanos"),
    ):
        with pytest.raises(grpc.aio.AioRpcError, match=rf"leases\[0\].{field}: "):
            await ledger.stub.ReturnLease(ReturnLeaseRequest(journal_id="j", leases=[returned]))
    with pytest.raises(grpc.aio.AioRpcError, match="leases: are 10001"):
        await ledger.stub.ReturnLease(ReturnLeaseRequest(journal_id="j", leases=[ReturnedLease()] * 10_001))
