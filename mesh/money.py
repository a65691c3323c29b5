"""Money: what an attempt costs, and how amounts are read and written. Amounts are whole nano-USD, never floats."""

from __future__ import annotations

import re

from tollway.chat.v1.chat_pb2 import Usage
from tollway.ledger.v1.ledger_pb2 import Price

NANOS_PER_USD = 1_000_000_000
_PER = 1_000_000


def cost_nanos(usage: Usage, price: Price) -> int:
    """What `usage` costs at `price`, in nano-USD, rounded once, half to even.

    The sum over all tiers of tokens × nanos per 1M tokens, divided by 1M. Every token is in exactly one tier: cached
    reads, cache writes, audio and image are taken out of the input, reasoning, audio and image out of the output, and
    what remains is charged at the plain price. A tier without a price of its own is charged at the plain one.
    """
    plain_input, plain_output = price.input_nanos_per_1m, price.output_nanos_per_1m
    total = usage.input_tokens * plain_input + usage.output_tokens * plain_output
    # Each tier adds the difference between its own price and the plain one, so an unpriced tier needs no branch.
    if price.HasField("cached_input_nanos_per_1m"):
        total += usage.cached_input_tokens * (price.cached_input_nanos_per_1m - plain_input)
    write = price.cache_write_nanos_per_1m if price.HasField("cache_write_nanos_per_1m") else plain_input
    write_1h = price.cache_write_1h_nanos_per_1m if price.HasField("cache_write_1h_nanos_per_1m") else write
    total += (usage.cache_write_tokens - usage.cache_write_1h_tokens) * (write - plain_input)
    total += usage.cache_write_1h_tokens * (write_1h - plain_input)
    if price.HasField("reasoning_nanos_per_1m"):
        total += usage.reasoning_tokens * (price.reasoning_nanos_per_1m - plain_output)
    if price.HasField("input_audio_nanos_per_1m"):
        total += usage.input_audio_tokens * (price.input_audio_nanos_per_1m - plain_input)
    if price.HasField("output_audio_nanos_per_1m"):
        total += usage.output_audio_tokens * (price.output_audio_nanos_per_1m - plain_output)
    if price.HasField("input_image_nanos_per_1m"):
        total += usage.input_image_tokens * (price.input_image_nanos_per_1m - plain_input)
    if price.HasField("output_image_nanos_per_1m"):
        total += usage.output_image_tokens * (price.output_image_nanos_per_1m - plain_output)
    return _divide_half_even(total, _PER)


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
