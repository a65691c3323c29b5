"""Holds a provider's usage export against what was booked."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from mesh.errors import invalid
from mesh.mediator import StreamQuery
from services.ledger.domain.invoices import Invoice, Place
from services.ledger.domain.reconciliation import Booked, compare, total
from services.ledger.domain.validation import LONGEST_TEXT
from services.ledger.ports import Usage
from tollway.ledger.v1.invoice_pb2 import InvoiceSums, ReconcileInvoiceRequest, ReconcileInvoiceResponse
from tollway.ledger.v1.ledger_pb2 import (
    SPEND_DIMENSION_DAY,
    SPEND_DIMENSION_MODEL_USED,
    SpendGroup,
    UsageFilter,
)

LARGEST_PIECE = 2**20
"""Bytes. A piece is read in one go, and others wait meanwhile."""
_LINES_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class ReconcileInvoice(StreamQuery[ReconcileInvoiceResponse]):
    """The export in pieces; see ReconcileInvoiceRequest."""

    pieces: AsyncIterator[ReconcileInvoiceRequest]


async def reconcile_invoice(query: ReconcileInvoice, *, usage: Usage) -> AsyncIterator[ReconcileInvoiceResponse]:
    """Lines by day and model, and the last response `done` with their total.

    Raises TollwayError INVALID_REQUEST for an export that cannot be read, naming the file and the line.
    """
    invoice, providers = await _read(query.pieces)
    invoiced = invoice.sums()
    booked = await _booked(usage, providers, sorted({place.day for place in invoiced}))
    lines = compare(booked, invoiced)
    for start in range(0, len(lines), _LINES_AT_ONCE):
        yield ReconcileInvoiceResponse(lines=lines[start : start + _LINES_AT_ONCE])
    yield ReconcileInvoiceResponse(done=True, total=total(lines), records=invoice.records)


async def _read(pieces: AsyncIterator[ReconcileInvoiceRequest]) -> tuple[Invoice, Sequence[str]]:
    invoice, providers = None, list[str]()
    async for piece in pieces:
        if invoice is None:
            invoice, providers = Invoice(piece.format), list(piece.provider_names)
            for index, name in enumerate(providers):
                if not name or "\0" in name or len(name) > LONGEST_TEXT:
                    raise invalid(f"provider_names[{index}]", "must be a provider's name")
        if len(piece.chunk) > LARGEST_PIECE:
            raise invalid("chunk", f"is {len(piece.chunk)} bytes: send pieces of at most {LARGEST_PIECE}")
        invoice.read(piece.file_name or "the export", piece.chunk)
    if invoice is None:
        raise invalid("format", "must be given: the first message says whose export it is")
    invoice.end()
    return invoice, providers


async def _booked(usage: Usage, providers: Sequence[str], days: Sequence[str]) -> dict[Place, Booked]:
    """What attempts of those providers (none: of all) came to, from the first of the days to the last."""
    span = UsageFilter()
    span.start_time.FromDatetime(_midnight(days[0]))
    span.end_time.FromDatetime(_midnight(days[-1]) + timedelta(days=1))
    found: dict[Place, Booked] = {}
    for provider in dict.fromkeys(providers) or ("",):
        asked = UsageFilter(start_time=span.start_time, end_time=span.end_time, provider_name=provider)
        spend = await usage.spend(asked, (SPEND_DIMENSION_DAY, SPEND_DIMENSION_MODEL_USED))
        for group in spend.groups:
            if group.attempts > group.cache_hits:  # of answers out of the cache no provider knows
                _add(found, Place(*group.keys), group)
    return found


def _midnight(day: str) -> datetime:
    return datetime.combine(date.fromisoformat(day), datetime.min.time(), UTC)


def _add(found: dict[Place, Booked], place: Place, group: SpendGroup) -> None:
    there = found.setdefault(place, Booked(InvoiceSums()))
    sums = there.sums
    sums.requests += group.attempts - group.cache_hits
    sums.input_tokens += group.input_tokens
    sums.cached_input_tokens += group.cached_input_tokens
    sums.cache_write_tokens += group.cache_write_tokens
    sums.output_tokens += group.output_tokens
    sums.cost_nanos += group.cost_nanos
    there.unpriced += group.unpriced_attempts
    there.unsettled += group.unsettled_attempts
