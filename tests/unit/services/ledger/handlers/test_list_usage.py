from __future__ import annotations

from typing import Any

import grpc
import pytest

from mesh.status import from_rpc_error
from tests.unit.services.ledger.conftest import Ledger
from tests.unit.services.ledger.samples import NOW, attempt, opened, since, unsettled
from tollway.ledger.v1.ledger_pb2 import (
    ATTEMPT_KIND_CACHE_HIT,
    ATTEMPT_STATE_OPENED,
    ATTEMPT_STATE_SETTLED,
    ATTEMPT_STATE_UNSETTLED,
    ATTEMPT_STATUS_FAILED,
    Attempt,
    AttemptKind,
    ListUsageRequest,
    UsageFilter,
)


async def pages(ledger: Ledger, size: int, usage_filter: UsageFilter | None = None) -> list[list[Attempt]]:
    token, found = "", []
    while True:
        request = ListUsageRequest(filter=usage_filter, page_size=size, page_token=token)
        response = await ledger.stub.ListUsage(request)
        found.append(list(response.attempts))
        token = response.next_page_token
        if not token:
            return found


async def test_attempts_come_newest_first(ledger: Ledger) -> None:
    attempts = [attempt(NOW + seconds) for seconds in (2, 0, 3, 1)]
    await ledger.record(*attempts)
    [page] = await pages(ledger, 10)
    assert page == sorted(attempts, key=lambda one: one.start_time.ToMicroseconds(), reverse=True)


