"""How a price comes to be: its name, and whether it says anything new."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from mesh.prices import ANY, PriceBook
from tollway.ledger.v1.ledger_pb2 import Price


def effective_from(price: Price, unix_seconds: float) -> Price:
    """The price with the time it takes effect (its own, else the given one; in whole microseconds) and its version."""
    made = Price()
    made.CopyFrom(price)
    if not made.HasField("effective_time"):
        made.effective_time.FromMicroseconds(int(unix_seconds * 1_000_000))
    made.effective_time.nanos -= made.effective_time.nanos % 1000
    moment = datetime.fromtimestamp(made.effective_time.seconds, UTC).replace(
        microsecond=made.effective_time.nanos // 1000, tzinfo=None
    )
    made.version = f"{price.provider_name or ANY}/{price.model_name}@{moment.isoformat()}Z"
    return made


def same_terms(one: Price, other: Price) -> bool:
    """Whether two prices charge the same, whenever they take effect."""
    return _terms(one) == _terms(other)


def _terms(price: Price) -> Price:
    terms = Price()
    terms.CopyFrom(price)
    terms.ClearField("version")
    terms.ClearField("effective_time")
    return terms


def news(configured: Iterable[Price], book: PriceBook, unix_seconds: float) -> list[Price]:
    """Of the configured prices, those that differ from what is in force at that time, to take effect then.

    A model's first price holds from the beginning: what was called before the ledger first saw the configuration is
    not unpriced. Where the configuration names a model twice, the last one counts.
    """
    latest = {(price.provider_name, price.model_name): price for price in configured}
    made = []
    for (provider, model), price in latest.items():
        current = book.in_force(provider, model, unix_seconds)
        if current is None or not same_terms(current, price):
            made.append(effective_from(price, 0.0 if current is None else unix_seconds))
    return made
