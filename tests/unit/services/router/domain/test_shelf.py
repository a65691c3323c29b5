from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.router.domain.shelf import _COSTS, Shelf


def test_what_was_used_longest_ago_goes_first() -> None:
    shelf = Shelf(3 * (_COSTS + 100))
    assert [shelf.add(name, 100, 0.0, 10.0) for name in "abc"] == [[], [], []]
    shelf.use("a")
    assert shelf.add("d", 100, 1.0, 10.0) == ["b"]
    assert shelf.add("e", 400, 1.0, 10.0) == ["c", "a"]


def test_what_is_kept_again_counts_once() -> None:
    shelf = Shelf(2 * (_COSTS + 100))
    for _ in range(5):
        assert shelf.add("a", 100, 0.0, 10.0) == []
    assert shelf.add("b", 100, 0.0, 10.0) == []


def test_what_has_lapsed_is_forgotten_and_need_not_be_removed() -> None:
    shelf = Shelf(2 * (_COSTS + 100))
    for name in "ab":
        shelf.add(name, 100, 0.0, 10.0)
    assert shelf.add("c", 100, 10.0, 20.0) == []
    assert shelf.add("d", 100, 10.0, 20.0) == []
    shelf.use("a")  # nothing is there to be used


def test_what_is_larger_than_everything_goes_at_once() -> None:
    assert Shelf(1000).add("a", 2000, 0.0, 10.0) == ["a"]


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 2000))))
def test_what_stays_never_comes_to_more_than_may(added: list[tuple[str, int]]) -> None:
    shelf, kept = Shelf(4000), dict[str, int]()
    for name, size in added:
        kept[name] = size + _COSTS
        for gone in shelf.add(name, size, 0.0, 1.0):
            del kept[gone]
        assert sum(kept.values()) <= 4000
