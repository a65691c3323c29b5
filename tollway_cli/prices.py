"""`tollway prices`: what models cost and who says so, and setting it."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
from google.protobuf.json_format import MessageToDict
from rich.markup import escape
from rich.table import Table

from mesh.config.load import read_price
from mesh.config.problems import ConfigError
from mesh.money import format_usd
from mesh.prices import PriceBook, format_percent, unix_seconds
from tollway.ledger.v1 import ledger_pb2 as pb
from tollway_cli.refusal import refuse
from tollway_cli.spend import span
from tollway_cli.terminal import console
from tollway_cli.times import parse_date

if TYPE_CHECKING:
    from tollway_cli.reading import Reading

_PAGE = 1000
_SOURCES = {
    pb.PRICE_SOURCE_CONFIGURED: "configured",
    pb.PRICE_SOURCE_SET: "set",
    pb.PRICE_SOURCE_CATALOGUE: "catalogue",
}
_SHORT = {
    "cached_input": "cached",
    "cache_write": "write",
    "cache_write_1h": "write 1h",
    "reasoning": "reasoning",
    "input_audio": "sound in",
    "output_audio": "sound out",
    "input_image": "picture in",
    "output_image": "picture out",
}


def in_use(book: PriceBook, now: float) -> list[pb.Price]:
    """The prices that hold, or will: by provider and model, in the order in which they take effect."""
    used: list[pb.Price] = []
    for course in [book.own(*key) for key in book.owned] + [book.in_catalogue(*key) for key in book.catalogued]:
        past = [price for price in course if unix_seconds(price.effective_time) <= now]
        used += (price for price in past[-1:] if not price.withdrawn)
        used += course[len(past) :]
    return sorted(used, key=_place)


def _place(price: pb.Price) -> tuple[str, str, int]:
    return price.provider_name, price.model_name, price.effective_time.ToMicroseconds()


def prices_table(prices: Iterable[pb.Price], markups: Sequence[pb.Markup]) -> Table:
    """Prices, one a row; amounts in USD per 1M tokens."""
    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    for name in ("provider", "model", "from (UTC)", "said by"):
        table.add_column(name, overflow="fold")
    for name in ("input", "output"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("and", overflow="fold")
    for price in prices:
        moment = price.effective_time.ToDatetime()
        amounts = (price.input_nanos_per_1m, price.output_nanos_per_1m)
        table.add_row(
            escape(price.provider_name) or "any",
            escape(price.model_name),
            moment.isoformat(" ", "minutes") if moment.timestamp() else "the beginning",
            price.catalogue_entry or _SOURCES.get(price.source, "–"),
            *(("", "") if price.withdrawn else map(format_usd, amounts)),
            "withdrawn" if price.withdrawn else escape("\n".join(_notes(price))),
        )
    for markup in markups:
        percent = format_percent(markup.ppm, signed=True)
        said = f"{percent} on all of this"
        table.add_row(escape(markup.provider_name), escape(markup.model_name), "", "configured", "", "", said)
    return table


def _notes(price: pb.Price) -> list[str]:
    notes = [_others(price)]
    notes += (f"above {tier.above_input_tokens:,}: {_rates(tier.rates)}" for tier in price.context_tiers)
    for tier in price.service_tiers:
        if not tier.HasField("rates"):
            notes.append(f"{tier.name}: {format_percent(tier.multiplier_ppm)}")
            continue
        notes.append(f"{tier.name}: {_rates(tier.rates)}")
        notes += (
            f"{tier.name} above {large.above_input_tokens:,}: {_rates(large.rates)}" for large in tier.context_tiers
        )
    if price.request_nanos:
        notes.append(f"each request {format_usd(price.request_nanos)}")
    return [note for note in notes if note]


def _rates(rates: pb.Rates) -> str:
    plain = f"{format_usd(rates.input_nanos_per_1m)} → {format_usd(rates.output_nanos_per_1m)}"
    return ", ".join(filter(None, (plain, _others(rates))))


def _others(rates: pb.Price | pb.Rates) -> str:
    """The amounts beside input and output."""
    there = {field.name: amount for field, amount in rates.ListFields() if field.has_presence}
    named = ((word, there.get(f"{name}_nanos_per_1m")) for name, word in _SHORT.items())
    return ", ".join(f"{word} {format_usd(amount)}" for word, amount in named if amount is not None)


def unpriced_table(groups: Iterable[pb.SpendGroup]) -> Table:
    """Models with unpriced attempts, one a row."""
    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    for name in ("provider", "model"):
        table.add_column(name, overflow="fold")
    table.add_column("unpriced", justify="right")
    table.add_column("of attempts", justify="right")
    for group in groups:
        provider, model = group.keys
        table.add_row(escape(provider), escape(model), f"{group.unpriced_attempts:,}", f"{group.attempts:,}")
    return table


def price_to_set(provider: str, model: str, terms: str, since: str) -> pb.Price:
    """The price that the arguments describe. Raises ConfigError or ValueError."""
    from services.ledger.settings import price_on_terms

    return _from(price_on_terms(provider, model, read_price(provider, model, terms)), since)


def _from(price: pb.Price, since: str) -> pb.Price:
    if since:
        try:
            price.effective_time.FromMicroseconds(round(parse_date(since) * 1_000_000))
        except ValueError as error:
            raise ValueError(f"--from {since!r} {error}") from None
    return price


def run_list(*, every: bool, as_json: bool, connect: str, key: str, data_dir: Path, config: Path | None) -> None:
    """Reads the ledger's prices, and prints them."""
    listed, markups = asyncio.run(_list(connect, key, data_dir, config))
    shown = listed if every else in_use(PriceBook(listed), datetime.now(UTC).timestamp())
    if as_json:
        for message in (*shown, *markups):
            sys.stdout.write(_json(message))
        return
    console().print(prices_table(shown, markups), markup=True)


