from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.errors import Reason, TollwayError
from services.ledger.domain import invoices
from services.ledger.domain.invoices import Invoice, Place, day_of
from tollway.ledger.v1.invoice_pb2 import (
    INVOICE_FORMAT_ANTHROPIC,
    INVOICE_FORMAT_GENERIC,
    INVOICE_FORMAT_OPENAI,
    InvoiceFormat,
    InvoiceSums,
)

EXPORTS = Path(__file__).parent / "exports"
GPT, MINI, HAIKU = "gpt-4o-2024-08-06", "gpt-4o-mini-2024-07-18", "claude-haiku-4-5-20251001"
EXPECTED: dict[str, tuple[InvoiceFormat.ValueType, dict[Place, InvoiceSums]]] = {
    "openai_usage": (
        INVOICE_FORMAT_OPENAI,
        {
            Place("2026-11-01", GPT): InvoiceSums(
                requests=12, input_tokens=1500, cached_input_tokens=400, output_tokens=250
            ),
            Place("2026-11-01", MINI): InvoiceSums(requests=1, input_tokens=70, cached_input_tokens=0, output_tokens=7),
            Place("2026-11-03", GPT): InvoiceSums(requests=3, input_tokens=30, cached_input_tokens=0, output_tokens=3),
        },
    ),
    "openai_costs": (
        INVOICE_FORMAT_OPENAI,
        {
            Place("2026-11-01", GPT): InvoiceSums(cost_nanos=5_750_000),
            Place("2026-11-01", "web search tool calls"): InvoiceSums(cost_nanos=25_000),
            Place("2026-11-03", ""): InvoiceSums(cost_nanos=100_000),
        },
    ),
    "anthropic_usage": (
        INVOICE_FORMAT_ANTHROPIC,
        {
            Place("2026-11-01", HAIKU): InvoiceSums(
                input_tokens=435, cached_input_tokens=300, cache_write_tokens=25, output_tokens=44
            ),
            Place("2026-11-02", "claude-sonnet-4-5-20250929"): InvoiceSums(
                input_tokens=7, cached_input_tokens=0, cache_write_tokens=0, output_tokens=1
            ),
        },
    ),
    "anthropic_cost": (
        INVOICE_FORMAT_ANTHROPIC,
        {
            Place("2026-11-01", "Claude Haiku 4.5"): InvoiceSums(cost_nanos=330_000),
            Place("2026-11-02", "Claude Sonnet 4.5"): InvoiceSums(cost_nanos=31_500),
        },
    ),
    "generic": (
        INVOICE_FORMAT_GENERIC,
        {
            Place("2026-11-01", "llama"): InvoiceSums(
                requests=3, input_tokens=300, output_tokens=30, cost_nanos=500_000_000
            ),
            Place("2026-11-02", "llama"): InvoiceSums(
                requests=1, input_tokens=10, output_tokens=1, cost_nanos=250_000_000
            ),
        },
    ),
}
HEADERS = {
    INVOICE_FORMAT_OPENAI: ("start_time,model,input_tokens,output_tokens", "1793491200,gpt-4o,1,1"),
    INVOICE_FORMAT_ANTHROPIC: (
        "usage_date_utc,model_version,usage_input_tokens_no_cache,usage_output_tokens",
        "2026-11-01,claude,1,1",
    ),
    INVOICE_FORMAT_GENERIC: ("day,model,input_tokens,output_tokens", "2026-11-01,llama,1,1"),
}


def read(format: InvoiceFormat.ValueType, *pieces: bytes, name: str = "export.csv") -> dict[Place, InvoiceSums]:
    invoice = Invoice(format)
    for piece in pieces:
        invoice.read(name, piece)
    invoice.end()
    return invoice.sums()


def refused(format: InvoiceFormat.ValueType, text: str | bytes) -> str:
    with pytest.raises(TollwayError) as raised:
        read(format, text if isinstance(text, bytes) else text.encode())
    assert raised.value.reason is Reason.INVALID_REQUEST
    return raised.value.message


@pytest.mark.parametrize("export", EXPECTED)
def test_an_export_is_summed_by_day_and_model(export: str) -> None:
    kind, expected = EXPECTED[export]
    content = (EXPORTS / f"{export}.csv").read_bytes()
    assert read(kind, content) == expected
    assert read(kind, b"\xef\xbb\xbf" + content) == expected, "with a byte order mark"
    assert read(kind, content.rstrip()) == expected, "without an end of its last line"


@pytest.mark.parametrize("export", EXPECTED)
def test_it_does_not_matter_where_an_export_is_cut(export: str) -> None:
    kind, expected = EXPECTED[export]
    content = (EXPORTS / f"{export}.csv").read_bytes()
    assert read(kind, *(content[at : at + 1] for at in range(len(content)))) == expected
    for at in range(0, len(content), 7):
        assert read(kind, content[:at], content[at:]) == expected


