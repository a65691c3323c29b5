"""Providers' usage exports, summed by day and model.

Columns are found by their names in the header, in any order, and others are passed over. Exports as they are known:

- OpenAI, usage of completions (platform.openai.com, Usage, Export; the same fields as the Completions Usage API, one
  bucket and group a row): `start_time` and `end_time` in Unix seconds with `_iso` beside them, `num_model_requests`,
  `model`, `input_tokens` (cached ones included), `output_tokens`, `input_cached_tokens`. Buckets without usage are rows
  without values.
- OpenAI, costs (the same place; the fields of the Costs API): `start_time`, `amount_value`, `amount_currency`,
  `line_item`, which is empty, or a model with what of it was used behind a comma (`gpt-4o-2024-08-06, input`).
- Anthropic, usage (console, Usage, Export): `usage_date_utc`, `model_version`, `usage_input_tokens_no_cache`,
  `usage_input_tokens_cache_write_5m` and `_1h` (one column without either, earlier), `usage_input_tokens_cache_read`,
  `usage_output_tokens`.
- Anthropic, cost (console, Cost, Export): `usage_date_utc`, `model` (as people call it: `Claude Haiku 4.5`),
  `token_type`, `cost_usd`.
- Any other, brought into this shape: `day`, `model`, and one or more of `requests`, `input_tokens`,
  `cached_input_tokens`, `cache_write_tokens`, `output_tokens`, `cost_usd`; with `currency`, if wanted.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Context, Decimal, InvalidOperation
from functools import lru_cache
from typing import NamedTuple

from mesh.errors import invalid
from services.ledger.domain.csv_records import Record, Records
from tollway.ledger.v1.invoice_pb2 import (
    INVOICE_FORMAT_ANTHROPIC,
    INVOICE_FORMAT_GENERIC,
    INVOICE_FORMAT_OPENAI,
    InvoiceFormat,
    InvoiceSums,
)

MOST_LINES = 200_000
"""Days times models that are kept apart."""
_MOST = 2**63 - 1
_MOST_USD = Decimal(10**9)
_COST = "cost_nanos"
_NANO = Decimal(10**9)
# Exports have thirty decimals and more; nothing is rounded before everything is added up.
_EXACT = Context(prec=100, rounding=ROUND_HALF_EVEN)
_whole = re.compile(r"\d{1,15}(?:\.0*)?").fullmatch


class Place(NamedTuple):
    """A day in UTC, as `2026-11-20`, and a model in the provider's words; empty where that is not said."""

    day: str
    model: str


@dataclass(frozen=True, slots=True)
class _Shape:
    """Which columns say what. Each figure is the sum of its columns, of which those that `must` be there are."""

    day: tuple[str, ...]
    """The first of these that there is."""
    model: str
    figures: Mapping[str, tuple[str, ...]]
    must: tuple[str, ...]
    currency: str = ""
    model_may_miss: bool = False


_OPENAI_USAGE = _Shape(
    ("start_time", "start_time_iso"),
    "model",
    {
        "requests": ("num_model_requests",),
        "input_tokens": ("input_tokens",),
        "cached_input_tokens": ("input_cached_tokens",),
        "output_tokens": ("output_tokens",),
    },
    ("model", "input_tokens", "output_tokens"),
)
_OPENAI_COSTS = _Shape(
    ("start_time", "start_time_iso"), "line_item", {_COST: ("amount_value",)}, (), "amount_currency", True
)
_WRITTEN = (
    "usage_input_tokens_cache_write_5m",
    "usage_input_tokens_cache_write_1h",
    "usage_input_tokens_cache_write",
)
_ANTHROPIC_USAGE = _Shape(
    ("usage_date_utc",),
    "model_version",
    {
        "input_tokens": ("usage_input_tokens_no_cache", "usage_input_tokens_cache_read", *_WRITTEN),
        "cached_input_tokens": ("usage_input_tokens_cache_read",),
        "cache_write_tokens": _WRITTEN,
        "output_tokens": ("usage_output_tokens",),
    },
    ("model_version", "usage_input_tokens_no_cache", "usage_output_tokens"),
)
_ANTHROPIC_COST = _Shape(("usage_date_utc",), "model", {_COST: ("cost_usd",)}, ("model",))
_GENERIC = _Shape(
    ("day", "date"),
    "model",
    {name: (name,) for name in InvoiceSums.DESCRIPTOR.fields_by_name if name != _COST} | {_COST: ("cost_usd",)},
    ("model",),
    "currency",
)


