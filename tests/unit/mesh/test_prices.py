from __future__ import annotations

import timeit

from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.prices import PriceBook, unix_seconds
from tollway.ledger.v1.ledger_pb2 import Price


def price(provider: str, model: str, effective: float = 0, *, input: int = 0) -> Price:
    made = Price(provider_name=provider, model_name=model, input_nanos_per_1m=input)
    made.effective_time.FromMicroseconds(round(effective * 1e6))
    return made


def test_a_providers_price_for_the_model_goes_before_any_other() -> None:
    exact, anyones, any_model = price("p", "m"), price("", "m"), price("p", "*")
    assert PriceBook([any_model, anyones, exact]).find("p", "m", 1) == exact
    assert PriceBook([any_model, anyones]).find("p", "m", 1) == anyones
    assert PriceBook([any_model]).find("p", "m", 1) == any_model


def test_a_model_without_a_price_is_not_free_but_unknown() -> None:
    book = PriceBook([price("p", "m"), price("other", "*")])
    assert book.find("p", "n", 1) is None
    assert PriceBook().find("p", "m", 1) is None


def test_a_price_holds_from_its_time_on_and_until_the_next() -> None:
    first, second = price("p", "m", 100), price("p", "m", 200)
    book = PriceBook([second, first])
    assert book.find("p", "m", 99.999) is None
    assert book.find("p", "m", 100) == first
    assert book.find("p", "m", 199.999) == first
    assert book.find("p", "m", 200) == second
    assert book.find("p", "m", 9e9) == second


def test_before_a_price_takes_effect_the_next_best_one_holds() -> None:
    exact, anyones = price("p", "m", 100), price("", "m", 50)
    book = PriceBook([exact, anyones])
    assert book.find("p", "m", 99) == anyones
    assert book.find("p", "m", 49) is None


def test_a_price_of_zero_is_a_price() -> None:
    assert PriceBook([Price()]).find("", "", 0) == Price()


def test_what_was_set_for_exactly_these_names_is_told_apart_from_what_holds_for_them() -> None:
    book = PriceBook([price("", "m"), price("p", "*")])
    assert book.in_force("p", "m", 1) is None
    assert book.in_force("p", "*", 1) == price("p", "*")


names = st.sampled_from(["", "a", "b"])
prices = st.lists(st.builds(price, names, st.sampled_from(["m", "n", "*"]), st.integers(0, 9)), max_size=12)


@settings(deadline=None)
@given(prices, names, st.sampled_from(["m", "n", "x"]), st.integers(0, 9))
def test_the_price_found_is_the_one_a_search_through_all_of_them_finds(
    prices: list[Price], provider: str, model: str, at: int
) -> None:
    found = PriceBook(prices).find(provider, model, at)
    for names in ((provider, model), ("", model), (provider, "*")):
        candidates = [
            p for p in prices if (p.provider_name, p.model_name) == names and unix_seconds(p.effective_time) <= at
        ]
        if candidates:
            assert found is not None
            assert (found.provider_name, found.model_name) == names
            assert found.effective_time == max(candidates, key=lambda p: unix_seconds(p.effective_time)).effective_time
            return
    assert found is None


def test_finding_a_price_takes_no_longer_with_a_thousand_of_them() -> None:
    few = PriceBook([price("p", "m")])
    many = PriceBook([price("p", f"m{n}", t) for n in range(100) for t in range(10)] + [price("p", "m")])

    def seconds(book: PriceBook) -> float:
        return min(timeit.repeat(lambda: book.find("p", "m", 1.7e9), number=1000, repeat=5))

    assert seconds(many) < 5 * seconds(few)