async def _list(
    connect: str, key: str, data_dir: Path, config: Path | None
) -> tuple[list[pb.Price], Sequence[pb.Markup]]:
    from tollway_cli.reading import reading

    async with reading(connect, key, data_dir, config) as book:
        return await _all(book)


async def _all(book: Reading) -> tuple[list[pb.Price], Sequence[pb.Markup]]:
    page = await book.list_prices(pb.ListPricesRequest(page_size=_PAGE))
    found = list(page.prices)
    while page.next_page_token:
        page = await book.list_prices(pb.ListPricesRequest(page_size=_PAGE, page_token=page.next_page_token))
        found += page.prices
    return found, page.markups


def run_set(
    provider: str, model: str, terms: str, since: str, connect: str, key: str, data_dir: Path, config: Path | None
) -> None:
    """Sets a price, and says under which name."""
    try:
        price = price_to_set(provider, model, terms, since)
    except ConfigError as error:
        refuse("; ".join(f"{problem.path.removeprefix('prices[0].')} {problem.message}" for problem in error.problems))
    except ValueError as error:
        refuse(str(error))
    made = asyncio.run(_set(price, connect, key, data_dir, config))
    console().print(f"Set: {made.version}", highlight=False, markup=False)


def run_unset(
    provider: str, model: str, since: str, connect: str, key: str, data_dir: Path, config: Path | None
) -> None:
    """Withdraws a price, and says from when."""
    try:
        price = _from(pb.Price(provider_name=provider, model_name=model, withdrawn=True), since)
    except ValueError as error:
        refuse(str(error))
    made = asyncio.run(_withdraw(price, connect, key, data_dir, config))
    console().print(f"Withdrawn: {made.version}", highlight=False, markup=False)


async def _set(price: pb.Price, connect: str, key: str, data_dir: Path, config: Path | None) -> pb.Price:
    from tollway_cli.reading import reading

    async with reading(connect, key, data_dir, config, writable=True) as book:
        return (await book.set_price(pb.SetPriceRequest(price=price))).price


async def _withdraw(price: pb.Price, connect: str, key: str, data_dir: Path, config: Path | None) -> pb.Price:
    from tollway_cli.reading import reading

    async with reading(connect, key, data_dir, config, writable=True) as book:
        listed, _ = await _all(book)
        at = unix_seconds(price.effective_time) if price.HasField("effective_time") else time.time()
        if not _holds(PriceBook(listed), price.provider_name, price.model_name, at):
            refuse(
                f"{price.provider_name}/{price.model_name} has no price of its own to withdraw; "
                "`tollway prices` lists those that there are"
            )
        return (await book.set_price(pb.SetPriceRequest(price=price))).price


def _holds(book: PriceBook, provider: str, model: str, at: float) -> bool:
    """Whether a price for exactly this provider and model is in force at that Unix time."""
    past = [price for price in book.own(provider, model) if unix_seconds(price.effective_time) <= at]
    return bool(past) and not past[-1].withdrawn


def run_unpriced(since: str, *, as_json: bool, connect: str, key: str, data_dir: Path, config: Path | None) -> None:
    """Reads spend by model, and prints what of it has no price."""
    try:
        usage_filter = span(since, "", datetime.now(UTC))
    except ValueError as error:
        refuse(str(error))
    groups = asyncio.run(_unpriced(usage_filter, connect, key, data_dir, config))
    if as_json:
        for group in groups:
            sys.stdout.write(_json(group))
        return
    out = console()
    if not groups:
        out.print("Every call has a price.")
        return
    out.print(unpriced_table(groups))
    out.print(
        "`tollway prices set PROVIDER MODEL 'input: 0.10, output: 0.40'` sets one for calls to come.", markup=False
    )


async def _unpriced(
    usage_filter: pb.UsageFilter, connect: str, key: str, data_dir: Path, config: Path | None
) -> list[pb.SpendGroup]:
    from tollway_cli.reading import reading

    by = [pb.SPEND_DIMENSION_PROVIDER, pb.SPEND_DIMENSION_MODEL_USED]
    async with reading(connect, key, data_dir, config) as book:
        spent = await book.get_spend(pb.GetSpendRequest(filter=usage_filter, group_by=by))
    return [group for group in spent.groups if group.unpriced_attempts]


def _json(message: Any) -> str:
    return orjson.dumps(MessageToDict(message, preserving_proto_field_name=True)).decode() + "\n"
