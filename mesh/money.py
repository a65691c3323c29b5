"""Money: what an attempt costs, and how amounts are read and written. Amounts are whole nano-USD, never floats."""

from __future__ import annotations

import re

from tollway.chat.v1.chat_pb2 import Usage
from tollway.ledger.v1.ledger_pb2 import Price, Rates

NANOS_PER_USD = 1_000_000_000
MOST_COST_NANOS = 10**18
"""A billion dollars: no attempt costs more, and ten of them are within an int64."""
MOST_PRICE_NANOS = 10**14
"""A hundred thousand dollars: no million tokens costs more, and no request as such."""
PPM = 1_000_000
"""Millionths in one. Prices are per so many tokens, too."""


def charge(usage: Usage, price: Price) -> int | None:
    """What an attempt that used this is charged, in nano-USD.

    None where its counts contradict each other (they would come to less than nothing) or are absurd: it is unpriced.
    """
    cost = cost_nanos(usage, price)
    return cost if 0 <= cost <= MOST_COST_NANOS else None


def cost_nanos(usage: Usage, price: Price) -> int:
    """What `usage` costs at `price`, in nano-USD, rounded once, half to even.

    The sum over all tiers of tokens × nanos per 1M tokens, divided by 1M, and what the request costs itself; times the
    service tier's multiplier and one plus the markup, where there are any. Every token is in exactly one tier: cached
    reads, cache writes, audio and image are taken out of the input, reasoning, audio and image out of the output, and
    what remains is charged at the plain price. A tier without a price of its own is charged at the plain one.

    A service tier that the price does not name costs what the usual one does. A prompt of more tokens than a context
    tier begins above is charged at the rates of the largest such tier, and so is its answer, as providers bill.
    """
    rates: Price | Rates = price
    context_tiers, multiplier = price.context_tiers, PPM
    if usage.service_tier:
        for tier in price.service_tiers:
            if tier.name == usage.service_tier:
                if tier.HasField("rates"):
                    rates, context_tiers = tier.rates, tier.context_tiers
                else:
                    multiplier = tier.multiplier_ppm
                break
    for context in context_tiers:
        if usage.input_tokens > context.above_input_tokens:
            rates = context.rates
    total = _tokens(usage, rates) + price.request_nanos * PPM
    if multiplier == PPM and not price.markup_ppm:
        return _divide_half_even(total, PPM)
    return _divide_half_even(total * multiplier * (PPM + price.markup_ppm), PPM**3)


def _tokens(usage: Usage, rates: Price | Rates) -> int:
    """Tokens × nanos per 1M tokens."""
    plain_input, plain_output = rates.input_nanos_per_1m, rates.output_nanos_per_1m
    total = usage.input_tokens * plain_input + usage.output_tokens * plain_output
    # Each tier adds the difference between its own price and the plain one, so an unpriced tier needs no branch.
    if rates.HasField("cached_input_nanos_per_1m"):
        total += usage.cached_input_tokens * (rates.cached_input_nanos_per_1m - plain_input)
    write = rates.cache_write_nanos_per_1m if rates.HasField("cache_write_nanos_per_1m") else plain_input
    write_1h = rates.cache_write_1h_nanos_per_1m if rates.HasField("cache_write_1h_nanos_per_1m") else write
    total += (usage.cache_write_tokens - usage.cache_write_1h_tokens) * (write - plain_input)
    total += usage.cache_write_1h_tokens * (write_1h - plain_input)
    if rates.HasField("reasoning_nanos_per_1m"):
        total += usage.reasoning_tokens * (rates.reasoning_nanos_per_1m - plain_output)
    if rates.HasField("input_audio_nanos_per_1m"):
        total += usage.input_audio_tokens * (rates.input_audio_nanos_per_1m - plain_input)
    if rates.HasField("output_audio_nanos_per_1m"):
        total += usage.output_audio_tokens * (rates.output_audio_nanos_per_1m - plain_output)
    if rates.HasField("input_image_nanos_per_1m"):
        total += usage.input_image_tokens * (rates.input_image_nanos_per_1m - plain_input)
    if rates.HasField("output_image_nanos_per_1m"):
        total += usage.output_image_tokens * (rates.output_image_nanos_per_1m - plain_output)
    return total


def _divide_half_even(dividend: int, divisor: int) -> int:
    quotient, rest = divmod(dividend, divisor)
    twice = 2 * rest
    if twice > divisor or (twice == divisor and quotient % 2):
        return quotient + 1
    return quotient


def parse_usd(text: str) -> int:
    """Nano-USD of an amount such as `$5.00` or `0.0001`.

    Raises ValueError for anything else, and for more than nine decimal places.
    """
    match = re.fullmatch(r"\$?([0-9]{1,40})(?:\.([0-9]+))?", text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not an amount such as $5.00")
    decimals = (match[2] or "").rstrip("0")
    if len(decimals) > 9:
        raise ValueError(f"{text!r} has more than nine decimal places")
    return int(match[1]) * NANOS_PER_USD + int(decimals.ljust(9, "0"))


def format_usd(nanos: int) -> str:
    """The exact amount in US dollars, with two to nine decimal places and no sign for dollars: `0.00072`, `5.00`."""
    sign, whole = ("-", -nanos) if nanos < 0 else ("", nanos)
    dollars, rest = divmod(whole, NANOS_PER_USD)
    decimals = f"{rest:09d}".rstrip("0").ljust(2, "0")
    return f"{sign}{dollars}.{decimals}"