def _shape(format: InvoiceFormat.ValueType, header: frozenset[str]) -> _Shape:
    if format == INVOICE_FORMAT_OPENAI:
        return _OPENAI_COSTS if "amount_value" in header else _OPENAI_USAGE
    if format == INVOICE_FORMAT_ANTHROPIC:
        return _ANTHROPIC_COST if "cost_usd" in header else _ANTHROPIC_USAGE
    return _GENERIC


class Invoice:
    """What an export's files say, read in pieces. Methods raise TollwayError INVALID_REQUEST naming what is wrong."""

    def __init__(self, format: InvoiceFormat.ValueType) -> None:
        if format not in (INVOICE_FORMAT_OPENAI, INVOICE_FORMAT_ANTHROPIC, INVOICE_FORMAT_GENERIC):
            names = ", ".join(InvoiceFormat.keys()[1:])
            raise invalid("format", f"{format} is none of {names}")
        self._format = format
        self._sums: dict[Place, dict[str, int | Decimal]] = {}
        self._file: _File | None = None
        self._currency = ""
        self.records = 0
        """Lines that were read, headers apart."""

    def read(self, file_name: str, chunk: bytes) -> None:
        """The next piece. Another file name than before begins another file."""
        if self._file is None or self._file.records.name != file_name:
            self._end_file()
            self._file = _File(file_name)
        for record in self._file.records.feed(chunk):
            self._take(self._file, record)

    def end(self) -> None:
        """There are no more pieces."""
        if self._file is None:
            raise invalid("chunk", "must be given: there is no export")
        self._end_file()
        if not self._sums:
            raise invalid("chunk", "says nothing of any usage: there is nothing to compare")

    def sums(self) -> dict[Place, InvoiceSums]:
        """What it came to. What no file says is absent."""
        return {place: InvoiceSums(**_rounded(figures)) for place, figures in self._sums.items()}

    def _end_file(self) -> None:
        if self._file is None:
            return
        for record in self._file.records.end():
            self._take(self._file, record)
        if self._file.shape is None:
            raise invalid("chunk", f"{self._file.records.name} is empty")

    def _take(self, file: _File, record: Record) -> None:
        if file.shape is None:
            file.begin(record, self._format)
            return
        self.records += 1
        if len(record.cells) != file.width:
            words = f"has {len(record.cells)} cells, and the header {file.width}: it is cut off, or not of this file"
            raise file.records.wrong(record.line, words)
        figures = {
            name: value
            for name, columns in file.columns.items()
            if (value := self._figure(file, record, name, columns)) is not None
        }
        if not figures:
            return  # a bucket without usage
        place = Place(file.day(record), file.model(record))
        there = self._sums.get(place)
        if there is None:
            if len(self._sums) == MOST_LINES:
                raise file.records.wrong(record.line, f"is of more than {MOST_LINES:,} days and models")
            there = self._sums[place] = {}
        for name, value in figures.items():
            there[name] = _added(there.get(name, 0), value)
            if there[name] > _MOST:
                raise file.records.wrong(record.line, f"makes {name} more than 2^63 - 1")

    def _figure(self, file: _File, record: Record, name: str, columns: Mapping[str, int]) -> int | Decimal | None:
        """The sum of the columns' cells; None where all of them are empty."""
        total: int | Decimal | None = None
        for column, index in columns.items():
            if not (text := record.cells[index].strip()):
                continue
            try:
                value = _amount(text) if name == _COST else _count(text)
            except ValueError as error:
                raise file.records.wrong(record.line, f"{column} {text[:40]!r} {error}") from None
            total = value if total is None else _added(total, value)
        if name == _COST and total is not None:
            self._check_currency(file, record)
        return total

    def _check_currency(self, file: _File, record: Record) -> None:
        currency = file.cell(record, file.currency).upper() or "USD"
        if self._currency and currency != self._currency:
            words = f"is in {currency[:10]}, and others are in {self._currency}: currencies cannot be added up"
            raise file.records.wrong(record.line, words)
        if currency != "USD":
            raise file.records.wrong(record.line, f"is in {currency[:10]}; what is booked is in USD")
        self._currency = currency


