"""The catalogue that comes with genai-prices, read as prices of ours.

Importing it takes a tenth of a second and twenty megabytes that are never given back, so a ledger has it read by a
process of its own that ends: this module, run as a program, takes what is wanted as JSON on its standard input, and
writes what it found to its standard output. `catalogue` is the other side.

How the package keeps prices: https://github.com/pydantic/genai-prices (`prices/`, one file a provider). A model has one
set of prices, or several that begin at dates or hold at times of the day; each amount is one number, or one that others
replace above a size of the prompt. Variants replace amounts for a service tier, for batches, or for what only their
provider knows.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, time
from decimal import ROUND_HALF_EVEN, Decimal
from importlib.metadata import version

from genai_prices.data import providers
from genai_prices.data_snapshot import DataSnapshot, find_provider_by_id
from genai_prices.types import (
    ModelInfo,
    ModelPrice,
    PriceContext,
    Provider,
    StartDateConstraint,
    TieredPrices,
    TimeOfDateConstraint,
)
from google.protobuf.json_format import MessageToDict

from services.ledger.domain.catalogue import Found, Wanted
from tollway.ledger.v1.ledger_pb2 import ContextTier, Price, Rates, ServiceTier

_CATALOGUE = DataSnapshot(providers, from_auto_update=False)
_NANOS = 10**9
_AMOUNTS = {
    "input_mtok": "input_nanos_per_1m",
    "output_mtok": "output_nanos_per_1m",
    "cache_read_mtok": "cached_input_nanos_per_1m",
    "cache_write_mtok": "cache_write_nanos_per_1m",
    "cache_write_1h_mtok": "cache_write_1h_nanos_per_1m",
    "output_reasoning_mtok": "reasoning_nanos_per_1m",
    "input_audio_mtok": "input_audio_nanos_per_1m",
    "output_audio_mtok": "output_audio_nanos_per_1m",
    "input_image_mtok": "input_image_nanos_per_1m",
    "output_image_mtok": "output_image_nanos_per_1m",
}
"""What is counted here of what they price. Hours, pages, searches and moving pictures are not."""
_TIERS = {"service_tier": None, "processing": "batch", "speed": "fast"}
"""What variants are chosen by, and the one value that is of interest; None: each is a service tier's name."""
_KNOWN_BY_NAME = {
    "bedrock": "aws",
    "gemini": "google",
    "moonshot": "moonshotai",
    "vertex": "google",
    "xai": "x-ai",
}
"""Names that providers usually have in configurations, where the catalogue calls them otherwise."""
_ALWAYS = datetime(1970, 1, 1, tzinfo=UTC)


def look_up(wanted: Iterable[Wanted]) -> Found:
    """What the catalogue says of these models."""
    found = Found([], [])
    for each in wanted:
        provider = _provider(each)
        if provider is None:
            if each.provider_name not in found.strangers:
                found.strangers.append(each.provider_name)
            continue
        model = provider.find_model(each.model_name, all_providers=providers)
        if model is not None and (prices := _prices(each, provider, model)):
            found.prices.append(prices)
    return found


def _provider(wanted: Wanted) -> Provider | None:
    if wanted.catalogue_id:
        return find_provider_by_id(providers, wanted.catalogue_id)
    try:
        return _CATALOGUE.find_provider(None, None, wanted.base_url)
    except LookupError:
        # By its exact name alone: `my-openai-stand-in` is none of OpenAI's.
        name = _KNOWN_BY_NAME.get(wanted.provider_name, wanted.provider_name)
        return next((provider for provider in providers if provider.id == name), None)


def _prices(wanted: Wanted, provider: Provider, model: ModelInfo) -> list[Price]:
    owner = next(each for each in providers if any(model is one for one in each.models))
    # A variant is what the model's own provider sells it at; another one that falls back to it need not.
    variants = _variants(model) if owner is provider else {}
    entry = f"genai-prices {version('genai-prices')}: {owner.id}/{model.id}"
    made: list[Price] = []
    for moment in _changes(model):
        standard = _dearest(model, moment, {})
        price = _price(standard, {name: _dearest(model, moment, context) for name, context in variants.items()})
        if price is None or (made and _same(made[-1], price)):
            continue
        price.provider_name, price.model_name = wanted.provider_name, wanted.model_name
        price.max_context_tokens = model.context_window or 0
        price.catalogue_entry = entry
        price.effective_time.FromDatetime(moment)
        made.append(price)
    return made


