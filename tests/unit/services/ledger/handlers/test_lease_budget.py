from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest

from tests.unit.services.ledger.budgeting import (
    CENT,
    DOLLAR,
    MONTH,
    create,
    give_back,
    lease,
    new_id,
    spent,
    standing,
    sums,
)
from tests.unit.services.ledger.conftest import Ledger, StartLedger
from tests.unit.services.ledger.samples import NOW
from tollway.ledger.v1.budget_pb2 import (
    BUDGET_WINDOW_DAY,
    BUDGET_WINDOW_ROLLING,
    BUDGET_WINDOW_TOTAL,
    DeleteBudgetRequest,
    LeaseBudgetRequest,
    LeaseWish,
    ReturnLeaseRequest,
)

DAY = 86_400.0


async def test_a_slice_is_granted_and_held_against_the_limit(ledger: Ledger) -> None:
    await create(ledger)
    answer = await lease(ledger, 10 * CENT)
    assert answer.lease.granted_nanos == 10 * CENT
    assert (answer.lease.budget_id, answer.lease.subject) == (MONTH, "project:demo")
    assert answer.lease.term.seconds == 60
    assert answer.lease.expire_time.ToMicroseconds() == int((NOW + 60) * 1e6)
    assert answer.lease.window_end_time.ToJsonString() == "2023-12-01T00:00:00Z"
    stands = answer.standing
    assert (stands.limit_nanos, stands.spent_nanos, stands.granted_nanos) == (DOLLAR, 0, 10 * CENT)
    assert stands.window_start_time.ToJsonString() == "2023-11-01T00:00:00Z"
    assert stands.window_end_time.ToJsonString() == "2023-12-01T00:00:00Z"
    assert stands == await standing(ledger)


async def test_slices_shrink_as_a_budget_runs_out_and_never_come_to_more_than_it(ledger: Ledger) -> None:
    await create(ledger)
    granted = []
    while (answer := await lease(ledger, DOLLAR, CENT)).HasField("lease"):
        granted.append(answer.lease.granted_nanos)
    assert granted == sorted(granted, reverse=True)
    assert granted[0] == 50 * CENT
    assert DOLLAR - CENT < sum(granted) <= DOLLAR
    assert answer.reserved


async def test_the_least_is_granted_whole_however_little_is_left(ledger: Ledger) -> None:
    await create(ledger)
    assert (await lease(ledger, DOLLAR, 90 * CENT)).lease.granted_nanos == 90 * CENT
    assert (await lease(ledger, DOLLAR, 10 * CENT)).lease.granted_nanos == 10 * CENT


async def test_where_others_have_slices_a_router_gets_a_share(ledger: Ledger) -> None:
    await create(ledger)
    for journal in ("j1", "j2", "j3"):
        await lease(ledger, CENT, journal=journal)
    left = DOLLAR - 3 * CENT
    assert (await lease(ledger, DOLLAR, journal="j4")).lease.granted_nanos == left // 8


async def test_what_was_spent_is_gone_and_what_is_only_held_may_come_back(ledger: Ledger) -> None:
    await create(ledger)
    held = (await lease(ledger, 60 * CENT, 60 * CENT)).lease.lease_id
    await ledger.record(spent(40 * CENT, held))
    assert await sums(ledger) == (40 * CENT, 20 * CENT, 0)
    refused = await lease(ledger, 60 * CENT, 50 * CENT, journal="j2")
    assert (refused.HasField("lease"), refused.reserved) == (False, True)
    refused = await lease(ledger, DOLLAR, 61 * CENT, journal="j2")
    assert (refused.HasField("lease"), refused.reserved) == (False, False), "more than ever can be"
    assert refused.standing.spent_nanos == 40 * CENT
    await give_back(ledger, held, 20 * CENT)
    assert (await lease(ledger, 60 * CENT, 60 * CENT, journal="j2")).lease.granted_nanos == 60 * CENT


async def test_an_attempt_moves_its_cost_from_its_lease_to_what_is_spent_once(ledger: Ledger) -> None:
    await create(ledger)
    held = (await lease(ledger, 10 * CENT)).lease.lease_id
    attempt = spent(3 * CENT, held)
    for _ in range(3):
        await ledger.record(attempt, attempt)
    assert await sums(ledger) == (3 * CENT, 7 * CENT, 0)
    assert (await ledger.audit())[0] == []


async def test_what_an_attempt_costs_beyond_its_lease_is_spent_and_shown(ledger: Ledger) -> None:
    await create(ledger)
    held = (await lease(ledger, 10 * CENT)).lease.lease_id
    await ledger.record(spent(8 * CENT, held), spent(5 * CENT, held))
    assert await sums(ledger) == (13 * CENT, 0, 3 * CENT)
    await give_back(ledger, held, 9 * CENT, closed=True)
    assert await sums(ledger) == (13 * CENT, 0, 3 * CENT), "there is nothing to come back"


