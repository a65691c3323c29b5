from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from rich.console import Console
from typer.testing import CliRunner

from mesh.clock import SystemClock
from mesh.metrics import NoMetrics
from mesh.tracing import NoTracer
from services.ledger.bootstrap import start
from services.ledger.settings import LedgerSettings
from tollway.ledger.v1.budget_pb2 import BUDGET_WINDOW_ROLLING, Budget, BudgetStanding
from tollway_cli.budgets import asked, bar, budgets_table
from tollway_cli.main import app

DOLLAR = 10**9


def stands(spent: int, granted: int = 0, **changes: Any) -> BudgetStanding:
    fields: dict[str, Any] = {"budget_id": "key:*/day", "subject": "key:ci", "limit_nanos": DOLLAR}
    return BudgetStanding(**fields | {"spent_nanos": spent, "granted_nanos": granted} | changes)


def shown(*standings: BudgetStanding, **changes: Any) -> list[str]:
    fields: dict[str, Any] = {"budget_id": "key:*/day", "scope": "key:*", "limit_nanos": DOLLAR}
    budget = Budget(**fields | changes)
    console = Console(width=200, file=(out := io.StringIO()))
    console.print(budgets_table([budget], standings))
    return [line.rstrip() for line in out.getvalue().splitlines()]


def test_a_standing_is_shown_with_what_is_spent_granted_and_left() -> None:
    end = Timestamp(seconds=1_700_006_400)
    line = shown(stands(DOLLAR // 4, DOLLAR // 2, window_end_time=end))[1]
    assert line.split() == [
        "key:*/day", "key:ci", "1.00", "0.25", "0.50", "0.25", "█" * 6 + "▒" * 12 + "·" * 6, "2023-11-15", "00:00",
    ]  # fmt: skip


def test_what_is_worth_a_note_is_noted() -> None:
    assert shown(stands(5, unleased_nanos=3), configured=True)[1].endswith(
        "configured, 0.000000003 spent without a lease"
    )
    assert shown(stands(5, unleased_nanos=5), soft=True)[1].endswith(" soft")
    assert shown()[1].endswith("nobody has spent of it")


@pytest.mark.parametrize(
    ("spent", "granted", "drawn"),
    [
        (0, 0, "·" * 24),
        (1, 0, "█" + "·" * 23),
        (DOLLAR - 1, 0, "█" * 23 + "·"),
        (DOLLAR, 0, "█" * 24),
        (3 * DOLLAR, DOLLAR, "█" * 24),
        (0, 1, "▒" + "·" * 23),
        (DOLLAR // 2, DOLLAR // 2, "█" * 12 + "▒" * 12),
    ],
)
def test_a_bar_is_full_when_all_is_spent_and_not_before(spent: int, granted: int, drawn: str) -> None:
    assert bar(stands(spent, granted)).plain == drawn


def test_a_window_is_asked_for_as_the_configuration_has_it() -> None:
    assert asked("key:ci", "6h", "UTC").window == BUDGET_WINDOW_ROLLING
    assert asked("key:ci", "6h", "UTC").rolling.seconds == 21_600
    with pytest.raises(ValueError, match="--window 'fortnight' must be one of day, week, month, total, or"):
        asked("key:ci", "fortnight", "UTC")


@pytest.fixture
async def data_dir(tmp_path: Path) -> Path:
    """Of a ledger that ran once."""
    settings = LedgerSettings(tmp_path / "ledger.db")
    await (await start(settings, clock=SystemClock(), tracer=NoTracer(), metrics=NoMetrics())).close()
    return tmp_path


def run(data_dir: Path, *arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["budgets", *arguments, "--data-dir", str(data_dir)], env={"COLUMNS": "200"})
    return done.exit_code, done.output


def test_budgets_are_set_listed_changed_and_ended(data_dir: Path) -> None:
    assert run(data_dir)[1].startswith("There are none.")
    assert run(data_dir, "set", "project:demo", "$100") == (0, "project:demo/month is a hard budget of $100.00.\n")
    assert run(data_dir, "set", "key:*", "5", "--window", "6h", "--soft", "--thresholds", "80,120")[0] == 0
    changed = "project:demo/month is a hard budget of $50.00, and was one of $100.00.\n"
    assert run(data_dir, "set", "project:demo", "$50") == (0, changed)
    told = [json.loads(line) for line in run(data_dir, "--json")[1].splitlines()]
    assert [(each["budget_id"], each.get("soft"), each.get("thresholds")) for each in told] == [
        ("key:*/6h", True, [80, 120]),
        ("project:demo/month", False, [50, 80, 100]),
        ("project:demo/month", None, None),
    ]
    assert run(data_dir, "set", "key:*", "6", "--window", "360m")[1].startswith("key:*/6h is a soft budget of $6.00")
    assert run(data_dir, "end", "key:*", "--window", "6h")[0] == 0
    assert "key:*/6h" not in run(data_dir)[1]


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["set", "project:demo", "lots"], "LIMIT 'lots' is not an amount"),
        (["set", "project:demo", "$0"], "LIMIT must be more than $0"),
        (["set", "project:demo", "$99999999999"], "LIMIT '$99999999999' is more than $1,000,000,000"),
        (["set", "team:demo", "$1"], "SCOPE must be such as"),
        (["set", "project:demo", "$1", "--window", "never"], "--window 'never' must be"),
        (["set", "project:demo", "$1", "--time-zone", "Mars"], "--time-zone "),
        (["set", "project:demo", "$1", "--thresholds", "0"], "--thresholds '0' must be"),
        (["end", "project:demo"], "project:demo has no such budget"),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_sentence(data_dir: Path, arguments: list[str], why: str) -> None:
    code, output = run(data_dir, *arguments)
    assert code == 2
    assert why in output


def test_options_before_a_command_are_refused_since_it_does_not_see_them(data_dir: Path) -> None:
    code, output = run(data_dir, "--connect", "127.0.0.1:1", "end", "project:demo")
    assert (code, output) == (2, "tollway: --connect stands before end, which does not see it there: put it behind.\n")
