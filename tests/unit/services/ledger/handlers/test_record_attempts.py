from __future__ import annotations

import logging

import grpc
import pytest

from mesh.status import from_rpc_error
from tests.unit.services.ledger.conftest import Ledger, StartLedger
from tests.unit.services.ledger.samples import NOW, attempt, opened, unsettled
from tollway.chat.v1.chat_pb2 import Usage
from tollway.ledger.v1.ledger_pb2 import (
    ATTEMPT_STATUS_FAILED,
    PROVENANCE_UNSETTLED,
    RECORD_OUTCOME_DUPLICATE,
    RECORD_OUTCOME_RECORDED,
    RECORD_OUTCOME_REFUSED,
    Attempt,
    ListUsageRequest,
    RecordAttemptsRequest,
)

RECORDED, DUPLICATE, REFUSED = RECORD_OUTCOME_RECORDED, RECORD_OUTCOME_DUPLICATE, RECORD_OUTCOME_REFUSED


async def rows(ledger: Ledger) -> list[Attempt]:
    return list((await ledger.stub.ListUsage(ListUsageRequest())).attempts)


async def test_a_recorded_attempt_is_one_row_that_says_everything_it_said(ledger: Ledger) -> None:
    settled = attempt(
        usage=Usage(
            input_tokens=10, output_tokens=9, cached_input_tokens=8, cache_write_tokens=7, cache_write_1h_tokens=6,
            reasoning_tokens=5, input_audio_tokens=4, output_audio_tokens=3, input_image_tokens=2,
            output_image_tokens=1, accepted_prediction_tokens=11, rejected_prediction_tokens=12,
            extra_json='{"é": 1}'.encode(),
        ),
        error_reason="UPSTREAM_CUT",
        tags=["ci", "ünicode", ""],
    )  # fmt: skip
    [result] = await ledger.record(settled)
    assert (result.attempt_id, result.outcome, result.message) == (settled.attempt_id, RECORDED, "")
    assert await rows(ledger) == [settled]


async def test_a_row_is_readable_by_anyone_with_sql(ledger: Ledger) -> None:
    settled = attempt()
    await ledger.record(settled)
    columns = "attempt_id, timestamp, state, status, provenance, tags, cost_nanos, input_tokens, end_time"
    assert ledger.sql(f"SELECT {columns} FROM request_logs") == [
        (
            settled.attempt_id, "2023-11-14 22:13:20.000000", "settled", "ok", "provider_reported", '["ci"]', 1234, 100,
            "2023-11-14 22:13:21.500000",
        )
    ]  # fmt: skip


async def test_what_is_not_known_is_null_and_not_zero(ledger: Ledger) -> None:
    await ledger.record(opened(attempt()))
    nulls = (
        "end_time, input_tokens, output_tokens, cost_nanos, upstream_status, response_time_ms, time_to_first_token_ms"
    )
    assert ledger.sql(f"SELECT {nulls} FROM request_logs") == [(None,) * 7]
    [row] = await rows(ledger)
    assert not row.HasField("usage")
    assert row.provenance == PROVENANCE_UNSETTLED


async def test_a_providers_zero_is_a_zero(ledger: Ledger) -> None:
    zero = attempt(usage=Usage(), cost_nanos=0, response_time_ms=0, time_to_first_token_ms=0)
    await ledger.record(zero)
    assert await rows(ledger) == [zero]
    zeros = "input_tokens, output_tokens, cost_nanos, response_time_ms, time_to_first_token_ms"
    assert ledger.sql(f"SELECT {zeros} FROM request_logs") == [(0,) * 5]


async def test_sending_an_attempt_again_changes_nothing(ledger: Ledger) -> None:
    settled = attempt()
    await ledger.record(settled)
    [again] = await ledger.record(settled)
    assert (again.outcome, again.message) == (DUPLICATE, "")
    assert await rows(ledger) == [settled]


async def test_a_row_goes_from_opened_over_unsettled_to_settled(ledger: Ledger) -> None:
    settled = attempt()
    for step in (opened(settled), unsettled(settled), settled):
        assert [result.outcome for result in await ledger.record(step)] == [RECORDED]
    for step in (opened(settled), unsettled(settled), settled):
        assert [result.outcome for result in await ledger.record(step)] == [DUPLICATE]
    assert await rows(ledger) == [settled]


