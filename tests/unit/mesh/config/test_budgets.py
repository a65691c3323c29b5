"""Budgets as they are written."""

from __future__ import annotations

import pytest

from tests.unit.mesh.config.conftest import Complaints, LoadText


def test_a_budget_is_by_the_month_hard_and_told_of_at_three_thresholds(load_text: LoadText) -> None:
    [budget] = load_text('budgets: [{scope: "project:demo", limit: $100}]').budgets
    assert (budget.window, budget.time_zone, budget.soft) == ("month", "UTC", False)
    assert budget.limit == 100 * 10**9
    assert budget.thresholds == (50, 80, 100)


@pytest.mark.parametrize("window", ["day", "week", "month", "total", "1m", "6h", "90s", "3650d"])
def test_a_window_is_a_name_or_a_duration_and_written_as_it_was(load_text: LoadText, window: str) -> None:
    [budget] = load_text(f'budgets: [{{scope: "key:*", limit: $1, window: {window}}}]').budgets
    assert budget.model_dump()["window"] == window


WRONG = [
    ("limit: $0", "limit", "must be more than $0, and at most $1000000000, not $0"),
    ("limit: $1000000001", "limit", "must be more than $0, and at most $1000000000, not $1000000001"),
    ("limit: lots", "limit", "must be an amount such as $5.00, with at most nine decimal places, not lots"),
    ("window: year", "window", "must be one of day, week, month, total, or a duration such as 6h, not year"),
    ("window: 59s", "window", "must be a duration of whole seconds, from 1m to 3650d, not 59s"),
    ("window: 61.5s", "window", "must be a duration of whole seconds, from 1m to 3650d, not 61.5s"),
    ("window: 3651d", "window", "must be a duration of whole seconds, from 1m to 3650d, not 3651d"),
    ("time_zone: Europe/Zurch", "time_zone", "no time zone is called Europe/Zurch; did you mean Europe/Zurich?"),
    ("soft: perhaps", "soft", ""),
    ("scope: demo", "scope", "must be a scope such as key:ci or key:*, of tenant, project, key, tag, model, not demo"),
]


@pytest.mark.parametrize(("changed", "field", "problem"), WRONG)
def test_a_value_that_is_none_is_refused_with_its_place(
    complaints: Complaints, changed: str, field: str, problem: str
) -> None:
    fields = {"scope": 'scope: "key:*"', "limit": "limit: $1"} | {field: changed}
    [line] = complaints(f"budgets:\n  - {{{', '.join(fields.values())}}}")
    assert line.startswith(f"budgets[0].{field} (tollway.yaml:2): {problem}")


@pytest.mark.parametrize("thresholds", ["[0]", "[1001]", "[50, 50]", "[half]", "[-1]", str(list(range(1, 18))), "{}"])
def test_thresholds_that_are_none_are_refused(complaints: Complaints, thresholds: str) -> None:
    [line] = complaints(f'budgets: [{{scope: "key:*", limit: $1, thresholds: {thresholds}}}]')
    assert "must be at most 16 different percentages from 1 to 1000, as in [50, 80, 100]" in line


def test_a_time_zone_is_for_windows_of_the_calendar(complaints: Complaints) -> None:
    for window in ("total", "6h"):
        [line] = complaints(f'budgets: [{{scope: "key:*", limit: $1, window: {window}, time_zone: UTC}}]')
        assert line.endswith("has a time_zone, in which only days, weeks and months begin")


def test_a_scope_has_one_budget_a_window_however_that_is_written(complaints: Complaints) -> None:
    text = """
budgets:
  - {scope: "key:*", limit: $1}
  - {scope: "key:*", limit: $1, window: day}
  - {scope: "key:*", limit: $1, window: day, time_zone: Europe/Zurich}
  - {scope: "key:*", limit: $2, window: month, time_zone: UTC}
  - {scope: "key:*", limit: $1, window: 24h}
  - {scope: "key:*", limit: $1, window: 1d}
"""
    assert complaints(text) == [
        "budgets[3] (tollway.yaml:6): has the scope and window of budgets[0], too",
        "budgets[5] (tollway.yaml:8): has the scope and window of budgets[4], too",
    ]


def test_whose_a_budget_is_must_have_a_key_and_a_model_must_be_one(complaints: Complaints) -> None:
    text = """
models: {gpt-4o: {deployments: [{provider: sim}]}}
keys: [{name: ci, key: tw-0123456789abcdef, project: search}]
budgets:
  - {scope: "key:cii", limit: $1}
  - {scope: "project:search", limit: $1}
  - {scope: "tenant:acme", limit: $1}
  - {scope: "model:gpt-40", limit: $1}
  - {scope: "tag:anything", limit: $1}
"""
    assert complaints(text) == [
        "budgets[0].scope (tollway.yaml:5): no key is called cii; did you mean ci?",
        "budgets[2].scope (tollway.yaml:7): no key is of a tenant acme; there are default",
        "budgets[3].scope (tollway.yaml:8): no model is called gpt-40; did you mean gpt-4o?",
    ]
