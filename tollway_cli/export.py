"""`tollway export`: single attempts as CSV or Parquet, a page at a time."""

from __future__ import annotations

import asyncio
import csv
import os
import sys
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor
from google.protobuf.timestamp_pb2 import Timestamp

from tollway.chat.v1 import chat_pb2
from tollway.ledger.v1 import ledger_pb2
from tollway_cli.refusal import refuse
from tollway_cli.spend import span

FORMATS = ("csv", "parquet")
_PAGE = 1000
_PREFIXES = {
    "AttemptState": "ATTEMPT_STATE_",
    "AttemptStatus": "ATTEMPT_STATUS_",
    "Provenance": "PROVENANCE_",
    "AttemptKind": "ATTEMPT_KIND_",
}
_LISTS = ("tags", "lease_ids")
_USAGE = tuple(name for name in chat_pb2.Usage.DESCRIPTOR.fields_by_name if name != "extra_json")

# Which leases an attempt named is not kept in its row.
_FIELDS = {name: field for name, field in ledger_pb2.Attempt.DESCRIPTOR.fields_by_name.items() if name != "lease_ids"}

Row = Mapping[str, Any]
Write = Callable[[Sequence[Row]], None]


def columns() -> list[str]:
    """The names of an export's columns: an attempt's fields, with its usage's in the place of `usage`."""
    names: list[str] = []
    for name in _FIELDS:
        names += _USAGE if name == "usage" else [name]
    return names


def row_of(attempt: ledger_pb2.Attempt) -> dict[str, Any]:
    """An attempt as a row. What is not known is None, never 0; times are in UTC, enums lower-case names."""
    row: dict[str, Any] = {}
    for name, field in _FIELDS.items():
        value = getattr(attempt, name)
        known = _is_known(attempt, field)
        if name == "usage":
            row |= {each: getattr(value, each) if known else None for each in _USAGE}
        elif not known:
            row[name] = None
        elif isinstance(value, Timestamp):
            row[name] = value.ToDatetime(UTC)
        elif field.enum_type is not None:
            row[name] = _word(field.enum_type, value)
        else:
            row[name] = list(value) if name in _LISTS else value
    return row


def _is_known(attempt: ledger_pb2.Attempt, field: FieldDescriptor) -> bool:
    if field.name == "response_time_ms":
        return attempt.HasField("end_time")
    if field.name == "upstream_status":
        return attempt.upstream_status != 0
    return not field.has_presence or attempt.HasField(field.name)  # type: ignore[arg-type] # any field


def _word(enum: EnumDescriptor, number: int) -> str:
    if not number:
        return "call" if enum.name == "AttemptKind" else ""
    return str(enum.values_by_number[number].name).removeprefix(_PREFIXES[enum.name]).lower()


@contextmanager
def csv_writer(out: TextIO) -> Iterator[Write]:
    """Writes a header and then rows: empty cells for what is not known, tags with spaces between them."""
    writer = csv.DictWriter(out, columns(), lineterminator="\n")
    writer.writeheader()

    def write(rows: Sequence[Row]) -> None:
        for row in rows:
            writer.writerow({name: _cell(value) for name, value in row.items()})

    yield write


def _cell(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, list):
        return " ".join(value)
    return str(value).lower() if isinstance(value, bool) else value


@contextmanager
def parquet_writer(path: Path) -> Iterator[Write]:
    """Writes a row group a page. Raises ImportError where pyarrow is not installed."""
    import pyarrow
    from pyarrow import parquet

    schema = pyarrow.schema([(name, _arrow_type(pyarrow, name)) for name in columns()])
    with parquet.ParquetWriter(path, schema, compression="zstd") as writer:

        def write(rows: Sequence[Row]) -> None:
            writer.write_table(pyarrow.Table.from_pylist(list(rows), schema=schema))

        yield write


def _arrow_type(pyarrow: Any, name: str) -> Any:
    fields = ledger_pb2.Attempt.DESCRIPTOR.fields_by_name
    field = fields[name] if name in fields else chat_pb2.Usage.DESCRIPTOR.fields_by_name[name]
    if name in _LISTS:
        return pyarrow.list_(pyarrow.string())
    if field.type == FieldDescriptor.TYPE_MESSAGE:
        return pyarrow.timestamp("us", tz="UTC")
    if field.type == FieldDescriptor.TYPE_BOOL:
        return pyarrow.bool_()
    return (
        pyarrow.int64() if field.type in (FieldDescriptor.TYPE_INT32, FieldDescriptor.TYPE_INT64) else pyarrow.string()
    )


def run_export(
    format: str, out: Path | None, since: str, until: str, connect: str, key: str, data_dir: Path, config: Path | None
) -> None:
    """Writes the file, whole or not at all, and says how many attempts are in it."""
    if format not in FORMATS:
        refuse(f"--format {format!r}: choose from {', '.join(FORMATS)}")
    if format == "parquet" and out is None:
        refuse("--format parquet needs a file: add --out attempts.parquet")
    try:
        usage_filter = span(since, until, datetime.now(UTC))
    except ValueError as error:
        refuse(str(error))
    pages = _pages(usage_filter, connect, key, data_dir, config)
    if out is None:
        try:
            with csv_writer(sys.stdout) as write:
                asyncio.run(_write(pages, write))
            sys.stdout.flush()
        except BrokenPipeError:  # whoever read it has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return
    beside = out.with_name(f"{out.name}.part")  # renamed at the end: half an export is not taken for a whole one
    try:
        with _writer(format, beside) as write:
            count = asyncio.run(_write(pages, write))
        beside.replace(out)
    except ImportError:
        refuse("--format parquet needs pyarrow, which is not installed: pip install 'tollway[parquet]', or take csv")
    except OSError as error:
        refuse(f"{out} cannot be written: {error.strerror or error}")
    finally:
        beside.unlink(missing_ok=True)
    sys.stderr.write(f"{count:,} attempts written to {out}\n")


@contextmanager
def _writer(format: str, path: Path) -> Iterator[Write]:
    if format == "parquet":
        with parquet_writer(path) as write:
            yield write
    else:
        with path.open("w", encoding="utf-8", newline="") as file, csv_writer(file) as write:
            yield write


async def _write(pages: AsyncGenerator[Sequence[ledger_pb2.Attempt]], write: Write) -> int:
    count = 0
    async with aclosing(pages):
        async for page in pages:
            write([row_of(attempt) for attempt in page])
            count += len(page)
    return count


async def _pages(
    usage_filter: ledger_pb2.UsageFilter, connect: str, key: str, data_dir: Path, config: Path | None
) -> AsyncGenerator[Sequence[ledger_pb2.Attempt]]:
    from tollway_cli.reading import reading

    async with reading(connect, key, data_dir, config) as source:
        request = ledger_pb2.ListUsageRequest(filter=usage_filter, page_size=_PAGE)
        while True:
            page = await source.list_usage(request)
            yield page.attempts
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token