async def test_another_content_under_a_booked_id_is_kept_out_and_told(
    ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    settled = attempt()
    await ledger.record(settled)
    [result] = await ledger.record(attempt(attempt_id=settled.attempt_id, cost_nanos=999, status=ATTEMPT_STATUS_FAILED))
    assert result.outcome == DUPLICATE
    assert "differs in cost_nanos, status" in result.message
    assert await rows(ledger) == [settled]
    assert settled.attempt_id in caplog.text


async def test_a_bad_row_is_refused_by_name_and_the_rest_is_booked(
    ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    good = [attempt(), attempt(), opened(attempt())]
    bad = attempt(usage=Usage(input_tokens=-5))
    nameless = attempt(attempt_id="chatcmpl-1")
    results = await ledger.record(good[0], bad, good[1], nameless, good[2])
    assert [result.outcome for result in results] == [RECORDED, REFUSED, RECORDED, REFUSED, RECORDED]
    assert results[1].message == "usage.input_tokens: -5 is not between 0 and 1000000000"
    assert results[3].message.startswith("attempt_id:")
    assert {row.attempt_id for row in await rows(ledger)} == {row.attempt_id for row in good}
    assert bad.attempt_id in caplog.text


async def test_rows_are_keyed_by_our_id_and_never_by_the_providers(ledger: Ledger) -> None:
    twins = [attempt(upstream_request_id="same", request_id="same") for _ in range(3)]
    assert [result.outcome for result in await ledger.record(*twins)] == [RECORDED] * 3
    assert len(await rows(ledger)) == 3


async def test_usage_that_came_without_a_cost_is_priced_here(ledger: Ledger) -> None:
    usage = Usage(input_tokens=3, output_tokens=4)
    sim = attempt(provider_name="sim", model_used="echo", usage=usage, cost_nanos=None, price_version=None)
    await ledger.record(sim)
    [row] = await rows(ledger)
    assert row.cost_nanos == 3 * 1_000_000 + 4 * 2_000_000
    assert row.price_version == "sim/*@1970-01-01T00:00:00Z"
    [again] = await ledger.record(sim)
    assert (again.outcome, again.message) == (DUPLICATE, "")


async def test_usage_without_a_known_price_is_booked_as_unpriced(ledger: Ledger) -> None:
    await ledger.record(attempt(provider_name="nobody", cost_nanos=None, price_version=None))
    assert ledger.sql("SELECT cost_nanos, price_version FROM request_logs") == [(None, "")]


async def test_a_batch_larger_than_ten_thousand_is_refused_whole(ledger: Ledger) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await ledger.stub.RecordAttempts(RecordAttemptsRequest(attempts=[attempt()] * 10_001))
    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert from_rpc_error(raised.value).violations[0].field == "attempts"
    assert {result.outcome for result in await ledger.record(*[attempt(attempt_id="x")] * 10_000)} == {REFUSED}


async def test_a_large_batch_is_told_apart_from_itself(ledger: Ledger) -> None:
    many = [attempt(NOW + number) for number in range(1500)]
    assert {result.outcome for result in await ledger.record(*many)} == {RECORDED}
    assert {result.outcome for result in await ledger.record(*many)} == {DUPLICATE}
    assert ledger.sql("SELECT count(*) FROM request_logs") == [(1500,)]


async def test_an_empty_batch_is_answered_emptily(ledger: Ledger) -> None:
    assert await ledger.record() == []


async def test_what_became_of_rows_is_counted(ledger: Ledger, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    settled = attempt()
    await ledger.record(settled, settled, attempt(attempt_id="x"), attempt())
    assert ledger.metrics.counts == {
        ("tollway.ledger.rows", "recorded"): 2,
        ("tollway.ledger.rows", "duplicate"): 1,
        ("tollway.ledger.rows", "refused"): 1,
    }


async def test_what_one_ledger_booked_is_a_duplicate_to_another_on_the_same_file(start_ledger: StartLedger) -> None:
    one, other = await start_ledger(), await start_ledger()
    settled = attempt()
    await one.record(opened(settled))
    assert [result.outcome for result in await other.record(settled)] == [RECORDED]
    assert [result.outcome for result in await one.record(settled)] == [DUPLICATE]
    assert await rows(one) == await rows(other) == [settled]
