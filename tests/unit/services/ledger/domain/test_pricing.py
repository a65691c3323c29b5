from __future__ import annotations

from google.protobuf.timestamp_pb2 import Timestamp

from mesh.prices import PriceBook
from services.ledger.domain.pricing import effective_from, news, same_terms
from tollway.ledger.v1.ledger_pb2 import Price

NOON = 1_795_521_600.0  # 2026-11-24 12:00:00 UTC


def test_a_price_is_named_after_what_it_holds_for_and_since_when() -> None:
    assert effective_from(Price(provider_name="p", model_name="a/m"), NOON).version == "p/a/m@2026-11-24T12:00:00Z"
    assert effective_from(Price(model_name="m"), NOON + 0.5).version == "*/m@2026-11-24T12:00:00.500000Z"


def test_a_price_keeps_a_time_of_its_own_in_whole_microseconds() -> None:
    price = Price(provider_name="p", model_name="m", effective_time=Timestamp(seconds=5, nanos=1999))
    made = effective_from(price, NOON)
    assert made.effective_time.ToNanoseconds() == 5_000_001_000
    assert price.effective_time.nanos == 1999, "a message that was sent is never written to"


def test_terms_are_the_same_whenever_they_take_effect() -> None:
    price = Price(provider_name="p", model_name="m", input_nanos_per_1m=1)
    assert same_terms(effective_from(price, 1), effective_from(price, 2))
    assert not same_terms(price, Price(provider_name="p", model_name="m", input_nanos_per_1m=2))


def test_a_tier_at_zero_is_not_the_same_as_no_tier() -> None:
    price = Price(provider_name="p", model_name="m", input_nanos_per_1m=1)
    free = Price(provider_name="p", model_name="m", input_nanos_per_1m=1, cached_input_nanos_per_1m=0)
    assert not same_terms(price, free)


def test_only_prices_that_differ_from_those_in_force_are_news() -> None:
    same = Price(provider_name="p", model_name="same", input_nanos_per_1m=1)
    changed = Price(provider_name="p", model_name="changed", input_nanos_per_1m=2)
    new = Price(provider_name="p", model_name="new", input_nanos_per_1m=3)
    was = Price(provider_name="p", model_name="changed", input_nanos_per_1m=1)
    made = news([same, changed, new], PriceBook([effective_from(same, 1), effective_from(was, 1)]), NOON)
    assert [price.version for price in made] == ["p/changed@2026-11-24T12:00:00Z", "p/new@1970-01-01T00:00:00Z"]


def test_a_price_that_went_back_to_what_it_once_was_is_news() -> None:
    old = Price(provider_name="p", model_name="m", input_nanos_per_1m=1)
    current = Price(provider_name="p", model_name="m", input_nanos_per_1m=2)
    book = PriceBook([effective_from(old, 1), effective_from(current, 2)])
    assert [price.input_nanos_per_1m for price in news([old], book, NOON)] == [1]


def test_where_a_model_is_configured_twice_the_last_price_counts() -> None:
    prices = [Price(provider_name="p", model_name="m", input_nanos_per_1m=n) for n in (1, 2)]
    assert [price.input_nanos_per_1m for price in news(prices, PriceBook(), NOON)] == [2]
