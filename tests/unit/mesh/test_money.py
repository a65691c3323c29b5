from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.money import cost_nanos, format_usd, parse_usd
from tollway.chat.v1.chat_pb2 import Usage
from tollway.ledger.v1.ledger_pb2 import Price

tokens = st.integers(0, 10**9)
nanos = st.integers(0, 10**12)

INPUT_TIERS = {
    "cached_input_tokens": "cached_input_nanos_per_1m",
    "input_audio_tokens": "input_audio_nanos_per_1m",
    "input_image_tokens": "input_image_nanos_per_1m",
}
OUTPUT_TIERS = {
    "reasoning_tokens": "reasoning_nanos_per_1m",
    "output_audio_tokens": "output_audio_nanos_per_1m",
    "output_image_tokens": "output_image_nanos_per_1m",
}
WRITE, WRITE_1H = "cache_write_nanos_per_1m", "cache_write_1h_nanos_per_1m"
OPTIONAL = [*INPUT_TIERS.values(), *OUTPUT_TIERS.values(), WRITE, WRITE_1H]


@st.composite
def partitions(draw: st.DrawFn) -> dict[str, int]:
    """How many tokens are in each tier, none of them in two."""
    names = [*INPUT_TIERS, *OUTPUT_TIERS, "plain_input", "plain_output", "short_writes", "writes_1h"]
    return {name: draw(tokens) for name in names}


@st.composite
def prices(draw: st.DrawFn) -> Price:
    price = Price(input_nanos_per_1m=draw(nanos), output_nanos_per_1m=draw(nanos))
    for name in OPTIONAL:
        if draw(st.booleans()):
            setattr(price, name, draw(nanos))
    return price


def usage_of(parts: dict[str, int]) -> Usage:
    writes = parts["short_writes"] + parts["writes_1h"]
    tiers: dict[str, Any] = {name: parts[name] for name in (*INPUT_TIERS, *OUTPUT_TIERS)}
    return Usage(
        input_tokens=parts["plain_input"] + writes + sum(parts[name] for name in INPUT_TIERS),
        output_tokens=parts["plain_output"] + sum(parts[name] for name in OUTPUT_TIERS),
        cache_write_tokens=writes,
        cache_write_1h_tokens=parts["writes_1h"],
        **tiers,
    )


def tier(price: Price, name: str, otherwise: int) -> int:
    return int(getattr(price, name)) if price.HasField(name) else otherwise  # type: ignore[arg-type]  # any field's name


def exact(parts: dict[str, int], price: Price) -> Fraction:
    """The cost by definition: each tier's tokens at its own price."""
    plain_in, plain_out = price.input_nanos_per_1m, price.output_nanos_per_1m
    write = tier(price, WRITE, plain_in)
    total = parts["plain_input"] * plain_in + parts["plain_output"] * plain_out
    total += parts["short_writes"] * write + parts["writes_1h"] * tier(price, WRITE_1H, write)
    total += sum(parts[name] * tier(price, each, plain_in) for name, each in INPUT_TIERS.items())
    total += sum(parts[name] * tier(price, each, plain_out) for name, each in OUTPUT_TIERS.items())
    return Fraction(total, 10**6)


@given(partitions(), prices())
def test_every_token_is_charged_once_at_its_tier_and_the_sum_is_rounded_once(
    parts: dict[str, int], price: Price
) -> None:
    assert cost_nanos(usage_of(parts), price) == round(exact(parts, price))  # Fraction rounds half to even


@pytest.mark.parametrize(
    ("count", "cost"),
    [(499_999, 0), (500_000, 0), (500_001, 1), (1_500_000, 2), (2_500_000, 2), (3_500_000, 4)],
)
def test_half_a_nano_goes_to_the_even_neighbour(count: int, cost: int) -> None:
    assert cost_nanos(Usage(input_tokens=count), Price(input_nanos_per_1m=1)) == cost


@given(st.integers(0, 10**15), st.integers(0, 10**12))
def test_rounding_is_that_of_decimal_arithmetic(count: int, price: int) -> None:
    expected = (Decimal(count) * price / 10**6).quantize(Decimal(1), ROUND_HALF_EVEN)
    assert cost_nanos(Usage(output_tokens=count), Price(output_nanos_per_1m=price)) == int(expected)


def test_a_price_of_zero_is_a_price() -> None:
    price = Price(input_nanos_per_1m=10**6, cached_input_nanos_per_1m=0)
    assert cost_nanos(Usage(input_tokens=10, cached_input_tokens=4), price) == 6


def test_nothing_used_costs_nothing() -> None:
    assert cost_nanos(Usage(), Price(input_nanos_per_1m=10**9)) == 0


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("$5.00", 5_000_000_000),
        ("0.0001", 100_000),
        ("$0.000000001", 1),
        (" 12 ", 12_000_000_000),
        ("0", 0),
        ("9223372036.8547758070", 2**63 - 1),
    ],
)
def test_amounts_are_read_exactly(text: str, amount: int) -> None:
    assert parse_usd(text) == amount


@pytest.mark.parametrize("text", ["", "$", "-1", "1,000", "5 USD", "1e3", "$ 5", ".5", "5.", "0.0000000001", "١"])
def test_what_is_no_amount_is_refused_by_its_text(text: str) -> None:
    with pytest.raises(ValueError) as raised:
        parse_usd(text)
    assert repr(text) in str(raised.value)


@pytest.mark.parametrize(
    ("amount", "text"),
    [(0, "0.00"), (720_000, "0.00072"), (5_000_000_000, "5.00"), (1, "0.000000001"), (-1_500_000_000, "-1.50")],
)
def test_amounts_are_written_exactly(amount: int, text: str) -> None:
    assert format_usd(amount) == text


@given(st.integers(0, 10**40))
def test_what_is_written_reads_as_the_same(amount: int) -> None:
    assert parse_usd(format_usd(amount)) == amount
