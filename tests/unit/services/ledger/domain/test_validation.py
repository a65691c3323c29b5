from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.errors import Reason, TollwayError
from mesh.ids import uuid7
from mesh.money import MOST_COST_NANOS, MOST_PRICE_NANOS, cost_nanos
from services.ledger.domain.validation import (
    LONGEST_NAME,
    LONGEST_TEXT,
    MOST,
    check_filter,
    is_uuid7,
    why_no_price,
    why_not_bookable,
)
from tests.unit.services.ledger.samples import NOW, attempt, opened, unsettled
from tollway.chat.v1.chat_pb2 import Usage
from tollway.ledger.v1.ledger_pb2 import (
    ATTEMPT_KIND_CACHE_HIT,
    ATTEMPT_KIND_CONTINUATION,
    ATTEMPT_KIND_HEDGE,
    ATTEMPT_STATE_UNSPECIFIED,
    PROVENANCE_CACHED,
    Attempt,
    AttemptState,
    AttemptStatus,
    ContextTier,
    Price,
    Rates,
    ServiceTier,
    UsageFilter,
)


def test_what_a_router_sends_is_booked_in_every_state() -> None:
    settled = attempt()
    for state in (settled, opened(settled), unsettled(settled)):
        assert why_not_bookable(state, NOW) == ""
    for kind in (ATTEMPT_KIND_HEDGE, ATTEMPT_KIND_CONTINUATION):
        assert why_not_bookable(attempt(kind=kind), NOW) == ""


def test_an_answer_out_of_the_cache_is_booked_for_nothing_and_names_no_price() -> None:
    nothing: dict[str, Any] = {"usage": Usage(), "cost_nanos": 0, "price_version": None}
    hit = attempt(kind=ATTEMPT_KIND_CACHE_HIT, provenance=PROVENANCE_CACHED, **nothing)
    for state in (hit, opened(hit), unsettled(hit)):
        assert why_not_bookable(state, NOW) == ""


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("attempt_id", {"attempt_id": ""}),
        ("attempt_id", {"attempt_id": "00000000-0000-4000-8000-000000000000"}),
        ("attempt_id", {"attempt_id": uuid7(1).upper()}),
        ("attempt_id", {"attempt_id": uuid7(1) + " "}),
        ("request_id", {"request_id": ""}),
        ("provider_name", {"provider_name": ""}),
        ("model_used", {"model_used": ""}),
        ("trace_id", {"trace_id": "0af7651916cd43dd8448eb211c80319"}),
        ("trace_id", {"trace_id": "0AF7651916CD43DD8448EB211C80319C"}),
        ("span_id", {"span_id": "b7ad6b716920333"}),
        ("span_id", {"trace_id": "", "span_id": "0af7651916cd43dd8448eb211c80319c"}),
        ("start_time", {"start_time": None}),
        ("start_time", {"start_time": {"seconds": -1}}),
        ("start_time", {"start_time": {"seconds": 253_402_300_800}}),
        ("start_time", {"start_time": {"nanos": 1_000_000_000}}),
        ("start_time", {"start_time": {"seconds": 1_577_836_799}}),
        ("start_time", {"start_time": {"seconds": int(NOW) + 86_401}}),
        ("attempt_id", {"attempt_id": uuid7(NOW - 2 * 86_400)}),
        ("attempt_id", {"attempt_id": uuid7(NOW + 2 * 86_400)}),
        ("end_time", {"end_time": {"seconds": int(NOW) - 301}}),
        ("end_time", {"end_time": None}),
        ("end_time", {"end_time": {"nanos": -1}}),
        ("state", {"state": ATTEMPT_STATE_UNSPECIFIED, "end_time": None}),
        ("state", {"state": 9}),
        ("status", {"status": 0}),
        ("status", {"status": 9}),
        ("provenance", {"provenance": 0}),
        ("provenance", {"provenance": -1}),
        ("cost_nanos", {"cost_nanos": -1}),
        ("cost_nanos", {"cost_nanos": MOST_COST_NANOS + 1}),
        ("price_version", {"price_version": ""}),
        ("price_version", {"cost_nanos": None}),
        ("kind", {"kind": 9}),
        ("kind", {"kind": -1}),
        ("cost_nanos", {"kind": ATTEMPT_KIND_CACHE_HIT, "usage": None, "price_version": None}),
        ("cost_nanos", {"kind": ATTEMPT_KIND_CACHE_HIT, "usage": None, "price_version": None, "cost_nanos": None}),
        ("price_version", {"kind": ATTEMPT_KIND_CACHE_HIT, "usage": None, "cost_nanos": 0}),
        ("usage", {"kind": ATTEMPT_KIND_CACHE_HIT, "price_version": None, "cost_nanos": 0}),
        ("usage.output_tokens", {"usage": Usage(output_tokens=-1)}),
        ("usage.cache_write_1h_tokens", {"usage": Usage(cache_write_1h_tokens=MOST + 1)}),
        ("usage.rejected_prediction_tokens", {"usage": Usage(rejected_prediction_tokens=-1)}),
        ("usage.extra_json", {"usage": Usage(extra_json=b"\xff")}),
        ("usage.extra_json", {"usage": Usage(extra_json=b"\0")}),
        ("attempt_number", {"attempt_number": -1}),
        ("upstream_status", {"upstream_status": -1}),
        ("response_time_ms", {"response_time_ms": -1}),
        ("time_to_first_token_ms", {"time_to_first_token_ms": MOST + 1}),
        ("model_requested", {"model_requested": "m" * (LONGEST_TEXT + 1)}),
        ("finish_reason", {"finish_reason": "st\0p"}),
        ("tags[1]", {"tags": ["a", "b\0"]}),
        ("tags", {"tags": ["a"] * 257}),
        ("tenant", {"tenant": "t" * (LONGEST_NAME + 1)}),
        ("request_id", {"request_id": "r" * (LONGEST_NAME + 1)}),
    ],
)
def test_what_cannot_be_booked_is_refused_by_the_name_of_the_field(field: str, changes: dict[str, Any]) -> None:
    assert why_not_bookable(attempt(**changes), NOW).partition(":")[0] == field


