from __future__ import annotations

import logging

import grpc
import pytest
from google.protobuf.json_format import Parse
from google.protobuf.timestamp_pb2 import Timestamp

from mesh.ids import uuid7
from mesh.status import from_rpc_error
from tests.unit.services.ledger.conftest import Ledger, StartLedger, on_sqlite
from tests.unit.services.ledger.samples import NOW, attempt, opened, priced, unsettled
from tollway.chat.v1.chat_pb2 import Usage
from tollway.ledger.v1.ledger_pb2 import (
    ATTEMPT_STATUS_FAILED,
    AUDIT_INVARIANT_ROWS_EQUAL_PRICES,
    PROVENANCE_UNSETTLED,
    RECORD_OUTCOME_DUPLICATE,
    RECORD_OUTCOME_RECORDED,
    RECORD_OUTCOME_REFUSED,
    Attempt,
    ListUsageRequest,
    RecordAttemptsRequest,
    UsageFilter,
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
    columns = "attempt_id, state, status, provenance, tags, cost_nanos, input_tokens"
    assert ledger.sql(f"SELECT {columns} FROM request_logs") == [
        (settled.attempt_id, "settled", "ok", "provider_reported", '["ci"]', 1234, 100)
    ]


@on_sqlite
async def test_a_moment_in_a_file_is_text_that_sorts_by_time(ledger: Ledger) -> None:
    await ledger.record(attempt())
    columns = "timestamp, end_time"
    assert ledger.sql(f"SELECT {columns} FROM request_logs") == [
        ("2023-11-14 22:13:20.000000", "2023-11-14 22:13:21.500000")
    ]


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


async def test_another_content_under_a_booked_id_is_kept_apart_flagged_and_told(
    ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    settled, other = priced(), priced()
    await ledger.record(settled, other)
    false = priced(attempt_id=settled.attempt_id, cost_nanos=999, status=ATTEMPT_STATUS_FAILED, tags=["é"])
    for _ in range(2):  # sent again, as after an answer that was lost
        [result] = await ledger.record(false, journal_id="j1")
        assert result.outcome == DUPLICATE
        assert "differs in tags, cost_nanos, status" in result.message
    assert {row.attempt_id: row for row in await rows(ledger)} == {
        settled.attempt_id: settled,
        other.attempt_id: other,
    }
    [(attempt_id, journal_id, differs, content)] = ledger.sql(
        "SELECT attempt_id, journal_id, differs, content FROM attempt_conflicts"
    )
    assert (attempt_id, journal_id, differs) == (settled.attempt_id, "j1", "tags, cost_nanos, status")
    assert Parse(content, Attempt()) == false
    assert ledger.metrics.gauges["tollway.ledger.conflicts"] == 1
    flagged = await ledger.stub.ListUsage(ListUsageRequest(filter=UsageFilter(conflicted=True)))
    assert list(flagged.attempts) == [settled]
    assert settled.attempt_id in caplog.text
    findings, last = await ledger.audit()
    assert (findings, last.conflicts) == ([], 1)


async def test_how_much_was_kept_apart_is_known_from_the_start(start_ledger: StartLedger) -> None:
    ledger = await start_ledger()
    assert ledger.metrics.gauges["tollway.ledger.conflicts"] == 0
    settled = priced()
    await ledger.record(settled, priced(attempt_id=settled.attempt_id, finish_reason="length"))
    assert (await start_ledger()).metrics.gauges["tollway.ledger.conflicts"] == 1


async def test_different_contents_of_one_batch_are_kept_apart_too(ledger: Ledger) -> None:
    settled = priced()
    others = [priced(attempt_id=settled.attempt_id, finish_reason=reason) for reason in ("length", "tool_calls")]
    results = await ledger.record(settled, *others)
    assert [result.outcome for result in results] == [RECORDED, DUPLICATE, DUPLICATE]
    assert ledger.sql("SELECT differs FROM attempt_conflicts") == [("finish_reason",)] * 2
    assert await rows(ledger) == [settled]


async def test_a_clock_that_is_far_off_is_refused_by_name_and_the_rest_is_booked(ledger: Ledger) -> None:
    good, ahead, unset = priced(), priced(NOW + 2 * 86_400), priced(3600.0)
    backwards = priced(end_time=Timestamp(seconds=int(NOW) - 3600))
    elsewhen = priced(attempt_id=uuid7(NOW - 30 * 86_400))
    results = await ledger.record(ahead, good, unset, backwards, elsewhen)
    assert [result.outcome for result in results] == [REFUSED, RECORDED, REFUSED, REFUSED, REFUSED]
    assert [result.message for result in results] == [
        "start_time: is more than a day ahead of the ledger's clock; set the router's clock right",
        "",
        "start_time: is before 2020; set the router's clock right",
        "end_time: is more than 300 s before start_time",
        "attempt_id: holds a time more than a day from start_time",
    ]
    assert await rows(ledger) == [good]


async def test_a_clock_that_is_a_little_off_is_booked_as_it_is(ledger: Ledger) -> None:
    ahead = priced(NOW + 3600)
    set_right = priced(end_time=Timestamp(seconds=int(NOW) - 2))
    assert [result.outcome for result in await ledger.record(ahead, set_right)] == [RECORDED, RECORDED]
    assert await rows(ledger) == [ahead, set_right]


async def test_what_waited_in_a_journal_for_months_is_booked_where_it_belongs(ledger: Ledger) -> None:
    old = [priced(NOW - months * 30 * 86_400) for months in range(14)]
    assert {result.outcome for result in await ledger.record(*old)} == {RECORDED}
    assert {result.outcome for result in await ledger.record(*old)} == {DUPLICATE}
    assert (await ledger.audit())[0] == []


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


async def test_each_cost_is_posted_twice_once_and_moved_when_its_owner_was_told_wrong(ledger: Ledger) -> None:
    settled = priced()
    guessed = unsettled(settled)
    guessed.cost_nanos, guessed.price_version, guessed.tenant = 5, "v", "else"
    await ledger.record(guessed)
    await ledger.record(settled)
    assert ledger.sql("SELECT seq, account, amount_nanos, kind FROM postings ORDER BY seq") == [
        (0, "spend:else/default/local", 5, "settlement"),
        (1, "payable:sim", -5, "settlement"),
        (2, "spend:else/default/local", -5, "adjustment"),
        (3, "payable:sim", 5, "adjustment"),
        (4, "spend:default/default/local", 11_000_000, "adjustment"),
        (5, "payable:sim", -11_000_000, "adjustment"),
    ]
    assert (await ledger.audit())[0] == []


async def test_an_account_that_would_overflow_refuses_what_is_too_much_and_nothing_else(
    ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    dear = [attempt(cost_nanos=10**18) for _ in range(10)]
    others = [priced(provider_name="other", project=f"p{number}") for number in range(7)]
    batch = [*others[:3], *dear, *others[3:]]
    answers = await ledger.record(*batch)
    assert [answer.attempt_id for answer in answers] == [each.attempt_id for each in batch]
    (refused,) = [answer for answer in answers if answer.outcome == RECORD_OUTCOME_REFUSED]
    assert refused.message == "cost_nanos: takes what its account or its day comes to beyond 2^63 - 1"
    assert refused.attempt_id == dear[-1].attempt_id
    assert refused.attempt_id in caplog.text
    assert ledger.metrics.counts == {
        ("tollway.ledger.rows", "recorded"): 16,
        ("tollway.ledger.rows", "refused"): 1,
    }
    assert ledger.runtime.serving, "an attempt that is too dear is no trouble of the store's"
    assert {answer.outcome for answer in await ledger.record(*batch)} == {
        RECORD_OUTCOME_DUPLICATE,
        RECORD_OUTCOME_REFUSED,
    }
    assert ledger.sql("SELECT count(*) FROM request_logs") == [(16,)]
    findings = (await ledger.audit())[0]
    assert {finding.invariant for finding in findings} <= {AUDIT_INVARIANT_ROWS_EQUAL_PRICES}, "amounts are made up"


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