def _changes(model: ModelInfo) -> Sequence[datetime]:
    """When the model's prices change, beginning with the beginning."""
    conditional = [] if isinstance(model.prices, ModelPrice) else model.prices
    constraints = [each.constraint for each in (*conditional, *(model.price_variants or ()))]
    dates = {constraint.start_date for constraint in constraints if isinstance(constraint, StartDateConstraint)}
    return [_ALWAYS, *(_midnight(day) for day in sorted(dates))]


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def _dearest(model: ModelInfo, day: datetime, context: PriceContext) -> ModelPrice:
    """What holds on a day; where that depends on the time, what is the dearest: a budget had better be kept."""
    conditional = [] if isinstance(model.prices, ModelPrice) else model.prices
    constraints = [each.constraint for each in (*conditional, *(model.price_variants or ()))]
    times = {each.start_time for each in constraints if isinstance(each, TimeOfDateConstraint)}
    moments = [day, *(datetime.combine(day.date(), at if at.tzinfo else at.replace(tzinfo=UTC)) for at in times)]
    held = [model.get_prices(moment, context) for moment in moments]
    return max(held, key=lambda prices: (_amount(prices, "input_mtok", 0), _amount(prices, "output_mtok", 0)))


def _variants(model: ModelInfo) -> dict[str, dict[str, str]]:
    """What tells variants apart that are service tiers, by the tier's name."""
    found: dict[str, dict[str, str]] = {}
    for variant in model.price_variants or ():
        if len(variant.when) != 1:
            continue
        ((key, value),) = variant.when.items()
        if key in _TIERS and _TIERS[key] in (None, value):
            found.setdefault(value, {key: value})
    return found


def _price(standard: ModelPrice, variants: Mapping[str, ModelPrice]) -> Price | None:
    """The price; None where nothing that is counted here has one, which is not the same as being free."""
    if not any(getattr(standard, name, None) is not None for name in ("input_mtok", "output_mtok", "requests_kcount")):
        return None
    price = Price(context_tiers=_context_tiers(standard))
    for name, nanos in _amounts(standard, 0).items():
        setattr(price, name, nanos)
    requests = getattr(standard, "requests_kcount", None)
    if isinstance(requests, Decimal):
        price.request_nanos = _nanos(requests / 1000)
    for name, prices in variants.items():
        if prices != standard:
            rates = Rates(**_amounts(prices, 0))
            price.service_tiers.append(ServiceTier(name=name, rates=rates, context_tiers=_context_tiers(prices)))
    return price


def _context_tiers(prices: ModelPrice) -> list[ContextTier]:
    tiered = [value for value in prices.__dict__.values() if isinstance(value, TieredPrices)]
    sizes = sorted({tier.start for value in tiered for tier in value.tiers})
    return [ContextTier(above_input_tokens=size, rates=Rates(**_amounts(prices, size + 1))) for size in sizes]


def _amounts(prices: ModelPrice, prompt: int) -> dict[str, int]:
    """The amounts that hold for a prompt of so many tokens, by our names for them."""
    there = {ours: _amount(prices, theirs, prompt) for theirs, ours in _AMOUNTS.items()}
    return {ours: _nanos(amount) for ours, amount in there.items() if amount is not None}


def _amount(prices: ModelPrice, name: str, prompt: int) -> Decimal | None:
    value: Decimal | TieredPrices | None = prices.__dict__.get(name)
    if not isinstance(value, TieredPrices):
        return value
    reached = [tier.price for tier in value.tiers if prompt > tier.start]
    return reached[-1] if reached else value.base


def _nanos(usd: Decimal) -> int:
    return int((usd * _NANOS).quantize(Decimal(1), ROUND_HALF_EVEN))


def _same(one: Price, other: Price) -> bool:
    terms = Price()
    terms.CopyFrom(one)
    for name in ("provider_name", "model_name", "max_context_tokens", "catalogue_entry", "effective_time"):
        terms.ClearField(name)
    return terms == other


def _answer(found: Found) -> bytes:
    prices = [[MessageToDict(price, preserving_proto_field_name=True) for price in model] for model in found.prices]
    return json.dumps({"prices": prices, "strangers": found.strangers}).encode()


if __name__ == "__main__":
    os.nice(10)  # whoever asks has callers to serve
    sys.stdout.buffer.write(_answer(look_up(Wanted(*each) for each in json.load(sys.stdin.buffer))))
