from __future__ import annotations

import csv
import io
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pyarrow import parquet

from tests.unit.services.ledger.samples import NOW, opened, priced
from tollway.ledger.v1 import ledger_pb2
from tollway_cli.export import columns, csv_writer, parquet_writer, row_of, run_export

SETTLED = priced(NOW, tags=["ci", "a,b"], kind=ledger_pb2.ATTEMPT_KIND_HEDGE, model_requested='m "x"\n')
WAITING = opened(priced(NOW))


def test_a_row_says_what_is_known_and_none_where_nothing_is() -> None:
    row = row_of(SETTLED)
    assert list(row) == columns()
    assert (row["state"], row["status"], row["provenance"], row["kind"]) == (
        "settled",
        "ok",
        "provider_reported",
        "hedge",
    )
    assert (row["cost_nanos"], row["input_tokens"], row["output_tokens"]) == (11_000_000, 3, 4)
    assert row["start_time"] == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
    row = row_of(WAITING)
    unknown = (
        "cost_nanos",
        "input_tokens",
        "end_time",
        "response_time_ms",
        "time_to_first_token_ms",
        "upstream_status",
    )
    assert {row[name] for name in unknown} == {None}
    assert (row["status"], row["kind"]) == ("", "call")


def test_csv_is_read_back_by_any_reader() -> None:
    out = io.StringIO()
    with csv_writer(out) as write:
        write([row_of(SETTLED)])
        write([row_of(WAITING)])
    settled, waiting = csv.DictReader(io.StringIO(out.getvalue()))
    assert settled["model_requested"] == 'm "x"\n'
    assert (settled["tags"], settled["streamed"], settled["cost_nanos"]) == ("ci a,b", "true", "11000000")
    assert settled["start_time"] == "2023-11-14T22:13:20Z"
    assert (waiting["cost_nanos"], waiting["end_time"], waiting["output_tokens"]) == ("", "", "")


def test_parquet_keeps_types_times_and_lists(tmp_path: Path) -> None:
    with parquet_writer(tmp_path / "a.parquet") as write:
        write([row_of(SETTLED)])
        write([row_of(WAITING)])
    assert parquet.read_table(tmp_path / "a.parquet").to_pylist() == [row_of(SETTLED), row_of(WAITING)]


@pytest.mark.parametrize(
    ("format", "out", "since", "words"),
    [
        ("xlsx", None, "", "--format 'xlsx': choose from csv, parquet"),
        ("parquet", None, "", "needs a file"),
        ("csv", None, "soon", "'soon' is not a time"),
    ],
)
def test_what_cannot_be_exported_is_declined_in_a_sentence(
    format: str, out: Path | None, since: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        run_export(format, out, since, "", "", "", tmp_path, None)
    assert ended.value.code == 2
    assert words in capsys.readouterr().err


def test_without_pyarrow_the_way_to_it_is_told_and_no_file_is_left(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(SystemExit):
        run_export("parquet", tmp_path / "a.parquet", "", "", "", "", tmp_path, None)
    assert "pip install 'tollway[parquet]'" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_an_export_that_fails_leaves_what_was_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    there = tmp_path / "a.csv"
    there.write_text("an older export")
    with pytest.raises(SystemExit):
        run_export("csv", there, "", "", "", "", tmp_path, None)
    assert "there is no ledger at" in capsys.readouterr().err
    assert there.read_text() == "an older export"
    assert list(tmp_path.iterdir()) == [there]
