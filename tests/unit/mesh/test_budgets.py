from __future__ import annotations

from mesh.budgets import BudgetBook
from tollway.ledger.v1.budget_pb2 import Budget


def book(*ids: str) -> BudgetBook:
    return BudgetBook(Budget(budget_id=each, scope=each.partition("/")[0]) for each in ids)


def claimed(made: BudgetBook, **about: str) -> list[tuple[str, str]]:
    tags = about.pop("tags", "").split()
    asked = {"tenant": "acme", "project": "demo", "key": "ci", "model": "gpt-4o"} | about
    return [(claim.budget.budget_id, claim.subject) for claim in made.claims(**asked, tags=tags)]


def test_a_question_falls_under_all_budgets_of_who_asks_and_for_what() -> None:
    made = book("tenant:acme/month", "project:demo/day", "key:ci/6h", "model:gpt-4o/total", "tag:a/day", "key:x/day")
    assert claimed(made, tags="a b a") == [
        ("tenant:acme/month", "tenant:acme"),
        ("project:demo/day", "project:demo"),
        ("key:ci/6h", "key:ci"),
        ("model:gpt-4o/total", "model:gpt-4o"),
        ("tag:a/day", "tag:a"),
    ]


def test_several_windows_of_one_scope_hold_at_once() -> None:
    assert claimed(book("key:ci/day", "key:ci/month")) == [("key:ci/day", "key:ci"), ("key:ci/month", "key:ci")]


def test_with_an_asterisk_each_has_a_budget_of_its_own() -> None:
    made = book("tag:*/day")
    assert claimed(made, tags="a b") == [("tag:*/day", "tag:a"), ("tag:*/day", "tag:b")]
    assert claimed(made) == []


def test_a_name_stands_in_place_of_the_asterisk_of_its_kind_whatever_the_windows() -> None:
    made = book("key:*/day", "key:*/month", "key:ci/total", "project:*/day")
    assert claimed(made) == [("project:*/day", "project:demo"), ("key:ci/total", "key:ci")]
    assert claimed(made, key="other") == [
        ("project:*/day", "project:demo"),
        ("key:*/day", "key:other"),
        ("key:*/month", "key:other"),
    ]


def test_a_subject_holds_under_the_budgets_that_apply_to_it() -> None:
    made = book("key:*/day", "key:ci/total")
    assert made.holds("key:*/day", "key:other")
    assert not made.holds("key:*/day", "key:ci")
    assert made.holds("key:ci/total", "key:ci")
    assert not made.holds("key:ci/total", "key:other")
    assert not made.holds("key:*/day", "project:x")
    assert not made.holds("none", "key:x")


def test_where_there_are_no_budgets_nothing_falls_under_one() -> None:
    assert claimed(book(), tags="a") == []
    assert book().find("x") is None


def test_budgets_are_found_by_their_id_and_listed_in_its_order() -> None:
    made = book("tenant:b/day", "key:a/day")
    assert [each.budget_id for each in made.budgets] == ["key:a/day", "tenant:b/day"]
    found = made.find("key:a/day")
    assert found is not None
    assert found.scope == "key:a"
