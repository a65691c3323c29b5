from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import grpc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mesh.status import from_rpc_error
from tests.unit.services.ledger.conftest import Ledger
from tests.unit.services.ledger.samples import NOW, attempt, opened, since, unsettled
from tollway.chat.v1.chat_pb2 import Usage
from tollway.ledger.v1.ledger_pb2 import (
    ATTEMPT_KIND_CACHE_HIT,
    ATTEMPT_STATE_SETTLED,
    PROVENANCE_CACHED,
    SPEND_DIMENSION_API_KEY,
    SPEND_DIMENSION_DAY,
    SPEND_DIMENSION_DEPLOYMENT,
    SPEND_DIMENSION_MODEL_REQUESTED,
    SPEND_DIMENSION_MODEL_USED,
    SPEND_DIMENSION_PROJECT,
    SPEND_DIMENSION_PROVIDER,
    SPEND_DIMENSION_TENANT,
    SPEND_DIMENSION_UNSPECIFIED,
    Attempt,
    GetSpendRequest,
    GetSpendResponse,
    ListUsageRequest,
    SpendDimension,
    SpendGroup,
    UsageFilter,
)

DAY = 86_400.0


async def spend(
    ledger: Ledger, *group_by: SpendDimension.ValueType, usage_filter: UsageFilter | None = None
) -> GetSpendResponse:
    return await ledger.stub.GetSpend(GetSpendRequest(filter=usage_filter, group_by=group_by))


async def test_an_empty_ledger_has_spent_nothing(ledger: Ledger) -> None:
    assert await spend(ledger) == GetSpendResponse(groups=[SpendGroup()], total=SpendGroup())
    assert await spend(ledger, SPEND_DIMENSION_TENANT) == GetSpendResponse(total=SpendGroup())


async def test_answers_out_of_the_cache_are_counted_and_cost_nothing(ledger: Ledger) -> None:
    hit = attempt(
        request_id="b", kind=ATTEMPT_KIND_CACHE_HIT, usage=Usage(), cost_nanos=0, price_version=None,
        provenance=PROVENANCE_CACHED,
    )  # fmt: skip
    await ledger.record(attempt(request_id="a", cost_nanos=500), hit)
    total = (await spend(ledger)).total
    assert (total.requests, total.attempts, total.cache_hits) == (2, 2, 1)
    assert (total.input_tokens, total.cost_nanos, total.unpriced_attempts) == (100, 500, 0)


async def test_a_sum_counts_what_it_does_not_hold(ledger: Ledger) -> None:
    await ledger.record(
        attempt(request_id="a", cost_nanos=500),
        attempt(request_id="a", provider_name="nobody", cost_nanos=None, price_version=None),
        attempt(request_id="b", usage=None, cost_nanos=None, price_version=None),
        opened(attempt(request_id="c")),
        unsettled(attempt(request_id="d")),
    )
    assert (await spend(ledger)).total == SpendGroup(
        requests=4, attempts=5, input_tokens=200, cached_input_tokens=80, output_tokens=40, reasoning_tokens=10,
        cost_nanos=500, unpriced_attempts=1, unsettled_attempts=2,
    )  # fmt: skip


async def test_groups_come_dearest_first_with_their_keys_in_the_order_asked(ledger: Ledger) -> None:
    await ledger.record(
        attempt(project="cheap", provider_name="p", cost_nanos=1),
        attempt(project="dear", provider_name="p", cost_nanos=7),
        attempt(project="dear", provider_name="q", cost_nanos=9),
    )
    response = await spend(ledger, SPEND_DIMENSION_PROVIDER, SPEND_DIMENSION_PROJECT)
    assert [(list(group.keys), group.cost_nanos) for group in response.groups] == [
        (["q", "dear"], 9),
        (["p", "dear"], 7),
        (["p", "cheap"], 1),
    ]


@pytest.mark.parametrize(
    ("dimension", "field"),
    [
        (SPEND_DIMENSION_TENANT, "tenant"),
        (SPEND_DIMENSION_PROJECT, "project"),
        (SPEND_DIMENSION_API_KEY, "api_key_id"),
        (SPEND_DIMENSION_MODEL_REQUESTED, "model_requested"),
        (SPEND_DIMENSION_MODEL_USED, "model_used"),
        (SPEND_DIMENSION_PROVIDER, "provider_name"),
        (SPEND_DIMENSION_DEPLOYMENT, "deployment"),
    ],
)
async def test_every_dimension_groups_by_what_it_is_named_after(
    ledger: Ledger, dimension: SpendDimension.ValueType, field: str
) -> None:
    x: dict[str, Any] = {field: "x"}
    y: dict[str, Any] = {field: "y"}
    await ledger.record(attempt(**x), attempt(**x), attempt(**y))
    groups = (await spend(ledger, dimension)).groups
    assert [(list(group.keys), group.attempts) for group in groups] == [(["x"], 2), (["y"], 1)]


