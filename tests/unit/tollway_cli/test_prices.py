from __future__ import annotations

import asyncio
import io
import json
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from mesh.clock import SystemClock
from mesh.metrics import NoMetrics
from mesh.prices import PriceBook
from mesh.tracing import NoTracer
from services.ledger.bootstrap import start
from services.ledger.settings import LedgerSettings
from tollway.ledger.v1 import ledger_pb2 as pb
from tollway_cli.main import app
from tollway_cli.prices import in_use, price_to_set, prices_table

NOW = 1_795_521_600.0


def price(model: str, at: float = 0, **fields: object) -> pb.Price:
    made = pb.Price(provider_name="p", model_name=model, version=f"{model}@{at}", **fields)  # type: ignore[arg-type]
    made.effective_time.FromMicroseconds(round(at * 1e6))
    return made


def shown(*prices: pb.Price, markups: tuple[pb.Markup, ...] = ()) -> str:
    console = Console(width=200, file=(out := io.StringIO()))
    console.print(prices_table(prices, markups))
    return out.getvalue()


def test_what_holds_and_what_will_is_told_and_what_was_is_not() -> None:
    gone = price("gone", NOW - 1, withdrawn=True)
    prices = [
        price("m", 0), price("m", NOW - 5), price("m", NOW + 5), price("gone", 0), gone,
        price("c", 0, source=pb.PRICE_SOURCE_CATALOGUE, catalogue_edition=1), price("m", NOW + 9, withdrawn=True),
    ]  # fmt: skip
    used = in_use(PriceBook(prices), NOW)
    assert [each.version for each in used] == ["c@0", f"m@{NOW - 5}", f"m@{NOW + 5}", f"m@{NOW + 9}"]


def test_a_price_is_shown_with_its_tiers_and_who_says_it() -> None:
    full = price("m", NOW, source=pb.PRICE_SOURCE_SET, input_nanos_per_1m=3 * 10**9, output_nanos_per_1m=15 * 10**9)
    full.cached_input_nanos_per_1m, full.request_nanos = 3 * 10**8, 10**7
    full.context_tiers.add(above_input_tokens=200_000).rates.input_nanos_per_1m = 6 * 10**9
    full.service_tiers.add(name="batch", multiplier_ppm=500_000)
    full.service_tiers.add(name="priority").rates.output_nanos_per_1m = 30 * 10**9
    text = shown(
        full,
        price("c", source=pb.PRICE_SOURCE_CATALOGUE, catalogue_entry="genai-prices 1: p/c"),
        price("w", NOW, withdrawn=True),
        markups=(pb.Markup(provider_name="p", model_name="*", ppm=-25_000),),
    )
    for said in (
        "2026-11-24 12:00", "set", "3.00", "15.00", "cached 0.30", "above 200,000: 6.00 → 0.00", "batch: 50%",
        "priority: 0.00 → 30.00", "each request 0.01", "the beginning", "genai-prices 1: p/c", "withdrawn", "-2.5%",
    ):  # fmt: skip
        assert said in text


def test_terms_are_typed_as_in_the_configuration() -> None:
    made = price_to_set("p", "m-*", "{input: 1.25, output: $10, tiers: {batch: 50%}}", "2027-01-01")
    assert (made.provider_name, made.model_name, made.input_nanos_per_1m) == ("p", "m-*", 1_250_000_000)
    assert made.service_tiers[0].multiplier_ppm == 500_000
    assert made.effective_time.ToJsonString() == "2027-01-01T00:00:00Z"
    assert not price_to_set("p", "m", "input: 1, output: 2", "").HasField("effective_time")


def tollway(tmp_path: Path, *arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["prices", *arguments, "--data-dir", str(tmp_path)])
    return result.exit_code, result.output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["set", "p", "m", "input: 1"], "output must be given"),
        (["set", "p", "m", "input: one, output: 1"], "input must be an amount such as $5.00"),
        (["set", "p", "m", "input: 1, output: 1, tiers: {batch: half}"], "tiers.batch.multiplier must be a percentage"),
        (["set", "p", "m", "input: 1, output: 1, colour: red"], "colour unknown key"),
        (["set", "p", "m", "input: [1"], "not valid YAML"),
        (["set", "p", "m", "input: 1, output: 1}, {provider: q, input: 1, output: 1"], "what one entry of prices says"),
        (["set", "p", "m", "input: 1, output: 1", "--from", "soon"], "--from 'soon' must be a time such as 2027-01-31"),
        (["unset", "p", "m", "--from", "9999-12-31T23:59-14:00"], "-14:00' must be between 1970 and 9999"),
        (["set", "p", "a*b", "input: 1, output: 1"], "model may have a * at its end only"),
        (["unset", "p", "m", "--from", "soon"], "--from 'soon' must be a time"),
        (["unpriced", "--since", "soon"], "'soon' is not a time"),
        ([], "nothing has been booked there yet"),
    ],
)
def test_what_cannot_be_done_is_refused_in_a_sentence(tmp_path: Path, arguments: list[str], said: str) -> None:
    code, text = tollway(tmp_path, *arguments)
    assert code == 2
    assert text.startswith("tollway: ")
    assert said in text


def test_options_that_would_not_reach_a_command_are_refused(tmp_path: Path) -> None:
    before = ["prices", "--connect", "127.0.0.1:1", "set", "p", "m", "input: 1, output: 2", "--data-dir", str(tmp_path)]
    refused = CliRunner().invoke(app, before)
    assert refused.exit_code == 2
    assert "--connect stands before set, which does not see it there: put it behind." in refused.output
    assert list(tmp_path.iterdir()) == []


def test_prices_are_set_listed_and_withdrawn_in_a_ledgers_file(tmp_path: Path) -> None:
    async def make() -> None:
        settings = LedgerSettings(tmp_path / "ledger.db")
        await (await start(settings, clock=SystemClock(), tracer=NoTracer(), metrics=NoMetrics())).close()

    asyncio.run(make())
    assert tollway(tmp_path, "set", "p", "m", "input: 1, output: 2")[1].startswith("Set: p/m@")
    assert tollway(tmp_path, "set", "p", "m", "input: 1, output: 3", "--from", "2199-01-01")[1] == (
        "Set: p/m@2199-01-01T00:00:00Z\n"
    )
    assert tollway(tmp_path, "set", "p", "m", "input: 1, output: 4", "--from", "2199-01-01")[0] == 2, "is set already"
    said = [json.loads(line) for line in tollway(tmp_path, "--json")[1].splitlines()]
    ours = [each for each in said if each.get("provider_name") == "p"]
    assert [(each["output_nanos_per_1m"], each["source"]) for each in ours] == [
        ("2000000000", "PRICE_SOURCE_SET"), ("3000000000", "PRICE_SOURCE_SET"),
    ]  # fmt: skip
    code, none = tollway(tmp_path, "unset", "nope", "m")
    assert code == 2
    assert none.startswith("tollway: nope/m has no price of its own to withdraw; `tollway prices` lists")
    assert tollway(tmp_path, "unset", "p", "m")[1].startswith("Withdrawn: p/m@")
    assert tollway(tmp_path, "unset", "p", "m")[0] == 2, "it is withdrawn already"
    assert "2199-01-01 00:00" in tollway(tmp_path)[1]
    assert tollway(tmp_path)[1].count("\n") + 2 == tollway(tmp_path, "--all")[1].count("\n")
    assert tollway(tmp_path, "unpriced") == (0, "Every call has a price.\n")