def test_contradicting_counts_are_booked_as_the_provider_reported_them() -> None:
    assert why_not_bookable(attempt(usage=Usage(input_tokens=1, cached_input_tokens=2)), NOW) == ""


def test_many_tags_that_are_long_together_are_no_reason_to_refuse() -> None:
    assert why_not_bookable(attempt(tags=["t" * 100] * 100), NOW) == ""


@settings(deadline=None)
@given(st.binary(max_size=60))
def test_no_bytes_that_read_as_an_attempt_break_the_check(raw: bytes) -> None:
    try:
        strange = Attempt.FromString(raw)
    except Exception:  # noqa: BLE001 - whatever protobuf says is no attempt
        return
    assert isinstance(why_not_bookable(strange, NOW), str)


def test_an_attempt_id_is_a_uuid_of_version_7() -> None:
    assert is_uuid7(uuid7(1.0))
    assert not is_uuid7("x")


@settings(deadline=None)
@given(st.integers(0, MOST), st.integers(0, MOST), st.integers(0, MOST_PRICE_NANOS), st.integers(0, MOST_PRICE_NANOS))
def test_counts_and_prices_within_their_bounds_cost_what_is_within_its_own(
    tokens_in: int, tokens_out: int, price_in: int, price_out: int
) -> None:
    usage = Usage(input_tokens=tokens_in, output_tokens=tokens_out)
    cost = cost_nanos(usage, Price(input_nanos_per_1m=price_in, output_nanos_per_1m=price_out))
    assert why_not_bookable(attempt(usage=usage, cost_nanos=cost), NOW) == ""


def test_a_price_needs_a_model_and_sensible_amounts() -> None:
    assert why_no_price(Price(provider_name="p", model_name="*", input_nanos_per_1m=1)) == ""
    assert why_no_price(Price(model_name="m")) == ""
    for field, wrong in {
        "provider_name": Price(provider_name="a/b", model_name="m"),
        "model_name": Price(provider_name="p"),
        "input_nanos_per_1m": Price(model_name="m", input_nanos_per_1m=-1),
        "reasoning_nanos_per_1m": Price(model_name="m", reasoning_nanos_per_1m=MOST_PRICE_NANOS + 1),
        "max_context_tokens": Price(model_name="m", max_context_tokens=-1),
        "effective_time": Price(model_name="m", effective_time=Timestamp(seconds=-1)),
        "request_nanos": Price(model_name="m", request_nanos=-1),
        "withdrawn": Price(model_name="m", withdrawn=True, output_nanos_per_1m=1),
    }.items():
        assert why_no_price(wrong).partition(":")[0] == field
    assert why_no_price(Price(provider_name="*", model_name="m")).startswith("provider_name")
    for model in ("*", "gpt-*", "g*t"):
        assert why_no_price(Price(model_name=model)).startswith("model_name")
    assert why_no_price(Price(provider_name="p", model_name="gpt-*")) == ""
    assert why_no_price(Price(provider_name="p", model_name="m", withdrawn=True)) == ""