async def test_an_attempt_is_charged_to_several_leases_in_their_order(ledger: Ledger) -> None:
    await create(ledger)
    first = (await lease(ledger, 10 * CENT)).lease.lease_id
    second = (await lease(ledger, 10 * CENT)).lease.lease_id
    await ledger.record(spent(14 * CENT, first, second))
    await give_back(ledger, first, 10 * CENT)
    assert await sums(ledger) == (14 * CENT, 6 * CENT, 0)
    await give_back(ledger, second, 10 * CENT)
    assert await sums(ledger) == (14 * CENT, 0, 0)


async def test_a_lease_grows_and_tells_all_that_it_was_granted(ledger: Ledger) -> None:
    await create(ledger)
    name = new_id()
    first = (await lease(ledger, 10 * CENT, lease_id=name)).lease
    assert (first.lease_id, first.granted_nanos) == (name, 10 * CENT)
    await ledger.clock.advance(30)
    grown = (await lease(ledger, 5 * CENT, lease_id=name)).lease
    assert (grown.lease_id, grown.granted_nanos) == (name, 15 * CENT)
    assert grown.expire_time.ToMicroseconds() == first.expire_time.ToMicroseconds() + 30_000_000
    assert await sums(ledger) == (0, 15 * CENT, 0)


async def test_a_lease_is_renewed_with_nothing_wanted(ledger: Ledger) -> None:
    await create(ledger)
    name = (await lease(ledger, DOLLAR, DOLLAR)).lease.lease_id
    await ledger.clock.advance(50)
    renewed = await lease(ledger, 0, 0, lease_id=name)
    assert (renewed.lease.granted_nanos, renewed.lease.term.seconds) == (DOLLAR, 60)


async def test_a_lease_that_is_closed_does_not_grow(ledger: Ledger) -> None:
    await create(ledger)
    name = (await lease(ledger, 10 * CENT)).lease.lease_id
    await give_back(ledger, name, closed=True)
    other = (await lease(ledger, 10 * CENT, lease_id=name)).lease
    assert other.lease_id != name
    assert other.granted_nanos == 10 * CENT


async def test_a_lease_that_cannot_grow_stays_as_it_was(ledger: Ledger) -> None:
    await create(ledger)
    name = (await lease(ledger, 10 * CENT)).lease.lease_id
    refused = await lease(ledger, DOLLAR, 91 * CENT, lease_id=name)
    assert not refused.HasField("lease")
    assert await sums(ledger) == (0, 10 * CENT, 0)


async def test_several_wishes_of_one_request_are_granted_one_after_the_other(ledger: Ledger) -> None:
    await create(ledger)
    wish = LeaseWish(budget_id=MONTH, subject="project:demo", least_nanos=60 * CENT, wanted_nanos=60 * CENT)
    response = await ledger.stub.LeaseBudget(LeaseBudgetRequest(journal_id="j", wishes=[wish, wish]))
    assert [answer.HasField("lease") for answer in response.answers] == [True, False]


async def test_ledgers_on_one_database_grant_no_more_than_there_is(start_ledger: StartLedger) -> None:
    ledgers = [await start_ledger() for _ in range(3)]
    await create(ledgers[0])

    async def drain(ledger: Ledger, journal: str) -> int:
        granted = 0
        while (answer := await lease(ledger, 9 * CENT, 2 * CENT, journal=journal)).HasField("lease"):
            granted += answer.lease.granted_nanos
        return granted

    granted = await asyncio.gather(
        *(drain(ledger, f"j{number}") for number, ledger in enumerate(ledgers) for _ in range(3))
    )
    assert DOLLAR - 2 * CENT < sum(granted) <= DOLLAR
    assert await sums(ledgers[2]) == (0, sum(granted), 0)


async def test_a_lease_expires_with_its_window_and_what_comes_after_counts_to_the_next(ledger: Ledger) -> None:
    await create(ledger, window=BUDGET_WINDOW_DAY)
    midnight = NOW - NOW % DAY + DAY
    await ledger.clock.advance(midnight - NOW - 10)
    old = (await lease(ledger, 30 * CENT, of="project:demo/day")).lease
    assert old.term.seconds == 10
    assert old.window_end_time.seconds == int(midnight)
    await ledger.clock.advance(20)
    assert await sums(ledger, "project:demo/day") == (0, 0, 0)
    new = (await lease(ledger, 30 * CENT, of="project:demo/day")).lease
    # The one began before midnight and ended after it; the other has no lease.
    await ledger.record(spent(20 * CENT, old.lease_id, at=midnight - 5), spent(CENT, at=midnight + 1))
    assert await sums(ledger, "project:demo/day") == (CENT, new.granted_nanos, CENT)
    assert (await ledger.audit())[0] == []