async def test_each_attempt_says_why_there_was_one(ledger: Ledger) -> None:
    kinds = [kind for kind in AttemptKind.values() if kind != ATTEMPT_KIND_CACHE_HIT]
    hit = attempt(kind=ATTEMPT_KIND_CACHE_HIT, usage=None, cost_nanos=0, price_version=None)
    await ledger.record(*(attempt(NOW + kind, kind=kind) for kind in kinds), hit)
    [page] = await pages(ledger, 10)
    assert {each.kind for each in page} == set(AttemptKind.values())
    assert dict(ledger.sql("SELECT kind, count(*) FROM request_logs GROUP BY kind")) == dict.fromkeys(
        ("call", "hedge", "continuation", "cache_hit"), 1
    )


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8])
async def test_pages_of_any_size_hold_every_attempt_once(ledger: Ledger, size: int) -> None:
    # Several of the same microsecond, so that pages end in the middle of a moment.
    attempts = [attempt(NOW + number // 3) for number in range(7)]
    await ledger.record(*attempts)
    found = await pages(ledger, size)
    assert [len(page) for page in found[:-1]] == [size] * (len(found) - 1)
    assert [one.attempt_id for page in found for one in page] == [
        one.attempt_id
        for one in sorted(attempts, key=lambda one: (one.start_time.ToMicroseconds(), one.attempt_id), reverse=True)
    ]


async def test_what_is_booked_while_someone_turns_pages_moves_none_of_them(ledger: Ledger) -> None:
    old = [attempt(NOW + number) for number in range(4)]
    await ledger.record(*old)
    first = await ledger.stub.ListUsage(ListUsageRequest(page_size=2))
    await ledger.record(*(attempt(NOW + 10 + number) for number in range(5)))
    second = await ledger.stub.ListUsage(ListUsageRequest(page_size=2, page_token=first.next_page_token))
    assert [*first.attempts, *second.attempts] == old[::-1]


async def test_an_empty_ledger_has_one_empty_page(ledger: Ledger) -> None:
    assert await pages(ledger, 10) == [[]]


@pytest.mark.parametrize(
    "field",
    ["request_id", "trace_id", "model_requested", "model_used", "provider_name", "tenant", "project", "api_key_id"],
)
async def test_a_filter_by_name_finds_exactly_what_bears_it(ledger: Ledger, field: str) -> None:
    value = "a" * 32
    mine: dict[str, Any] = {field: value}
    others: dict[str, Any] = {field: "a" * 31 + "b"}
    nobodys: dict[str, Any] = {field: "nobody"}
    wanted = attempt(**mine)
    await ledger.record(wanted, attempt(**others))
    assert await pages(ledger, 10, UsageFilter(**mine)) == [[wanted]]
    assert await pages(ledger, 10, UsageFilter(**nobodys)) == [[]]


async def test_a_filter_by_tag_finds_what_carries_it_among_others(ledger: Ledger) -> None:
    wanted, other = attempt(tags=["nightly", "c'i\"ü"]), attempt(tags=["nightly-2"])
    await ledger.record(wanted, other, attempt(tags=[]))
    assert await pages(ledger, 10, UsageFilter(tag="nightly")) == [[wanted]]
    assert await pages(ledger, 10, UsageFilter(tag="c'i\"ü")) == [[wanted]]


async def test_a_filter_by_state_and_status_finds_what_is_in_it(ledger: Ledger) -> None:
    settled, failed = attempt(NOW), attempt(NOW + 1, status=ATTEMPT_STATUS_FAILED)
    waiting, lost = opened(attempt(NOW + 2)), unsettled(attempt(NOW + 3))
    await ledger.record(settled, failed, waiting, lost)

    async def ids(**wanted: Any) -> list[str]:
        return [one.attempt_id for page in await pages(ledger, 10, UsageFilter(**wanted)) for one in page]

    assert await ids(state=ATTEMPT_STATE_SETTLED) == [failed.attempt_id, settled.attempt_id]
    assert await ids(state=ATTEMPT_STATE_OPENED) == [waiting.attempt_id]
    assert await ids(state=ATTEMPT_STATE_UNSETTLED) == [lost.attempt_id]
    assert await ids(status=ATTEMPT_STATUS_FAILED) == [failed.attempt_id]


async def test_a_time_span_holds_its_beginning_and_not_its_end(ledger: Ledger) -> None:
    attempts = [attempt(NOW + number) for number in range(4)]
    await ledger.record(*attempts)
    span = since(NOW + 1)
    span.end_time.FromMicroseconds(round((NOW + 3) * 1e6))
    assert await pages(ledger, 10, span) == [[attempts[2], attempts[1]]]
    assert await pages(ledger, 1, span) == [[attempts[2]], [attempts[1]]]


@pytest.mark.parametrize(
    ("field", "request_"),
    [
        ("page_size", ListUsageRequest(page_size=-1)),
        ("page_token", ListUsageRequest(page_token="nonsense")),
        ("filter.tenant", ListUsageRequest(filter=UsageFilter(tenant="\0"))),
    ],
)
async def test_a_question_that_cannot_be_read_is_refused_by_the_name_of_the_field(
    ledger: Ledger, field: str, request_: ListUsageRequest
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await ledger.stub.ListUsage(request_)
    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert from_rpc_error(raised.value).violations[0].field == field


async def test_a_page_token_is_good_for_its_own_filter_only(ledger: Ledger) -> None:
    await ledger.record(*(attempt(NOW + number) for number in range(3)))
    token = (await ledger.stub.ListUsage(ListUsageRequest(page_size=1))).next_page_token
    with pytest.raises(grpc.aio.AioRpcError, match="page_token"):
        await ledger.stub.ListUsage(
            ListUsageRequest(page_size=1, page_token=token, filter=UsageFilter(tenant="default"))
        )


async def test_turning_pages_and_filtering_by_provider_read_along_an_index(ledger: Ledger) -> None:
    await ledger.record(attempt())
    for query in (
        "SELECT * FROM request_logs WHERE timestamp <= ? ORDER BY timestamp DESC, attempt_id DESC LIMIT 10",
        "SELECT * FROM request_logs WHERE provider_name = ? ORDER BY timestamp DESC, attempt_id DESC LIMIT 10",
        "SELECT * FROM request_logs WHERE request_id = ?",
    ):
        [plan, *rest] = [row[3] for row in ledger.sql(f"EXPLAIN QUERY PLAN {query}", "x")]
        assert "USING INDEX ix_request_logs_" in plan
        assert all("RIGHT PART OF ORDER BY" in step or "LAST TERM OF ORDER BY" in step for step in rest)
