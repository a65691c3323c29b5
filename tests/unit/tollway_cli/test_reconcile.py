from __future__ import annotations

import asyncio
import io
import json
from decimal import Decimal
from pathlib import Path

import pytest
from rich.console import Console

from mesh.clock import VirtualClock
from mesh.metrics import NoMetrics
from mesh.tracing import NoTracer
from services.ledger.bootstrap import start
from services.ledger.handlers.record_attempts import RecordAttempts
from services.ledger.settings import LedgerSettings
from tests.unit.services.ledger.samples import NOW, attempt
from tollway.chat.v1.chat_pb2 import Usage
from tollway.ledger.v1.invoice_pb2 import InvoiceLine, InvoiceSums, ReconcileInvoiceResponse
from tollway_cli.main import app
from tollway_cli.reconcile import Compared, drift, drift_table, drifts, parse_tolerance

NOTHING, ONE = Decimal(0), Decimal(1)


@pytest.fixture
def ledger_file(tmp_path: Path) -> Path:
    """A ledger with three attempts of a day at `openai`."""

    async def make(file: Path) -> None:
        ledger = await start(LedgerSettings(file), clock=VirtualClock(NOW), tracer=NoTracer(), metrics=NoMetrics())
        usage = Usage(input_tokens=10, output_tokens=1)
        made = [attempt(NOW + number, usage=usage, model_used="gpt-4o") for number in range(3)]
        await ledger._servicer._mediator.send(RecordAttempts(made))
        await ledger.close()

    asyncio.run(make(tmp_path / "data" / "ledger.db"))
    return tmp_path / "data" / "ledger.db"


def line(booked: int, invoiced: int | None, **more: object) -> InvoiceLine:
    names: dict[str, object] = {"models_booked": ["m"], "models_invoiced": ["m"]}
    return InvoiceLine(
        day="2026-11-01",
        model="m",
        booked=InvoiceSums(input_tokens=booked, output_tokens=5, cost_nanos=1_000_000_000),
        invoiced=InvoiceSums(input_tokens=invoiced),
        **names | more,  # type: ignore[arg-type] # fields of it
    )


def shown(*lines: InvoiceLine, tolerance: Decimal = NOTHING) -> str:
    whole = InvoiceLine(booked=lines[0].booked, invoiced=lines[0].invoiced)
    compared = Compared(list(lines), ReconcileInvoiceResponse(done=True, total=whole))
    console = Console(width=200, file=(out := io.StringIO()))
    console.print(drift_table(compared, tolerance))
    return out.getvalue()


def test_drift_is_what_the_export_has_more() -> None:
    assert (drift(line(10, 12), "input_tokens"), drift(line(10, 7), "input_tokens")) == (2, -3)
    assert drift(line(10, 12), "cost_nanos") is None, "the export says nothing of it"


def test_what_differs_by_no_more_than_is_tolerated_does_not_drift() -> None:
    assert drifts(line(100, 101), NOTHING) == ["input_tokens"]
    assert drifts(line(100, 101), ONE) == drifts(line(101, 100), ONE) == []
    assert drifts(line(100, 102), ONE) == drifts(line(102, 100), ONE) == ["input_tokens"]
    assert drifts(line(0, 0), NOTHING) == []
    assert drifts(line(0, 1), Decimal(99)) == ["input_tokens"]


def test_what_is_booked_and_in_no_export_drifts() -> None:
    assert drifts(line(100, None, models_invoiced=[]), ONE) == ["input_tokens", "output_tokens", "cost_nanos"]


def test_only_what_the_export_says_is_shown() -> None:
    table = shown(line(1000, 1100), line(5, None, models_invoiced=[], unsettled_attempts=2))
    assert "output" not in table
    assert "+100 (+10.0%)" in table
    assert "not in the export; 2 unsettled" in table
    assert "as gpt-4o-2024-08-06" in shown(line(1, 1, models_invoiced=["gpt-4o-2024-08-06"]))
    assert "not booked" in shown(line(0, 1, models_booked=[]))