async def test_days_are_those_of_utc(ledger: Ledger) -> None:
    midnight = 1_699_920_000.0  # 2023-11-14 00:00:00 UTC
    await ledger.record(attempt(midnight - 0.000001), attempt(midnight), attempt(midnight + DAY - 1))
    days = {group.keys[0]: group.attempts for group in (await spend(ledger, SPEND_DIMENSION_DAY)).groups}
    assert days == {"2023-11-13": 1, "2023-11-14": 2}


async def test_a_request_with_attempts_in_two_groups_is_one_request(ledger: Ledger) -> None:
    await ledger.record(attempt(provider_name="p", request_id="r"), attempt(provider_name="q", request_id="r"))
    response = await spend(ledger, SPEND_DIMENSION_PROVIDER)
    assert [group.requests for group in response.groups] == [1, 1]
    assert response.total.requests == 1


async def test_only_the_time_span_asked_for_is_summed(ledger: Ledger) -> None:
    await ledger.record(attempt(NOW, cost_nanos=1), attempt(NOW + 1, cost_nanos=10), attempt(NOW + 2, cost_nanos=100))
    span = since(NOW + 1)
    assert (await spend(ledger, usage_filter=span)).total.cost_nanos == 110
    span.end_time.FromMicroseconds(round((NOW + 2) * 1e6))
    assert (await spend(ledger, usage_filter=span)).total.cost_nanos == 10


async def test_a_sum_beyond_what_can_be_said_is_an_error_and_not_a_wrong_figure(ledger: Ledger) -> None:
    await ledger.record(*(attempt(cost_nanos=10**18) for _ in range(10)))
    with pytest.raises(grpc.aio.AioRpcError, match="shorter time span") as raised:
        await spend(ledger)
    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize(
    "group_by",
    [
        [SPEND_DIMENSION_TENANT, SPEND_DIMENSION_TENANT],
        [SPEND_DIMENSION_TENANT, SPEND_DIMENSION_UNSPECIFIED],
        [SPEND_DIMENSION_TENANT, SpendDimension.ValueType(99)],
    ],
)
async def test_a_grouping_that_cannot_be_is_refused(
    ledger: Ledger, group_by: Sequence[SpendDimension.ValueType]
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await spend(ledger, *group_by)
    assert from_rpc_error(raised.value).violations[0].field == "group_by[1]"


def some_attempt(number: int, provider: str, project: str, tokens: int | None, cost: int | None, stage: int) -> Attempt:
    priced = tokens is not None and cost is not None
    made = attempt(
        NOW + number * 7919,
        request_id=f"r{number % 3}",
        provider_name=provider,
        project=project,
        usage=None if tokens is None else Usage(input_tokens=tokens, output_tokens=2 * tokens),
        cost_nanos=cost if priced else None,
        price_version="v" if priced else None,
    )
    return (opened, unsettled, lambda settled: settled)[stage](made)


some_attempts = st.lists(
    st.builds(
        some_attempt,
        st.integers(0, 40),
        st.sampled_from("pq"),
        st.sampled_from("xyz"),
        st.none() | st.integers(0, 1000),
        st.none() | st.integers(0, 10**9),
        st.integers(0, 2),
    ),
    max_size=12,
)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(some_attempts, st.sets(st.sampled_from([1, 2, 6, 8])))
async def test_groups_sum_to_the_total_and_the_total_to_what_the_pages_hold(
    ledger: Ledger, attempts: list[Attempt], group_by: set[int]
) -> None:
    await ledger.record(*attempts)
    response = await spend(ledger, *(SpendDimension.ValueType(number) for number in group_by))
    listed: list[Attempt] = []
    token = ""
    while token or not listed:
        page = await ledger.stub.ListUsage(ListUsageRequest(page_size=5, page_token=token))
        listed += page.attempts
        token = page.next_page_token
        if not token:
            break
    total = response.total
    assert total.requests == len({one.request_id for one in listed})
    assert total.attempts == len(listed) == sum(group.attempts for group in response.groups)
    for name in ("input_tokens", "output_tokens", "cached_input_tokens", "reasoning_tokens"):
        held = sum(getattr(one.usage, name) for one in listed)
        assert getattr(total, name) == held == sum(getattr(group, name) for group in response.groups)
    assert total.cost_nanos == sum(one.cost_nanos for one in listed) == sum(g.cost_nanos for g in response.groups)
    unpriced = sum(one.HasField("usage") and not one.HasField("cost_nanos") for one in listed)
    assert total.unpriced_attempts == unpriced == sum(group.unpriced_attempts for group in response.groups)
    unknown = sum(one.state != ATTEMPT_STATE_SETTLED for one in listed)
    assert total.unsettled_attempts == unknown == sum(group.unsettled_attempts for group in response.groups)
    costs = [group.cost_nanos for group in response.groups]
    assert costs == sorted(costs, reverse=True)