def large(above: int, **rates: int) -> ContextTier:
    return ContextTier(above_input_tokens=above, rates=Rates(**rates))


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("context_tiers[0].above_input_tokens", Price(context_tiers=[large(0)])),
        ("context_tiers[1].above_input_tokens", Price(context_tiers=[large(2), large(2)])),
        ("context_tiers[1].above_input_tokens", Price(context_tiers=[large(2), large(1)])),
        ("context_tiers[0].above_input_tokens", Price(context_tiers=[large(MOST + 1)])),
        ("context_tiers[0].rates", Price(context_tiers=[ContextTier(above_input_tokens=1)])),
        (
            "context_tiers[0].rates.cache_write_nanos_per_1m",
            Price(context_tiers=[large(1, cache_write_nanos_per_1m=-1)]),
        ),
        ("context_tiers", Price(context_tiers=[large(n + 1) for n in range(33)])),
        ("service_tiers[0].name", Price(service_tiers=[ServiceTier(multiplier_ppm=1)])),
        ("service_tiers[1].name", Price(service_tiers=[ServiceTier(name="a", multiplier_ppm=1)] * 2)),
        ("service_tiers[0].multiplier_ppm", Price(service_tiers=[ServiceTier(name="a")])),
        ("service_tiers[0].multiplier_ppm", Price(service_tiers=[ServiceTier(name="a", multiplier_ppm=10**9)])),
        (
            "service_tiers[0].multiplier_ppm",
            Price(service_tiers=[ServiceTier(name="a", multiplier_ppm=1, rates=Rates())]),
        ),
        (
            "service_tiers[0].context_tiers",
            Price(service_tiers=[ServiceTier(name="a", multiplier_ppm=1, context_tiers=[large(1)])]),
        ),
        (
            "service_tiers[0].rates.input_nanos_per_1m",
            Price(service_tiers=[ServiceTier(name="a", rates=Rates(input_nanos_per_1m=-1))]),
        ),
        (
            "service_tiers[0].context_tiers[0].above_input_tokens",
            Price(service_tiers=[ServiceTier(name="a", rates=Rates(), context_tiers=[large(0)])]),
        ),
        ("service_tiers", Price(service_tiers=[ServiceTier(name=f"{n}", multiplier_ppm=1) for n in range(33)])),
    ],
)
def test_a_tier_that_cannot_be_is_refused_by_its_place(field: str, wrong: Price) -> None:
    wrong.model_name = "m"
    assert why_no_price(wrong).partition(": ")[0] == field


def test_a_price_may_have_every_kind_of_tier() -> None:
    own = ServiceTier(name="priority", rates=Rates(input_nanos_per_1m=1), context_tiers=[large(1), large(2)])
    tiers = [ServiceTier(name="batch", multiplier_ppm=500_000), own]
    assert why_no_price(Price(model_name="m", context_tiers=[large(1), large(2)], service_tiers=tiers)) == ""


@pytest.mark.parametrize(
    ("field", "filter"),
    [
        ("filter.start_time", UsageFilter(start_time=Timestamp(seconds=-1))),
        ("filter.end_time", UsageFilter(end_time=Timestamp(seconds=2**60))),
        ("filter.end_time", UsageFilter(start_time=Timestamp(seconds=2), end_time=Timestamp(seconds=1))),
        ("filter.state", UsageFilter(state=AttemptState.ValueType(7))),
        ("filter.status", UsageFilter(status=AttemptStatus.ValueType(-1))),
        ("filter.tag", UsageFilter(tag="\0")),
    ],
)
def test_a_filter_that_cannot_be_read_is_refused_by_the_name_of_the_field(field: str, filter: UsageFilter) -> None:
    with pytest.raises(TollwayError) as raised:
        check_filter(filter)
    assert raised.value.reason is Reason.INVALID_REQUEST
    assert raised.value.violations[0].field == field


def test_a_time_span_may_be_empty_and_may_be_open() -> None:
    check_filter(UsageFilter())
    check_filter(UsageFilter(start_time=Timestamp(seconds=2), end_time=Timestamp(seconds=2)))
    check_filter(UsageFilter(start_time=Timestamp(seconds=2)))
