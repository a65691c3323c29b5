"""How an attempt's row is completed when the attempt has ended."""

from __future__ import annotations

from dataclasses import dataclass

from google.protobuf.timestamp_pb2 import Timestamp

from mesh.errors import Reason
from mesh.money import charge
from services.router.domain.usage import Counted
from tollway.ledger.v1.ledger_pb2 import (
    ATTEMPT_STATE_SETTLED,
    ATTEMPT_STATE_UNSETTLED,
    ATTEMPT_STATUS_CANCELLED,
    ATTEMPT_STATUS_OK,
    PROVENANCE_UNSETTLED,
    Attempt,
    AttemptStatus,
    Price,
)

_LONGEST_SAID = 256


@dataclass(frozen=True, slots=True)
class Ending:
    """How an attempt ended. `reason` is one of the error table's, empty for none."""

    status: AttemptStatus.ValueType
    reason: str = ""


OK = Ending(ATTEMPT_STATUS_OK)
CANCELLED = Ending(ATTEMPT_STATUS_CANCELLED, Reason.CANCELLED)


def set_time(moment: Timestamp, unix_seconds: float) -> None:
    """Writes a time into a message's field, in whole microseconds."""
    micros = round(unix_seconds * 1_000_000)
    moment.seconds = micros // 1_000_000
    moment.nanos = micros % 1_000_000 * 1000


def settle(row: Attempt, ending: Ending, counted: Counted, price: Price | None, *, heard: bool) -> None:
    """Writes into the row how it ended, what that took and, where the price is known, cost.

    A call whose provider was never heard of may or may not have reached it: its row says UNSETTLED, so that no row that
    says SETTLED is without its call.
    """
    row.state = ATTEMPT_STATE_SETTLED if heard else ATTEMPT_STATE_UNSETTLED
    row.status = ending.status
    row.error_reason = ending.reason
    row.provenance = counted.provenance
    if counted.usage is None:
        return
    row.usage.CopyFrom(counted.usage)
    if tier := counted.usage.service_tier:
        row.usage.service_tier = _text(tier)
    cost = None if price is None else charge(row.usage, price)
    if price is not None and cost is not None:
        row.cost_nanos = cost
        row.price_version = price.version


def note_upstream(row: Attempt, status: int, request_id: str) -> None:
    """Writes into the row what the provider's answer said about the call itself, where it said so."""
    row.upstream_status = status or row.upstream_status
    if request_id:
        row.upstream_request_id = _text(request_id)


def _text(said: str) -> str:
    # A provider can say anything; the ledger's columns cannot hold it.
    return said[:_LONGEST_SAID].replace("\0", "")


def unsettled(opened: Attempt) -> Attempt:
    """The row of an attempt whose router was lost before it ended."""
    row = Attempt()
    row.CopyFrom(opened)
    row.state = ATTEMPT_STATE_UNSETTLED
    row.provenance = PROVENANCE_UNSETTLED
    return row
