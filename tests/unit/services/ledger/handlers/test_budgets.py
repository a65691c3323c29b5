"""Making, changing, ending, listing and adopting budgets."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import grpc
import pytest

from services.ledger.settings import LedgerSettings
from tests.unit.services.ledger.budgeting import CENT, DOLLAR, MONTH, budget, create, lease, spent, standing, sums
from tests.unit.services.ledger.conftest import Ledger, StartLedger
from tollway.ledger.v1.budget_pb2 import (
    BUDGET_WINDOW_DAY,
    BUDGET_WINDOW_MONTH,
    BUDGET_WINDOW_ROLLING,
    BUDGET_WINDOW_TOTAL,
    BUDGET_WINDOW_WEEK,
    Budget,
    CreateBudgetRequest,
    DeleteBudgetRequest,
    GetBudgetRequest,
    ListBudgetsRequest,
    UpdateBudgetRequest,
)


async def test_a_budget_is_made_and_told(ledger: Ledger) -> None:
    made = await create(ledger, "key:*", 5 * DOLLAR, soft=True, thresholds=[10, 200])
    assert made.budget_id == "key:*/month"
    assert made.create_time == made.update_time
    assert made.create_time.seconds == int(ledger.clock.time())
    told = await ledger.stub.GetBudget(GetBudgetRequest(budget_id=made.budget_id))
    assert told.budget == made
    assert (made.soft, made.configured, list(made.thresholds)) == (True, False, [10, 200])


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"window": BUDGET_WINDOW_DAY}, "day"),
        ({"window": BUDGET_WINDOW_WEEK, "time_zone": "Europe/Zurich"}, "week@Europe/Zurich"),
        ({"window": BUDGET_WINDOW_MONTH, "time_zone": "UTC"}, "month"),
        ({"window": BUDGET_WINDOW_TOTAL}, "total"),
        ({"window": BUDGET_WINDOW_ROLLING, "rolling": {"seconds": 21_600}}, "6h"),
        ({"window": BUDGET_WINDOW_ROLLING, "rolling": {"seconds": 90}}, "90s"),
    ],
)
async def test_a_budget_is_called_by_its_scope_and_window(ledger: Ledger, changes: dict[str, Any], name: str) -> None:
    made = await create(ledger, **changes)
    assert made.budget_id == f"project:demo/{name}"
    assert (await ledger.stub.GetBudget(GetBudgetRequest(budget_id=made.budget_id))).budget == made


async def test_a_scope_has_one_budget_a_window(ledger: Ledger) -> None:
    await create(ledger)
    await create(ledger, window=BUDGET_WINDOW_DAY)
    with pytest.raises(grpc.aio.AioRpcError, match="project:demo/month is there already") as raised:
        await create(ledger, limit=1)
    assert raised.value.code() is grpc.StatusCode.ALREADY_EXISTS


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"scope": ""}, "scope"),
    ({"scope": "demo"}, "scope"),
    ({"scope": "team:a"}, "scope"),
    ({"scope": "key:"}, "scope"),
    ({"scope": "key: a"}, "scope"),
    ({"scope": "key:a*"}, "scope"),
    ({"scope": "key:a\0"}, "scope"),
    ({"scope": "key:" + "x" * 201}, "scope"),
    ({"limit_nanos": 0}, "limit_nanos"),
    ({"limit_nanos": -1}, "limit_nanos"),
    ({"limit_nanos": 10**18 + 1}, "limit_nanos"),
    ({"window": 0}, "window"),
    ({"window": 9}, "window"),
    ({"window": BUDGET_WINDOW_ROLLING}, "rolling"),
    ({"window": BUDGET_WINDOW_ROLLING, "rolling": {"seconds": 59}}, "rolling"),
    ({"window": BUDGET_WINDOW_ROLLING, "rolling": {"seconds": 60, "nanos": 5}}, "rolling"),
    ({"window": BUDGET_WINDOW_ROLLING, "rolling": {"seconds": 400_000_000}}, "rolling"),
    ({"rolling": {"seconds": 3600}}, "rolling"),
    ({"window": BUDGET_WINDOW_TOTAL, "time_zone": "UTC"}, "time_zone"),
    ({"window": BUDGET_WINDOW_ROLLING, "rolling": {"seconds": 60}, "time_zone": "UTC"}, "time_zone"),
    ({"time_zone": "Europe/Zurch"}, "time_zone"),
    ({"time_zone": "../etc/passwd"}, "time_zone"),
    ({"time_zone": "Europe"}, "time_zone"),
    ({"thresholds": [0]}, r"thresholds\[0\]"),
    ({"thresholds": [50, 50]}, r"thresholds\[1\]"),
    ({"thresholds": [80, 50]}, r"thresholds\[1\]"),
    ({"thresholds": [1001]}, r"thresholds\[0\]"),
    ({"thresholds": list(range(1, 18))}, "thresholds"),
]


@pytest.mark.parametrize(("changes", "field"), WRONG)
async def test_a_budget_that_cannot_be_is_refused_by_name(ledger: Ledger, changes: dict[str, Any], field: str) -> None:
    fields: dict[str, Any] = {"scope": "project:demo", "limit_nanos": 1, "window": BUDGET_WINDOW_MONTH}
    with pytest.raises(grpc.aio.AioRpcError, match=f"budget.{field}: ") as raised:
        await ledger.stub.CreateBudget(CreateBudgetRequest(budget=Budget(**fields | changes)))
    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_changed_limit_takes_effect_and_what_was_spent_stays(ledger: Ledger) -> None:
    made = await create(ledger)
    await ledger.record(spent(60 * CENT))
    await ledger.clock.advance(7)
    changed = Budget(budget_id=MONTH, limit_nanos=50 * CENT, thresholds=[90])
    after = (await ledger.stub.UpdateBudget(UpdateBudgetRequest(budget=changed))).budget
    assert (after.scope, after.window, after.limit_nanos, list(after.thresholds)) == (
        "project:demo", BUDGET_WINDOW_MONTH, 50 * CENT, [90],
    )  # fmt: skip
    assert after.create_time == made.create_time
    assert after.update_time.seconds == made.update_time.seconds + 7
    stands = await standing(ledger)
    assert (stands.limit_nanos, stands.spent_nanos) == (50 * CENT, 60 * CENT)
    refused = await lease(ledger)
    assert (refused.HasField("lease"), refused.reserved) == (False, False)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"limit_nanos": 0}, "limit_nanos"),
        ({"thresholds": [2, 1]}, r"thresholds\[1\]"),
        ({"scope": "project:x"}, "scope"),
        ({"window": BUDGET_WINDOW_DAY}, "window"),
        ({"window": BUDGET_WINDOW_MONTH, "rolling": {"seconds": 5}}, "window"),
        ({"time_zone": "Europe/Zurich"}, "time_zone"),
    ],
)
async def test_what_cannot_be_changed_is_refused_by_name(ledger: Ledger, changes: dict[str, Any], field: str) -> None:
    await create(ledger)
    fields: dict[str, Any] = {"budget_id": MONTH, "limit_nanos": 5}
    changed = Budget(**fields | changes)
    with pytest.raises(grpc.aio.AioRpcError, match=f"budget.{field}: "):
        await ledger.stub.UpdateBudget(UpdateBudgetRequest(budget=changed))


async def test_a_budget_that_is_not_there_is_not_found(ledger: Ledger) -> None:
    calls: list[Any] = [
        ledger.stub.GetBudget(GetBudgetRequest(budget_id="x")),
        ledger.stub.DeleteBudget(DeleteBudgetRequest(budget_id="x")),
        ledger.stub.UpdateBudget(UpdateBudgetRequest(budget=Budget(budget_id="x", limit_nanos=1))),
    ]
    for call in calls:
        with pytest.raises(grpc.aio.AioRpcError, match="there is no budget x") as raised:
            await call
        assert raised.value.code() is grpc.StatusCode.NOT_FOUND


async def test_what_was_spent_of_a_budget_that_ended_counts_when_it_is_made_again(ledger: Ledger) -> None:
    await create(ledger)
    await ledger.record(spent(60 * CENT))
    await ledger.stub.DeleteBudget(DeleteBudgetRequest(budget_id=MONTH))
    await ledger.record(spent(20 * CENT))
    assert (await ledger.stub.ListBudgets(ListBudgetsRequest())).budgets == []
    await create(ledger)
    assert await sums(ledger) == (60 * CENT, 0, 60 * CENT)
    assert (await ledger.audit())[0] == []


async def test_budgets_are_listed_in_pages_with_how_they_stand(ledger: Ledger) -> None:
    for scope in ("tenant:default", "project:demo", "key:*"):
        await create(ledger, scope)
    await ledger.record(spent(CENT), spent(3 * CENT, api_key_id="other"), spent(2 * CENT, project="else"))
    first = await ledger.stub.ListBudgets(ListBudgetsRequest(page_size=2))
    assert [each.budget_id for each in first.budgets] == ["key:*/month", "project:demo/month"]
    assert [(each.subject, each.spent_nanos) for each in first.standings] == [
        ("key:local", 3 * CENT),
        ("key:other", 3 * CENT),
        ("project:demo", 4 * CENT),
    ]
    second = await ledger.stub.ListBudgets(ListBudgetsRequest(page_size=2, page_token=first.next_page_token))
    assert [(each.subject, each.spent_nanos) for each in second.standings] == [("tenant:default", 6 * CENT)]
    assert second.next_page_token == ""
    with pytest.raises(grpc.aio.AioRpcError, match="page_token: "):
        await ledger.stub.ListBudgets(ListBudgetsRequest(page_token="x"))
    with pytest.raises(grpc.aio.AioRpcError, match="page_size: "):
        await ledger.stub.ListBudgets(ListBudgetsRequest(page_size=-1))


async def test_one_standing_is_told_of_many_also_of_who_spent_nothing(ledger: Ledger) -> None:
    await create(ledger, "key:*")
    await ledger.record(spent(CENT), spent(3 * CENT, api_key_id="other"))
    assert await sums(ledger, "key:*/month", "key:other") == (3 * CENT, 0, 3 * CENT)
    assert await sums(ledger, "key:*/month", "key:new") == (0, 0, 0)
    for subject, why in (("project:demo", "does not fall under"), ("a\0", "null character")):
        with pytest.raises(grpc.aio.AioRpcError, match=f"subject: .*{why}"):
            await standing(ledger, "key:*/month", subject)


def configured(settings: LedgerSettings, *budgets: Budget) -> LedgerSettings:
    return replace(settings, budgets=budgets)


async def test_configured_budgets_are_taken_over_at_start_beside_those_made_by_rpc(
    start_ledger: StartLedger, settings: LedgerSettings
) -> None:
    first = await start_ledger(configured(settings, budget(), budget("key:*")))
    await create(first, "tenant:acme")
    await first.record(spent(30 * CENT))
    again = await start_ledger(configured(settings, budget(limit=40 * CENT)))
    told = await again.stub.ListBudgets(ListBudgetsRequest())
    assert [(each.budget_id, each.configured) for each in told.budgets] == [
        (MONTH, True),
        ("tenant:acme/month", False),
    ]
    stands = await standing(again)
    assert (stands.limit_nanos, stands.spent_nanos) == (40 * CENT, 30 * CENT)
    assert told.budgets[0].create_time == (await standing_budget(first)).create_time


async def standing_budget(ledger: Ledger) -> Budget:
    return (await ledger.stub.GetBudget(GetBudgetRequest(budget_id=MONTH))).budget


async def test_the_configuration_takes_over_what_was_made_by_rpc_and_then_alone_changes_it(
    start_ledger: StartLedger, settings: LedgerSettings
) -> None:
    first = await start_ledger()
    await create(first, limit=10 * DOLLAR)
    again = await start_ledger(configured(settings, budget()))
    assert (await standing_budget(again)).limit_nanos == DOLLAR
    changed = Budget(budget_id=MONTH, limit_nanos=5)
    for call in (
        again.stub.UpdateBudget(UpdateBudgetRequest(budget=changed)),
        again.stub.DeleteBudget(DeleteBudgetRequest(budget_id=MONTH)),
    ):
        with pytest.raises(grpc.aio.AioRpcError, match="stands in the configuration") as raised:
            await call
        assert raised.value.code() is grpc.StatusCode.FAILED_PRECONDITION


async def test_starting_again_on_the_same_configuration_changes_nothing(
    start_ledger: StartLedger, settings: LedgerSettings
) -> None:
    its = configured(settings, budget())
    first = await standing_budget(await start_ledger(its))
    again = await start_ledger(its)
    assert await standing_budget(again) == first
    assert again.sql("SELECT revision FROM budgets") == [(1,)]
