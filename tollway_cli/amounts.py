"""Reading the amounts of money people type."""

from __future__ import annotations

from mesh.money import MOST_COST_NANOS, NANOS_PER_USD, parse_usd


def parse_amount(text: str) -> int:
    """Nano-USD of an amount such as `$5.00`. Raises ValueError for anything else, and for more than a billion dollars,
    which neither an attempt nor a budget may come to."""
    nanos = parse_usd(text)
    if nanos > MOST_COST_NANOS:
        raise ValueError(f"{text!r} is more than ${MOST_COST_NANOS // NANOS_PER_USD:,}")
    return nanos
