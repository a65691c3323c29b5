"""How a price comes to be: its name, who says it, and whether it says anything new."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp

from mesh.prices import ANY, PriceBook, unix_seconds
from tollway.ledger.v1.ledger_pb2 import (
    PRICE_SOURCE_CATALOGUE,
    PRICE_SOURCE_CONFIGURED,
    PRICE_SOURCE_SET,
    Price,
    PriceSource,
)

_NO_TERMS = ("version", "effective_time", "source", "catalogue_entry", "catalogue_edition")


def own_price(price: Price, source: PriceSource.ValueType, at: float) -> Price:
    """A price that somebody set, with the time it takes effect: its own, else that Unix time. No catalogue says it."""
    made = _copy(price)
    made.source = source
    made.ClearField("catalogue_entry")
    made.ClearField("catalogue_edition")
    made.ClearField("markup_ppm")
    return effective_from(made, at)


def effective_from(price: Price, at: float) -> Price:
    """The price with the time it takes effect (its own, else the given one; in whole microseconds) and its version."""
    made = _copy(price)
    if not made.HasField("effective_time"):
        made.effective_time.FromMicroseconds(int(at * 1_000_000))
    made.effective_time.nanos -= made.effective_time.nanos % 1000
    made.version = _version(made)
    return made


def _version(price: Price) -> str:
    moment = datetime.fromtimestamp(price.effective_time.seconds, UTC).replace(
        microsecond=price.effective_time.nanos // 1000, tzinfo=None
    )
    edition = f"#{price.catalogue_edition}" if price.catalogue_edition else ""
    return f"{price.provider_name or ANY}/{price.model_name}@{moment.isoformat()}Z{edition}"


def same_terms(one: Price, other: Price) -> bool:
    """Whether two prices charge the same, whoever says them and whenever they take effect."""
    return _terms(one) == _terms(other)


def _terms(price: Price) -> Price:
    terms = _copy(price)
    for name in _NO_TERMS:
        terms.ClearField(name)  # type: ignore[arg-type]  # each is a field's name
    return terms


def news(configured: Iterable[Price], book: PriceBook, now: float) -> list[Price]:
    """What the configuration says that it did not say before, to take effect now; of what it no longer says, that.

    A model's first price holds from the beginning: what was called before the ledger first saw the configuration is
    not unpriced. A price that was set holds until the configuration changes what it says. Where the configuration names
    a model twice, the last one counts.
    """
    latest = {(price.provider_name, price.model_name): price for price in configured}
    made = []
    for key, price in latest.items():
        before = book.own(*key)
        said = [each for each in before if each.source != PRICE_SOURCE_SET]
        if not said or not same_terms(said[-1], price):
            made.append(own_price(price, PRICE_SOURCE_CONFIGURED, now if before else 0.0))
    for provider, model in book.owned - latest.keys():
        in_force = [each for each in book.own(provider, model) if unix_seconds(each.effective_time) <= now]
        if in_force and in_force[-1].source == PRICE_SOURCE_CONFIGURED and not in_force[-1].withdrawn:
            gone = Price(provider_name=provider, model_name=model, withdrawn=True)
            made.append(own_price(gone, PRICE_SOURCE_CONFIGURED, now))
    return made


def new_edition(found: Sequence[Price], book: PriceBook, now: float) -> list[Price]:
    """What the catalogue says of one model, where it is something else than it said before, as prices to add.

    `found` are its prices in the order in which they take effect. A model's first edition holds as far back as the
    catalogue goes. A later one does not reach back: what it says of now takes effect now.
    """
    provider, model = found[0].provider_name, found[0].model_name
    before = book.in_catalogue(provider, model)
    news = found if not before else _from(found, now)
    if before and _same_course(_from(before, now), news):
        return []
    edition = 1 + max((price.catalogue_edition for price in before), default=0)
    return [effective_from(_of_edition(price, edition), now) for price in news]


def withdrawn_editions(book: PriceBook, refused: Callable[[str], bool], now: float) -> list[Price]:
    """What takes the catalogue's prices away, from now on, of providers that are to have none of it any more."""
    made = []
    for provider, model in book.catalogued:
        last = book.in_catalogue(provider, model)[-1]
        if refused(provider) and not last.withdrawn:
            gone = Price(provider_name=provider, model_name=model, withdrawn=True)
            made.append(effective_from(_of_edition(gone, last.catalogue_edition + 1), now))
    return made


def _of_edition(price: Price, edition: int) -> Price:
    made = _copy(price)
    made.source = PRICE_SOURCE_CATALOGUE
    made.catalogue_edition = edition
    return made


def _from(prices: Sequence[Price], now: float) -> list[Price]:
    """What holds now, without the time since when, and what comes after it."""
    future = [price for price in prices if unix_seconds(price.effective_time) > now]
    past = prices[: len(prices) - len(future)]
    if not past:
        return future
    present = _copy(past[-1])
    present.ClearField("effective_time")
    return [present, *future]


def _same_course(one: Sequence[Price], other: Sequence[Price]) -> bool:
    return len(one) == len(other) and all(
        same_terms(this, that) and _when(this.effective_time) == _when(that.effective_time)
        for this, that in zip(one, other, strict=True)
    )


def _when(moment: Timestamp) -> int:
    return moment.ToMicroseconds()


def _copy(price: Price) -> Price:
    made = Price()  # a message that was sent is never written to
    made.CopyFrom(price)
    return made
