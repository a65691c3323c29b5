from __future__ import annotations

from google.protobuf.timestamp_pb2 import Timestamp

from mesh.prices import PriceBook
from services.ledger.domain.pricing import (
    effective_from,
    new_edition,
    news,
    own_price,
    same_terms,
    withdrawn_editions,
)
from tollway.ledger.v1.ledger_pb2 import (
    PRICE_SOURCE_CATALOGUE,
    PRICE_SOURCE_CONFIGURED,
    PRICE_SOURCE_SET,
    Price,
)

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


def versions(prices: list[Price]) -> list[str]:
    return [price.version for price in prices]


def test_what_was_set_holds_until_the_configuration_says_something_else_than_before() -> None:
    said = Price(provider_name="p", model_name="m", input_nanos_per_1m=1)
    configured = own_price(said, PRICE_SOURCE_CONFIGURED, 0)
    was_set = own_price(Price(provider_name="p", model_name="m", input_nanos_per_1m=2), PRICE_SOURCE_SET, 5)
    book = PriceBook([configured, was_set])
    assert news([said], book, NOON) == []
    other = Price(provider_name="p", model_name="m", input_nanos_per_1m=3)
    assert versions(news([other], book, NOON)) == ["p/m@2026-11-24T12:00:00Z"]
    assert versions(news([said], PriceBook([was_set]), NOON)) == ["p/m@2026-11-24T12:00:00Z"], "its first word is news"


def test_what_is_taken_out_of_the_configuration_is_withdrawn_and_what_others_set_is_not() -> None:
    configured = own_price(Price(provider_name="p", model_name="m"), PRICE_SOURCE_CONFIGURED, 0)
    was_set = own_price(Price(provider_name="p", model_name="n"), PRICE_SOURCE_SET, 0)
    of_before = effective_from(Price(provider_name="sim", model_name="*"), 0)
    (gone,) = news([], PriceBook([configured, was_set, of_before]), NOON)
    assert (gone.version, gone.withdrawn, gone.source) == ("p/m@2026-11-24T12:00:00Z", True, PRICE_SOURCE_CONFIGURED)
    assert news([], PriceBook([configured, gone]), NOON + 1) == []
    (back,) = news([Price(provider_name="p", model_name="m")], PriceBook([configured, gone]), NOON + 1)
    assert (back.version, back.withdrawn) == ("p/m@2026-11-24T12:00:01Z", False)
    superseded = own_price(Price(provider_name="p", model_name="m"), PRICE_SOURCE_SET, 5)
    assert news([], PriceBook([configured, superseded]), NOON) == []


def test_whoever_sets_a_price_cannot_say_that_it_is_the_catalogues() -> None:
    price = Price(
        provider_name="p", model_name="m", source=PRICE_SOURCE_CATALOGUE, catalogue_entry="x", catalogue_edition=3,
        markup_ppm=5, version="mine",
    )  # fmt: skip
    made = own_price(price, PRICE_SOURCE_SET, NOON)
    assert (made.source, made.version) == (PRICE_SOURCE_SET, "p/m@2026-11-24T12:00:00Z")
    assert (made.catalogue_entry, made.catalogue_edition, made.markup_ppm) == ("", 0, 0)


def course(*amounts: tuple[float, int], entry: str = "genai-prices 1: p/m") -> list[Price]:
    prices = [Price(provider_name="p", model_name="m", input_nanos_per_1m=n, catalogue_entry=entry) for _, n in amounts]
    for price, (at, _) in zip(prices, amounts, strict=True):
        price.effective_time.FromMicroseconds(round(at * 1e6))
    return prices


def test_a_models_first_edition_is_the_whole_course_of_its_prices() -> None:
    made = new_edition(course((0, 1), (NOON - 1, 2), (NOON + 60, 3)), PriceBook(), NOON)
    assert versions(made) == [
        "p/m@1970-01-01T00:00:00Z#1", "p/m@2026-11-24T11:59:59Z#1", "p/m@2026-11-24T12:01:00Z#1",
    ]  # fmt: skip
    assert {price.source for price in made} == {PRICE_SOURCE_CATALOGUE}


def test_a_later_edition_says_only_what_is_new_and_does_not_reach_back() -> None:
    first = new_edition(course((0, 1), (NOON + 60, 3)), PriceBook(), NOON - 100)
    same = course((0, 7), (NOON - 10, 1), (NOON + 60, 3), entry="genai-prices 2: p/m")
    assert new_edition(same, PriceBook(first), NOON) == [], "of the past it may say what it likes"
    changed = new_edition(course((0, 2), (NOON + 90, 4)), PriceBook(first), NOON)
    assert versions(changed) == ["p/m@2026-11-24T12:00:00Z#2", "p/m@2026-11-24T12:01:30Z#2"]
    book = PriceBook([*first, *changed])
    amounts = [found.input_nanos_per_1m for at in (-1, 0, 60, 90) if (found := book.find("p", "m", NOON + at))]
    assert amounts == [1, 2, 2, 4], "what the edition before said of the future no longer holds"
    back = new_edition(course((0, 1), (NOON + 60, 3)), book, NOON + 5)
    assert versions(back) == ["p/m@2026-11-24T12:00:05Z#3", "p/m@2026-11-24T12:01:00Z#3"]


def test_the_catalogue_can_be_done_without_and_be_taken_up_again() -> None:
    first = new_edition(course((0, 1)), PriceBook(), NOON)
    (gone,) = withdrawn_editions(PriceBook(first), lambda provider: provider == "p", NOON + 1)
    assert gone.version == "p/m@2026-11-24T12:00:01Z#2"
    book = PriceBook([*first, gone])
    assert book.find("p", "m", NOON + 2) is None
    assert withdrawn_editions(book, lambda provider: True, NOON + 2) == []
    again = new_edition(course((0, 1)), book, NOON + 3)
    assert versions(again) == ["p/m@2026-11-24T12:00:03Z#3"]