async def test_a_lease_of_a_window_that_is_over_can_grow_in_that_window(ledger: Ledger) -> None:
    await create(ledger, window=BUDGET_WINDOW_DAY)
    midnight = NOW - NOW % DAY + DAY
    await ledger.clock.advance(midnight - NOW - 10)
    old = (await lease(ledger, 90 * CENT, 90 * CENT, of="project:demo/day")).lease
    await ledger.clock.advance(20)
    assert not (await lease(ledger, DOLLAR, 11 * CENT, of="project:demo/day", lease_id=old.lease_id)).HasField("lease")
    grown = await lease(ledger, 10 * CENT, 10 * CENT, of="project:demo/day", lease_id=old.lease_id)
    assert (grown.lease.granted_nanos, grown.lease.expire_time) == (DOLLAR, old.expire_time)
    assert grown.standing.window_end_time.seconds == int(midnight)
    assert await sums(ledger, "project:demo/day") == (0, 0, 0)


async def test_what_was_spent_of_a_rolling_budget_comes_back_once_it_is_as_long_ago(ledger: Ledger) -> None:
    made = await create(ledger, window=BUDGET_WINDOW_ROLLING, rolling={"seconds": 86_400})
    assert made.budget_id == "project:demo/1d"
    await ledger.record(spent(60 * CENT))
    await ledger.clock.advance(6 * 3600)
    await ledger.record(spent(30 * CENT, at=ledger.clock.time()))
    assert await sums(ledger, made.budget_id) == (90 * CENT, 0, 90 * CENT)
    await ledger.clock.advance(18 * 3600)
    assert await sums(ledger, made.budget_id) == (90 * CENT, 0, 90 * CENT), "until the hour it was spent in is over"
    await ledger.clock.advance(3600)
    stands = await standing(ledger, made.budget_id)
    assert stands.spent_nanos == 30 * CENT
    assert not stands.HasField("window_end_time")
    assert not (await lease(ledger, DOLLAR, 71 * CENT, of=made.budget_id)).HasField("lease")
    granted = (await lease(ledger, DOLLAR, 70 * CENT, of=made.budget_id)).lease
    assert granted.window_end_time.seconds % 3600 == 0


@pytest.mark.parametrize("later", [2 * 3600, 20 * 3600, 28 * 3600, 100 * 3600])
async def test_a_lease_of_a_rolling_budget_never_grows_beyond_what_ever_counted_with_it(
    ledger: Ledger, later: float
) -> None:
    made = await create(ledger, window=BUDGET_WINDOW_ROLLING, rolling={"seconds": 86_400})
    await ledger.record(spent(30 * CENT))
    await ledger.clock.advance(12 * 3600)
    old = (await lease(ledger, 60 * CENT, 60 * CENT, of=made.budget_id)).lease
    await ledger.clock.advance(later)
    assert not (await lease(ledger, DOLLAR, 11 * CENT, of=made.budget_id, lease_id=old.lease_id)).HasField("lease")
    grown = (await lease(ledger, 10 * CENT, 10 * CENT, of=made.budget_id, lease_id=old.lease_id)).lease
    assert grown.granted_nanos == 70 * CENT


async def test_a_lease_of_a_rolling_budget_grows_within_what_counts_now_as_well(ledger: Ledger) -> None:
    made = await create(ledger, window=BUDGET_WINDOW_ROLLING, rolling={"seconds": 86_400})
    old = (await lease(ledger, 50 * CENT, 50 * CENT, of=made.budget_id)).lease
    await ledger.clock.advance(100 * 3600)
    await ledger.record(spent(40 * CENT, at=ledger.clock.time()))
    assert not (await lease(ledger, DOLLAR, 11 * CENT, of=made.budget_id, lease_id=old.lease_id)).HasField("lease")
    assert (await lease(ledger, 10 * CENT, 10 * CENT, of=made.budget_id, lease_id=old.lease_id)).HasField("lease")


async def test_a_total_budget_never_ends(ledger: Ledger) -> None:
    await create(ledger, window=BUDGET_WINDOW_TOTAL)
    await ledger.record(spent(DOLLAR - 1, at=NOW - 300 * DAY))
    answer = await lease(ledger, DOLLAR, of="project:demo/total")
    assert answer.lease.granted_nanos == 1
    assert not answer.lease.HasField("window_end_time")
    assert not answer.standing.HasField("window_start_time")


