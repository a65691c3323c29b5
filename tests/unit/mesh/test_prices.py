from __future__ import annotations

import timeit

from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.prices import PriceBook, by_version, marked_up, unix_seconds
from tollway.ledger.v1.ledger_pb2 import PRICE_SOURCE_CATALOGUE, Markup, Price


def price(provider: str, model: str, effective: float = 0, *, input: int = 0) -> Price:
    made = Price(provider_name=provider, model_name=model, input_nanos_per_1m=input)
    made.effective_time.FromMicroseconds(round(effective * 1e6))
    return made


def catalogue(provider: str, model: str, effective: float = 0, *, input: int = 0, edition: int = 1) -> Price:
    made = price(provider, model, effective, input=input)
    made.source, made.catalogue_edition = PRICE_SOURCE_CATALOGUE, edition
    return made


def named(made: Price, version: str) -> Price:
    made.version = version
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
    book = PriceBook([price("", "m"), price("p", "*", 2), price("p", "*", 1), catalogue("p", "m")])
    assert book.own("p", "m") == ()
    assert book.own("p", "*") == (price("p", "*", 1), price("p", "*", 2))
    assert book.owned == {("", "m"), ("p", "*")}


def test_a_pattern_holds_for_names_that_begin_so_and_the_longest_one_goes_first() -> None:
    short, long = price("p", "gpt-*", input=1), price("p", "gpt-4*", input=2)
    book = PriceBook([price("p", "*"), short, long])
    assert book.find("p", "gpt-4o", 1) == long
    assert book.find("p", "gpt-3", 1) == short
    assert book.find("p", "o1", 1) == price("p", "*")
    assert book.find("q", "gpt-4o", 1) is None


def test_a_withdrawn_price_leaves_the_word_to_what_stands_behind_it() -> None:
    gone = price("p", "m", 5)
    gone.withdrawn = True
    said = catalogue("p", "m", input=3)
    book = PriceBook([price("p", "m"), gone, said])
    assert book.find("p", "m", 4) == price("p", "m")
    assert book.find("p", "m", 5) == said
    assert PriceBook([price("p", "m"), gone]).find("p", "m", 5) is None


def test_ones_own_price_goes_before_the_catalogues_whatever_came_later() -> None:
    own, said = price("p", "*", 1), catalogue("p", "m", 2)
    book = PriceBook([own, said])
    assert book.find("p", "m", 3) == own
    assert PriceBook([said]).find("p", "m", 3) == said
    assert PriceBook([price("p", "m", 9), said]).find("p", "m", 3) == said, "until one's own takes effect"


def test_an_edition_of_the_catalogue_replaces_those_before_from_its_first_time_on() -> None:
    first = [catalogue("p", "m", at, input=at, edition=1) for at in (0, 10, 30)]
    second = [catalogue("p", "m", at, input=100 + at, edition=2) for at in (20, 40)]
    book = PriceBook([*second, *first])
    found = [at_time.input_nanos_per_1m for at in (0, 10, 20, 30, 40) if (at_time := book.find("p", "m", at))]
    assert found == [0, 10, 120, 120, 140]
    assert [each.input_nanos_per_1m for each in book.in_catalogue("p", "m")] == [0, 10, 120, 140]


def test_a_markup_is_part_of_the_price_that_is_found_and_of_its_name() -> None:
    markups = [Markup(provider_name="p", model_name="*", ppm=100_000), Markup(provider_name="p", model_name="n", ppm=0)]
    book = PriceBook([named(price("p", "*"), "p/*@then"), named(price("q", "m"), "q/m@then")], markups)
    found = book.find("p", "m", 1)
    assert found is not None
    assert (found.version, found.markup_ppm) == ("p/*@then+10%", 100_000)
    assert book.find("p", "m", 1) is found, "it is made once"
    for provider, model in (("p", "n"), ("q", "m")):
        untouched = book.find(provider, model, 1)
        assert untouched is not None
        assert (untouched.markup_ppm, untouched.version) == (0, f"{provider}/{'*' if provider == 'p' else model}@then")


@given(st.integers(-1_000_000, 10_000_000).filter(bool))
def test_a_version_tells_its_markup_exactly(ppm: int) -> None:
    plain = named(price("p", "m"), "p/m+5%-odd@2026-01-01T00:00:00Z#2")
    marked = marked_up(plain, ppm)
    assert by_version(marked.version, {plain.version: plain}) == marked


def test_a_version_that_is_nobodys_is_no_price() -> None:
    plain = named(price("p", "m"), "v")
    assert by_version("v", {"v": plain}) is plain
    for version in ("", "w", "w+10%", "v+10", "v+1.23456%", "v10%"):
        assert by_version(version, {"v": plain}) is None


def test_as_many_models_as_clients_make_up_are_forgotten_again() -> None:
    book = PriceBook([price("p", "*")])
    for number in range(10_000):
        book.find("p", f"m{number}", 1)
    assert len(book._known) <= 4096


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
