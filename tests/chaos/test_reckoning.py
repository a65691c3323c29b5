"""What the crash test looks for is found where it is there."""

from __future__ import annotations

import subprocess
from collections import Counter
from typing import Any

from tests.chaos.crash import IN_BETWEEN, Kill, Load, Row, Run, Served


def call(name: str, *, sent: bool = True, came: float = 100.0, ended: float = 101.0) -> Served:
    return Served(name, (10, 2), came, ended, usage_sent=sent)


def row(state: str = "settled", provenance: str = "provider_reported", cost: int | None = 16_000) -> Row:
    return Row(state, provenance, cost, 100.0)


def run(calls: list[Served], rows: dict[str, Row], *kills: Kill, audit: int = 0) -> Run:
    done: subprocess.CompletedProcess[Any] = subprocess.CompletedProcess([], audit, "", "")
    return Run(calls, list(kills), rows, Load("", "", 1.0, None), Counter(), done, "", 0.0)  # type: ignore[arg-type]


def test_nothing_is_found_where_all_is_well() -> None:
    done = run([call("a")], {"a": row(), "b": row("unsettled", "unsettled", None)})
    assert (done.twice, done.rowless, done.settled_without_call) == ([], [], [])
    assert (done.wrong_amounts, done.not_reported, done.lost_by_nobody) == ([], [], [])
    assert "rows without a call, all unsettled  1" in done.figures()


def test_a_call_without_a_row_and_one_made_twice_are_found() -> None:
    done = run([call("a"), call("a"), call("b")], {"a": row()})
    assert (done.twice, done.rowless) == (["a"], ["b"])


def test_a_row_without_a_call_may_claim_none() -> None:
    assert run([], {"a": row(), "b": row("opened", "", None)}).settled_without_call == ["a", "b"]


def test_an_amount_that_is_not_what_the_usage_costs_is_found() -> None:
    for cost in (15_999, None):
        assert len(run([call("a")], {"a": row(cost=cost)}).wrong_amounts) == 1


def test_usage_that_was_sent_and_is_not_in_its_row_takes_a_kill_to_explain() -> None:
    rows = {"a": row("unsettled", "unsettled", None)}
    during, long_before = Kill("router", 100.5, 100.6), Kill("router", 90.0, 99.9)
    afterwards, of_the_book = Kill("router", 101.1 + IN_BETWEEN, 102.0), Kill("ledger", 100.5, 100.6)
    assert run([call("a")], rows, during).lost_by_nobody == []
    for kill in (long_before, afterwards, of_the_book):
        assert len(run([call("a")], rows, kill).lost_by_nobody) == 1
    assert run([call("a", sent=False)], rows).lost_by_nobody == []