class _File:
    """One file of an export. `shape` and what follows from it is known once its header is."""

    def __init__(self, name: str) -> None:
        self.records = Records(name)
        self.shape: _Shape | None = None
        self.width = 0
        self.columns: dict[str, dict[str, int]] = {}
        """By figure, the index of each column that adds to it."""
        self.currency: int | None = None
        self._day = 0
        self._model: int | None = None
        self._is_line_item = False

    def begin(self, header: Record, format: InvoiceFormat.ValueType) -> None:
        """Takes the names of the columns. Names those that are missing."""
        at = {name.strip().lower(): index for index, name in reversed(list(enumerate(header.cells)))}
        shape = _shape(format, frozenset(at))
        day = next((name for name in shape.day if name in at), None)
        missing = [] if day else [shape.day[0]]
        missing += [name for name in shape.must if name not in at]
        columns = {figure: {name: at[name] for name in names if name in at} for figure, names in shape.figures.items()}
        if not any(columns.values()) and not missing:
            missing = ["/".join(name for names in shape.figures.values() for name in names)]
        if missing or day is None:
            raise self.records.wrong(header.line, f"the header has no {', '.join(missing)}")
        self.shape, self.width = shape, len(header.cells)
        self.columns = {figure: indices for figure, indices in columns.items() if indices}
        self.currency, self._day, self._model = at.get(shape.currency), at[day], at.get(shape.model)
        self._is_line_item = shape.model_may_miss

    def cell(self, record: Record, index: int | None) -> str:
        return "" if index is None else record.cells[index].strip()

    def day(self, record: Record) -> str:
        try:
            return day_of(record.cells[self._day].strip())
        except (ValueError, OverflowError, OSError):
            raise self.records.wrong(
                record.line, f"{record.cells[self._day][:40]!r} is no day such as 2026-11-20, nor a Unix time"
            ) from None

    def model(self, record: Record) -> str:
        model = self.cell(record, self._model)
        if self._is_line_item:
            return model.partition(", ")[0]
        if not model:
            raise self.records.wrong(record.line, "has usage of no model")
        return model


@lru_cache(maxsize=4096)
def day_of(text: str) -> str:
    """The day in UTC of a date, a time in ISO 8601 (in UTC where it says no zone) or a Unix time. Raises ValueError."""
    if text.isascii() and text.isdigit() and len(text) > 8:
        moment = datetime.fromtimestamp(int(text), UTC)
    else:
        moment = datetime.fromisoformat(text)
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    if moment.year < 2000:
        raise ValueError(f"{text} is before 2000")
    return moment.strftime("%Y-%m-%d")


def _count(text: str) -> int:
    """Raises ValueError saying what it is not."""
    if _whole(text):
        return int(text.partition(".")[0])
    raise ValueError("is negative" if text.startswith("-") else "is not a whole number")


def _amount(text: str) -> Decimal:
    """US dollars. Raises ValueError saying what it is not."""
    try:
        amount = Decimal(text)
    except InvalidOperation:
        raise ValueError("is not an amount such as 12.34") from None
    if not amount.is_finite() or amount > _MOST_USD:
        raise ValueError("is not an amount such as 12.34")
    if amount < 0:
        raise ValueError("is negative: a credit is no usage, and has to be taken out")
    return amount


def _added(one: int | Decimal, other: int | Decimal) -> int | Decimal:
    return one + other if isinstance(other, int) else _EXACT.add(Decimal(one), other)


def _rounded(figures: Mapping[str, int | Decimal]) -> dict[str, int]:
    return {
        name: int(value) if isinstance(value, int) else int(_EXACT.to_integral_value(_EXACT.multiply(value, _NANO)))
        for name, value in figures.items()
    }