async def test_no_lease_is_needed_of_what_is_soft_gone_or_another_budgets(ledger: Ledger) -> None:
    await create(ledger, "project:*")
    await create(ledger, "key:*", soft=True)
    await create(ledger)
    needless = [("project:*/month", "project:demo"), ("key:*/month", "key:ci"), ("tenant:x/month", "tenant:x")]
    for of, subject in needless:
        answer = await lease(ledger, of=of, subject=subject)
        assert answer.not_needed
        assert not answer.HasField("lease")
    assert (await lease(ledger, of="project:*/month", subject="project:other")).HasField("lease")
    await ledger.stub.DeleteBudget(DeleteBudgetRequest(budget_id=MONTH))
    assert (await lease(ledger)).not_needed


async def test_a_lost_lease_stays_charged_until_its_journal_is_closed(ledger: Ledger) -> None:
    await create(ledger)
    lost = [(await lease(ledger, 40 * CENT, 40 * CENT)).lease.lease_id for _ in range(2)]
    await ledger.clock.advance(3600)
    assert await sums(ledger) == (0, 80 * CENT, 0)
    await ledger.record(spent(10 * CENT, lost[0]))
    assert await sums(ledger) == (10 * CENT, 70 * CENT, 0)
    await ledger.stub.ReturnLease(ReturnLeaseRequest(journal_id="j1", journal_closed=True))
    assert await sums(ledger) == (10 * CENT, 0, 0)
    await ledger.record(spent(5 * CENT, lost[1]))
    assert await sums(ledger) == (15 * CENT, 0, 5 * CENT), "what comes late is spent all the same"
    assert (await ledger.audit())[0] == []


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"budget_id": ""}, "budget_id"),
    ({"budget_id": "a\0b"}, "budget_id"),
    ({"subject": ""}, "subject"),
    ({"subject": "demo"}, "subject"),
    ({"subject": "project:" + "x" * 5000}, "subject"),
    ({"subject": "project:\0"}, "subject"),
    ({"least_nanos": 0}, "least_nanos"),
    ({"least_nanos": -1}, "least_nanos"),
    ({"least_nanos": 10**18 + 1, "wanted_nanos": 10**18 + 1}, "least_nanos"),
    ({"wanted_nanos": 0}, "wanted_nanos"),
    ({"wanted_nanos": 10**18 + 1}, "wanted_nanos"),
    ({"lease_id": "mine"}, "lease_id"),
]


@pytest.mark.parametrize(("changes", "field"), WRONG)
async def test_a_wish_that_makes_no_sense_is_refused_by_name(
    ledger: Ledger, changes: dict[str, Any], field: str
) -> None:
    fields: dict[str, Any] = {"budget_id": MONTH, "subject": "project:demo", "least_nanos": 1, "wanted_nanos": 2}
    request = LeaseBudgetRequest(journal_id="j", wishes=[LeaseWish(**fields), LeaseWish(**fields | changes)])
    with pytest.raises(grpc.aio.AioRpcError, match=rf"wishes\[1\].{field}: ") as raised:
        await ledger.stub.LeaseBudget(request)
    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize("journal", ["", "x" * 201, "a\0"])
async def test_a_journal_must_be_named(ledger: Ledger, journal: str) -> None:
    for call in (
        ledger.stub.LeaseBudget(LeaseBudgetRequest(journal_id=journal)),
        ledger.stub.ReturnLease(ReturnLeaseRequest(journal_id=journal)),
    ):
        with pytest.raises(grpc.aio.AioRpcError, match="journal_id: "):
            await call


async def test_too_many_wishes_are_refused(ledger: Ledger) -> None:
    with pytest.raises(grpc.aio.AioRpcError, match="wishes: are 1001"):
        await ledger.stub.LeaseBudget(LeaseBudgetRequest(journal_id="j", wishes=[LeaseWish()] * 1001))


async def test_nobody_grows_or_returns_what_is_anothers(ledger: Ledger) -> None:
    await create(ledger)
    await create(ledger, "project:*")
    name = (await lease(ledger)).lease.lease_id
    with pytest.raises(grpc.aio.AioRpcError, match=r"wishes\[0\].lease_id: .* another journal"):
        await lease(ledger, journal="j2", lease_id=name)
    with pytest.raises(grpc.aio.AioRpcError, match=r"leases\[0\].lease_id: .* another journal"):
        await give_back(ledger, name, 1, journal="j2")
    with pytest.raises(grpc.aio.AioRpcError, match=r"wishes\[0\].lease_id: .* another budget"):
        await lease(ledger, of="project:*/month", subject="project:x", lease_id=name)
    other = (await lease(ledger, of="project:*/month", subject="project:x")).lease.lease_id
    with pytest.raises(grpc.aio.AioRpcError, match=r"wishes\[0\].lease_id: .* another subject"):
        await lease(ledger, of="project:*/month", subject="project:y", lease_id=other)
    assert await sums(ledger) == (0, 10 * CENT, 0)
