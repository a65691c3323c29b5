from __future__ import annotations

import io
from datetime import UTC, datetime

import pytest
from rich.console import Console
from rich.table import Table

from tollway.chat.v1 import chat_pb2
from tollway.ledger.v1 import ledger_pb2
from tollway_cli.spend import attempts_table, dimensions, span, spend_chart, spend_table

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


def shown(table: Table) -> str:
    console = Console(width=200, file=(out := io.StringIO()))
    console.print(table)
    return out.getvalue()


def test_a_span_may_be_open_at_either_end() -> None:
    assert span("", "", NOW) == ledger_pb2.UsageFilter()
    assert span("1h", "", NOW).start_time.ToDatetime(UTC) == datetime(2026, 11, 20, 11, tzinfo=UTC)
    assert not span("", "1h", NOW).HasField("start_time")


def test_a_span_that_ends_before_it_begins_is_told_as_it_was_typed() -> None:
    with pytest.raises(ValueError, match="--until 2026-01-01 is before --since 2027-01-01"):
        span("2027-01-01", "2026-01-01", NOW)


def test_an_unknown_dimension_is_named_with_the_choices() -> None:
    with pytest.raises(ValueError, match="'colour': choose from tenant, project"):
        dimensions("model,colour")


def test_sums_are_exact_and_say_what_is_not_in_them() -> None:
    group = ledger_pb2.SpendGroup(keys=["gpt-4o"], requests=1000, cost_nanos=1, unpriced_attempts=2)
    total = ledger_pb2.SpendGroup(requests=1000, cost_nanos=5_000_000_001)
    text = shown(spend_table(["model"], ledger_pb2.GetSpendResponse(groups=[group], total=total)))
    assert "gpt-4o" in text
    assert "1,000" in text
    assert "0.000000001" in text
    assert "5.000000001" in text
    assert "2 unpriced" in text


def chart(width: int, *costs: int, by: str = "model") -> str:
    groups = [ledger_pb2.SpendGroup(keys=[f"m{number}"], cost_nanos=cost) for number, cost in enumerate(costs)]
    response = ledger_pb2.GetSpendResponse(groups=groups, total=ledger_pb2.SpendGroup(cost_nanos=sum(costs)))
    console = Console(width=width, file=(out := io.StringIO()))
    console.print(spend_chart([by], response, console))
    return out.getvalue()


def test_what_each_group_cost_is_drawn_beside_it() -> None:
    header, dear, half, free, total = chart(200, 8 * 10**9, 4 * 10**9, 0).splitlines()
    assert dear.count("█") == 24
    assert half.count("█") == 12
    assert "█" not in header + free + total


def test_bars_take_the_room_there_is_and_none_where_it_is_too_little() -> None:
    assert chart(70, 8 * 10**9, 1).splitlines()[1].count("█") in range(6, 24)
    assert "█" not in chart(40, 8 * 10**9, 1)
    assert "█" not in chart(200, 8 * 10**9), "one alone compares with nothing"
    assert "█" not in chart(200, 0, 0)


def test_days_are_a_course_of_time_and_anything_else_is_dearest_first() -> None:
    response = ledger_pb2.GetSpendResponse(
        groups=[ledger_pb2.SpendGroup(keys=[key], cost_nanos=cost) for key, cost in (("b", 2), ("a", 1))]
    )
    rows = [shown(spend_table([by], response)).splitlines()[1:3] for by in ("day", "model")]
    assert [[row.split()[0] for row in each] for each in rows] == [["a", "b"], ["b", "a"]]


def test_what_operators_adjusted_is_noted() -> None:
    total = ledger_pb2.SpendGroup(cost_nanos=5, adjusted_nanos=-3 * 10**9, attempts=1)
    assert "-3.00 adjusted" in shown(spend_table([], ledger_pb2.GetSpendResponse(groups=[total], total=total)))


def test_an_attempt_without_a_price_is_shown_as_unpriced_and_not_as_zero() -> None:
    attempt = ledger_pb2.Attempt(
        model_requested="m", deployment="p/m", state=ledger_pb2.ATTEMPT_STATE_SETTLED,
        status=ledger_pb2.ATTEMPT_STATUS_OK, usage=chat_pb2.Usage(input_tokens=7),
    )  # fmt: skip
    text = shown(attempts_table([attempt]))
    assert "unpriced" in text
    assert "0.00" not in text


def test_an_attempt_whose_end_is_unknown_says_so() -> None:
    text = shown(attempts_table([ledger_pb2.Attempt(state=ledger_pb2.ATTEMPT_STATE_UNSETTLED)]))
    assert "unsettled" in text
    attempt = ledger_pb2.Attempt(
        state=ledger_pb2.ATTEMPT_STATE_UNSETTLED,
        status=ledger_pb2.ATTEMPT_STATUS_FAILED,
        error_reason="UPSTREAM_UNREACHABLE",
    )
    assert "failed UPSTREAM_UNREACHABLE (unsettled)" in shown(attempts_table([attempt]))


def test_a_failed_attempt_names_its_reason() -> None:
    attempt = ledger_pb2.Attempt(
        state=ledger_pb2.ATTEMPT_STATE_SETTLED,
        status=ledger_pb2.ATTEMPT_STATUS_FAILED,
        error_reason="UPSTREAM_SILENT",
    )
    assert "failed UPSTREAM_SILENT" in shown(attempts_table([attempt]))


def test_an_answer_out_of_the_cache_is_marked_and_its_nothing_is_exact() -> None:
    attempt = ledger_pb2.Attempt(
        state=ledger_pb2.ATTEMPT_STATE_SETTLED, status=ledger_pb2.ATTEMPT_STATUS_OK, cost_nanos=0,
        kind=ledger_pb2.ATTEMPT_KIND_CACHE_HIT, usage=chat_pb2.Usage(), provenance=ledger_pb2.PROVENANCE_CACHED,
    )  # fmt: skip
    text = shown(attempts_table([attempt]))
    assert "ok (cache hit)" in text
    assert " 0 + 0 " in text
    assert " 0.00 " in text
    group = ledger_pb2.SpendGroup(keys=["m"], cache_hits=3)
    assert "3 from the cache" in shown(spend_table(["model"], ledger_pb2.GetSpendResponse(groups=[group])))
