"""How attempts become rows: forward only, each at most once, priced where a price is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from mesh.money import charge
from mesh.prices import PriceBook, unix_seconds
from services.ledger.domain.posting import Change
from tollway.ledger.v1.ledger_pb2 import (
    PROVENANCE_UNSETTLED,
    PROVENANCE_UNSPECIFIED,
    RECORD_OUTCOME_DUPLICATE,
    RECORD_OUTCOME_RECORDED,
    RECORD_OUTCOME_REFUSED,
    Attempt,
    RecordAttemptsResponse,
)


def needs_price(attempt: Attempt) -> bool:
    """Whether its tokens are known and its cost is not."""
    return attempt.HasField("usage") and not attempt.HasField("cost_nanos")


class Conflict(NamedTuple):
    """An attempt that came again with other content, and the names of the fields that differ."""

    sent: Attempt
    differs: tuple[str, ...]


class Booked(NamedTuple):
    """What becomes of a batch: the rows that change, at most one of each id, what is kept apart, and the answer."""

    changes: list[Change]
    conflicts: list[Conflict]
    answer: RecordAttemptsResponse


def book(sent: Sequence[Attempt], refusals: Sequence[str], booked: Mapping[str, Attempt], prices: PriceBook) -> Booked:
    """What becomes of the attempts that were sent.

    `refusals` says of each attempt why it cannot be booked (empty: it can), `booked` which rows there are. An attempt
    that is further than its row replaces it; any other changes nothing, whatever it says.
    """
    rows: dict[str, Attempt] = {}
    conflicts: list[Conflict] = []
    answer = RecordAttemptsResponse()
    add = answer.results.add
    for attempt, refusal in zip(sent, refusals, strict=True):
        identifier = attempt.attempt_id
        if refusal:
            add(attempt_id=identifier, outcome=RECORD_OUTCOME_REFUSED, message=refusal)
            continue
        row = rows.get(identifier, booked.get(identifier))
        if row is None or attempt.state > row.state:  # the states are numbered in the order they are gone through
            rows[identifier] = complete(attempt, prices)
            add(attempt_id=identifier, outcome=RECORD_OUTCOME_RECORDED)
            continue
        differs = contradictions(row, attempt)
        message = ""
        if differs:
            conflicts.append(Conflict(attempt, differs))
            message = f"kept as booked first, and this one apart: it differs in {', '.join(differs)}"
        add(attempt_id=identifier, outcome=RECORD_OUTCOME_DUPLICATE, message=message)
    return Booked([Change(booked.get(identifier), row) for identifier, row in rows.items()], conflicts, answer)


def complete(attempt: Attempt, prices: PriceBook) -> Attempt:
    """The attempt with what its sender left to us: its provenance where nothing is known, its cost where we can tell.

    The price is the one in force when the attempt started. Unknown, or when counts that contradict each other would
    make the cost negative, it stays unpriced: never zero.
    """
    unsettled = attempt.provenance == PROVENANCE_UNSPECIFIED
    price, cost = None, None
    if needs_price(attempt):
        price = prices.find(attempt.provider_name, attempt.model_used, unix_seconds(attempt.start_time))
        cost = charge(attempt.usage, price) if price else None
    if not unsettled and cost is None:
        return attempt
    completed = Attempt()  # a message that was sent is never written to
    completed.CopyFrom(attempt)
    if unsettled:
        completed.provenance = PROVENANCE_UNSETTLED
    if price and cost is not None:
        completed.cost_nanos, completed.price_version = cost, price.version
    return completed


def contradictions(row: Attempt, sent: Attempt) -> tuple[str, ...]:
    """The fields in which an attempt that came again says something else than its row.

    An attempt that is less far than its row knows less, and contradicts nothing.
    """
    if sent.state != row.state:
        return ()
    left_to_us = {"lease_ids"}  # rows do not keep them: what was charged to leases is
    if not sent.HasField("cost_nanos"):
        left_to_us |= {"cost_nanos", "price_version"}
    if sent.provenance == PROVENANCE_UNSPECIFIED:
        left_to_us.add("provenance")
    return tuple(
        field.name
        for field in Attempt.DESCRIPTOR.fields
        if field.name not in left_to_us and _said(row, field.name) != _said(sent, field.name)
    )


def _said(attempt: Message, field: str) -> object:
    value = getattr(attempt, field)
    if isinstance(value, Timestamp):
        return attempt.HasField(field), value.seconds, value.nanos // 1000  # rows keep microseconds
    return list(value) if field == "tags" else value