def test_usage_and_costs_of_several_files_are_one_export() -> None:
    invoice = Invoice(INVOICE_FORMAT_OPENAI)
    for name in ("openai_usage", "openai_costs"):
        invoice.read(name, (EXPORTS / f"{name}.csv").read_bytes())
    invoice.end()
    assert invoice.sums()[Place("2026-11-01", GPT)] == InvoiceSums(
        requests=12, input_tokens=1500, cached_input_tokens=400, output_tokens=250, cost_nanos=5_750_000
    )
    assert invoice.records == 10


def test_columns_may_stand_in_any_order_and_others_are_passed_over() -> None:
    text = "Output_Tokens ,surprise,model, DAY,input_tokens\n5,x,llama,2026-11-01,7\n"
    found = read(INVOICE_FORMAT_GENERIC, text.encode())
    assert found == {Place("2026-11-01", "llama"): InvoiceSums(input_tokens=7, output_tokens=5)}


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("2026-11-01", "2026-11-01"),
        ("20261101", "2026-11-01"),
        ("1793577599", "2026-11-01"),
        ("1793577600", "2026-11-02"),
        ("2026-11-01T23:59:59Z", "2026-11-01"),
        ("2026-11-01 15:00", "2026-11-01"),
        ("2026-11-01T00:30:00+01:00", "2026-10-31"),
    ],
)
def test_days_are_those_of_utc(text: str, day: str) -> None:
    assert day_of(text) == day


@given(st.lists(st.decimals(0, 1000, places=9, allow_nan=False), min_size=1, max_size=20))
def test_amounts_are_added_up_exactly_and_rounded_once(amounts: list[Decimal]) -> None:
    rows = "".join(f"2026-11-01,m,{amount}\n" for amount in amounts)
    found = read(INVOICE_FORMAT_GENERIC, f"day,model,cost_usd\n{rows}".encode())
    assert found[Place("2026-11-01", "m")].cost_nanos == sum(int(amount * 10**9) for amount in amounts)


def test_what_is_less_than_a_nano_is_not_lost_before_all_is_added() -> None:
    rows = "2026-11-01,m,0.0000000004\n" * 10
    found = read(INVOICE_FORMAT_GENERIC, f"day,model,cost_usd\n{rows}".encode())
    assert found[Place("2026-11-01", "m")].cost_nanos == 4


# -- what cannot be read -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("format", HEADERS)
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "export.csv is empty"),
        (b"\n\n", "export.csv is empty"),
        (b"PK\x03\x04\xff\xfe\x00", "export.csv is not a CSV file: it is not text in UTF-8"),
        (b"abc\x00def\n", "export.csv is not a CSV file: it holds null characters"),
        (b'{"object": "page"}\n', "export.csv, line 1: the header has no "),
        (b'"a\n' + b"x" * 2**20 + b"y", "export.csv is not a CSV file: it line 1 has no end"),
        (b'a,"b"c\n', "export.csv, line 1: is not CSV"),
    ],
)
def test_what_is_no_csv_is_refused(format: InvoiceFormat.ValueType, content: bytes, said: str) -> None:
    assert said in refused(format, content)


@pytest.mark.parametrize("format", HEADERS)
def test_missing_columns_are_named(format: InvoiceFormat.ValueType) -> None:
    header, row = HEADERS[format]
    names, cells = header.split(","), row.split(",")
    for missing in (0, 1):
        kept = [index for index in range(len(names)) if index != missing]
        text = "\n".join(",".join(line[index] for index in kept) for line in (names, cells))
        assert refused(format, text) == f"chunk: export.csv, line 1: the header has no {names[missing]}"


def test_an_export_of_no_figures_is_refused_with_what_could_be_there() -> None:
    said = refused(INVOICE_FORMAT_GENERIC, "day,model\n2026-11-01,m\n")
    assert said.endswith(
        "the header has no requests/input_tokens/cached_input_tokens/cache_write_tokens/output_tokens/cost_usd"
    )


@pytest.mark.parametrize("format", HEADERS)
@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("-5", "'-5' is negative"),
        ("many", "'many' is not a whole number"),
        ("1.5", "'1.5' is not a whole number"),
        ('"1,000"', "'1,000' is not a whole number"),
        ("9" * 16, "is not a whole number"),
    ],
)
def test_a_count_that_is_none_is_refused_with_its_line_and_column(
    format: InvoiceFormat.ValueType, value: str, said: str
) -> None:
    header, row = HEADERS[format]
    bad = ",".join([*row.split(",")[:-1], value])
    message = refused(format, f"{header}\n{row}\n{row}\n{bad}\n")
    assert message.startswith(f"chunk: export.csv, line 4: {header.split(',')[-1]} ")
    assert said in message


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("-0.01", "is negative: a credit is no usage"),
        ("$5", "is not an amount such as 12.34"),
        ("NaN", "is not an amount"),
        ("Infinity", "is not an amount"),
        ("1e30", "is not an amount"),
    ],
)
@pytest.mark.parametrize(
    ("format", "header", "row"),
    [
        (INVOICE_FORMAT_OPENAI, "start_time,amount_value,line_item", "1793491200,{},gpt"),
        (INVOICE_FORMAT_ANTHROPIC, "usage_date_utc,cost_usd,model", "2026-11-01,{},claude"),
        (INVOICE_FORMAT_GENERIC, "day,cost_usd,model", "2026-11-01,{},llama"),
    ],
)
def test_an_amount_that_is_none_is_refused_with_its_line_and_column(
    format: InvoiceFormat.ValueType, header: str, row: str, value: str, said: str
) -> None:
    message = refused(format, f"{header}\n{row.format('0.5')}\n{row.format(value)}\n")
    assert message.startswith(f"chunk: export.csv, line 3: {header.split(',')[1]} {value!r}")
    assert said in message