@pytest.mark.parametrize(("text", "percent"), [("0", "0"), ("0.5%", "0.5"), (" 10% ", "10")])
def test_tolerance_is_a_percentage(text: str, percent: str) -> None:
    assert parse_tolerance(text) == Decimal(percent)


@pytest.mark.parametrize("text", ["", "-1", "101", "nan", "some"])
def test_another_tolerance_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="--tolerance"):
        parse_tolerance(text)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["{file}", "--provider", "acme"], "--provider 'acme': choose from openai, anthropic, generic"),
        (["{file}", "--provider", "generic", "--tolerance", "x"], "is not a percentage"),
        (["{folder}/none.csv", "--provider", "generic"], "none.csv cannot be read: No such file"),
    ],
)
def test_what_cannot_be_done_is_told_in_a_sentence(
    tmp_path: Path, arguments: list[str], said: str, ledger_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "x.csv").write_text("day,model,requests\n2026-11-01,m,1\n")
    words = [each.format(file=tmp_path / "x.csv", folder=tmp_path) for each in arguments]
    with pytest.raises(SystemExit) as ended:
        app(["reconcile", *words, "--data-dir", str(ledger_file.parent)])
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def run(file: Path, ledger_file: Path, *arguments: str) -> int:
    """The exit status."""
    with pytest.raises(SystemExit) as ended:
        app(["reconcile", str(file), "--provider", "openai", "--data-dir", str(ledger_file.parent), *arguments])
    return int(ended.value.code or 0)


def test_an_export_that_agrees_ends_well_and_one_that_drifts_does_not(
    tmp_path: Path, ledger_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    export = tmp_path / "usage.csv"
    words = "start_time_iso,model,input_tokens,output_tokens\n2023-11-14T00:00:00+00:00,gpt-4o-2024-08-06,{},3\n"
    export.write_text(words.format(30))
    assert run(export, ledger_file) == 0
    assert "The book and the export agree: 1 compared, a day and a model each, of 1 lines" in capsys.readouterr().out
    export.write_text(words.format(33))
    assert run(export, ledger_file) == 1
    out = capsys.readouterr().out
    assert "+3 (+10.0%)" in out
    assert "1 of them drift" in out
    assert run(export, ledger_file, "--tolerance", "10%") == 0
    capsys.readouterr()


def test_the_attempts_behind_what_drifts_are_shown(
    tmp_path: Path, ledger_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    export = tmp_path / "usage.csv"
    export.write_text("start_time,model,input_tokens,output_tokens\n1699920000,gpt-4o,1,1\n")
    assert run(export, ledger_file, "--rows", "2") == 1
    out = capsys.readouterr().out
    assert out.count("10 + 1") == 2
    assert "and 1 more: raise --rows" in out
    assert run(export, ledger_file, "--rows", "5") == 1
    out = capsys.readouterr().out
    assert out.count("10 + 1") == 3
    assert "more: raise" not in out


def test_programs_are_told_in_json(tmp_path: Path, ledger_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    export = tmp_path / "costs.csv"
    export.write_text('start_time,amount_value,line_item\n1699920000,0.000003702,"gpt-4o, input"\n')
    assert run(export, ledger_file, "--json") == 0
    found, total = map(json.loads, capsys.readouterr().out.splitlines())
    assert (found["day"], found["model"], found["drift"]) == ("2023-11-14", "gpt-4o", {"cost_nanos": "0"})
    assert found["booked"]["cost_nanos"] == total["invoiced"]["cost_nanos"] == "3702"


def test_a_name_that_nothing_was_booked_under_is_told(
    tmp_path: Path, ledger_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    export = tmp_path / "usage.csv"
    export.write_text("start_time,model,input_tokens,output_tokens\n1699920000,gpt-4o,1,1\n")
    assert run(export, ledger_file, "--name", "azure-eu") == 1
    assert "Nothing was booked of azure-eu in that time." in capsys.readouterr().out