@pytest.mark.parametrize(
    ("format", "header", "row"),
    [
        (INVOICE_FORMAT_OPENAI, "start_time,amount_value,amount_currency,line_item", "1793491200,1,{},gpt"),
        (INVOICE_FORMAT_GENERIC, "day,cost_usd,currency,model", "2026-11-01,1,{},llama"),
    ],
)
def test_other_currencies_are_refused_and_mixed_ones_named(
    format: InvoiceFormat.ValueType, header: str, row: str
) -> None:
    mixed = refused(format, f"{header}\n{row.format('usd')}\n{row.format('eur')}\n")
    assert mixed.endswith("line 3: is in EUR, and others are in USD: currencies cannot be added up")
    other = refused(format, f"{header}\n{row.format('EUR')}\n")
    assert other.endswith("line 2: is in EUR; what is booked is in USD")


@pytest.mark.parametrize("format", HEADERS)
@pytest.mark.parametrize("day", ["yesterday", "2026-13-01", "-1", "99999999999999999999", "1999-12-31", ""])
def test_a_day_that_is_none_is_refused_with_its_line(format: InvoiceFormat.ValueType, day: str) -> None:
    header, row = HEADERS[format]
    bad = ",".join([day, *row.split(",")[1:]])
    message = refused(format, f"{header}\n{row}\n{bad}\n")
    assert message.startswith(f"chunk: export.csv, line 3: {day!r} is no day")


@pytest.mark.parametrize("format", HEADERS)
def test_a_line_that_is_cut_off_is_refused(format: InvoiceFormat.ValueType) -> None:
    header, row = HEADERS[format]
    assert "line 3: has 3 cells, and the header 4" in refused(format, f"{header}\n{row}\n{row.rpartition(',')[0]}\n")
    assert "line 3: a quote is never closed" in refused(format, f'{header}\n{row}\n"{row}\n')
    assert "line 2: has 5 cells" in refused(format, f"{header}\n{row},1\n")


@pytest.mark.parametrize("format", HEADERS)
def test_usage_of_no_model_and_a_header_alone_are_refused(format: InvoiceFormat.ValueType) -> None:
    header, row = HEADERS[format]
    first, _, *rest = row.split(",")
    assert "line 2: has usage of no model" in refused(format, f"{header}\n{','.join([first, '', *rest])}\n")
    assert "says nothing of any usage" in refused(format, f"{header}\n")


def test_a_sum_that_no_column_could_hold_is_refused() -> None:
    rows = f"2026-11-01,m,{'9' * 15}\n" * 10_000
    assert "makes input_tokens more than 2^63 - 1" in refused(INVOICE_FORMAT_GENERIC, f"day,model,input_tokens\n{rows}")


def test_more_models_than_can_be_kept_apart_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(invoices, "MOST_LINES", 3)
    rows = "".join(f"2026-11-01,m{number},1\n" for number in range(4))
    assert "line 5: is of more than 3 days and models" in refused(
        INVOICE_FORMAT_GENERIC, f"day,model,input_tokens\n{rows}"
    )


@pytest.mark.parametrize("format", [0, 99])
def test_a_format_that_there_is_not_is_refused(format: int) -> None:
    with pytest.raises(TollwayError, match="none of INVOICE_FORMAT_OPENAI, "):
        Invoice(InvoiceFormat.ValueType(format))


def test_an_export_of_any_size_takes_the_same_memory() -> None:
    header, row = HEADERS[INVOICE_FORMAT_OPENAI]

    def peak(pieces: Iterator[bytes]) -> int:
        invoice = Invoice(INVOICE_FORMAT_OPENAI)
        tracemalloc.start()
        for piece in pieces:
            invoice.read("export.csv", piece)
        invoice.end()
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    def export(size: int) -> Iterator[bytes]:
        yield f"{header},note\n".encode()
        line = f"{row},{'n' * 4000}\n".encode()
        for _ in range(size // (16 * len(line))):
            yield line * 16

    assert peak(export(100 * 2**20)) < peak(export(2**20)) + 2**16
