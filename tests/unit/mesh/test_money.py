from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.money import MOST_COST_NANOS, charge, cost_nanos, format_usd, parse_usd
from tollway.chat.v1.chat_pb2 import Usage
from tollway.ledger.v1.ledger_pb2 import ContextTier, Price, Rates, ServiceTier

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


def _filled(draw: st.DrawFn, made: Any) -> Any:
    """The price or rates with amounts."""
    made.input_nanos_per_1m, made.output_nanos_per_1m = draw(nanos), draw(nanos)
    for name in OPTIONAL:
        if draw(st.booleans()):
            setattr(made, name, draw(nanos))
    return made


def _context_tiers(draw: st.DrawFn) -> list[ContextTier]:
    sizes = sorted(draw(st.sets(st.integers(1, 10**9), max_size=3)))
    return [ContextTier(above_input_tokens=size, rates=_filled(draw, Rates())) for size in sizes]


@st.composite
def prices(draw: st.DrawFn) -> Price:
    """By tokens alone."""
    return _filled(draw, Price())  # type: ignore[no-any-return]


SERVICE_TIERS = ("", "batch", "priority", "flex")


@st.composite
def tiered_prices(draw: st.DrawFn) -> Price:
    """With everything that a price can have."""
    price: Price = _filled(draw, Price(request_nanos=draw(nanos), context_tiers=_context_tiers(draw)))
    price.markup_ppm = draw(st.integers(-1_000_000, 10_000_000))
    for name in draw(st.sets(st.sampled_from(["batch", "priority"]))):
        tier = price.service_tiers.add(name=name)
        if draw(st.booleans()):
            tier.multiplier_ppm = draw(st.integers(1, 3_000_000))
        else:
            _filled(draw, tier.rates)
            tier.context_tiers.extend(_context_tiers(draw))
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


def tier(price: Price | Rates, name: str, otherwise: int) -> int:
    return int(getattr(price, name)) if price.HasField(name) else otherwise  # type: ignore[arg-type]  # any field's name


def exact(parts: dict[str, int], price: Price | Rates) -> Fraction:
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


def exact_by_tiers(parts: dict[str, int], service_tier: str, price: Price) -> Fraction:
    """The cost by definition: the rates that hold, the request, the multiplier, the markup."""
    named = {tier.name: tier for tier in price.service_tiers}.get(service_tier)
    own = named if named is not None and named.HasField("rates") else None
    rates: Price | Rates = price if own is None else own.rates
    prompt = usage_of(parts).input_tokens
    for context in price.context_tiers if own is None else own.context_tiers:
        rates = context.rates if prompt > context.above_input_tokens else rates
    multiplier = Fraction(named.multiplier_ppm, 10**6) if named is not None and own is None else 1
    return (exact(parts, rates) + price.request_nanos) * multiplier * (1 + Fraction(price.markup_ppm, 10**6))


@given(partitions(), st.sampled_from(SERVICE_TIERS), tiered_prices())
def test_the_rates_that_hold_are_those_of_the_service_tier_and_the_prompts_size_and_all_is_rounded_once(
    parts: dict[str, int], service_tier: str, price: Price
) -> None:
    usage = usage_of(parts)
    usage.service_tier = service_tier
    cost = cost_nanos(usage, price)
    assert cost == round(exact_by_tiers(parts, service_tier, price))
    assert cost >= 0, "counts that make sense never cost less than nothing"


@given(partitions(), tiered_prices(), st.sampled_from(["plain_output", "reasoning_tokens", "output_audio_tokens"]))
def test_a_longer_answer_never_costs_less(parts: dict[str, int], price: Price, name: str) -> None:
    longer = parts | {name: parts[name] + 1_000}
    assert cost_nanos(usage_of(longer), price) >= cost_nanos(usage_of(parts), price)


@given(partitions(), prices(), st.sampled_from(["plain_input", "cached_input_tokens", "short_writes", "writes_1h"]))
def test_a_longer_prompt_never_costs_less_where_large_ones_have_no_rates_of_their_own(
    parts: dict[str, int], price: Price, name: str
) -> None:
    longer = parts | {name: parts[name] + 1_000}
    assert cost_nanos(usage_of(longer), price) >= cost_nanos(usage_of(parts), price)


@given(partitions(), partitions(), prices())
def test_two_usages_cost_together_what_each_does_but_for_the_rounding(
    one: dict[str, int], other: dict[str, int], price: Price
) -> None:
    both = {name: one[name] + other[name] for name in one}
    apart = cost_nanos(usage_of(one), price) + cost_nanos(usage_of(other), price)
    assert abs(cost_nanos(usage_of(both), price) - apart) <= 1


SONNET = Price(
    input_nanos_per_1m=3_000_000_000, output_nanos_per_1m=15_000_000_000,
    cached_input_nanos_per_1m=300_000_000, cache_write_nanos_per_1m=3_750_000_000,
    cache_write_1h_nanos_per_1m=6_000_000_000,
    context_tiers=[ContextTier(above_input_tokens=200_000, rates=Rates(
        input_nanos_per_1m=6_000_000_000, output_nanos_per_1m=22_500_000_000,
        cached_input_nanos_per_1m=600_000_000, cache_write_nanos_per_1m=7_500_000_000,
        cache_write_1h_nanos_per_1m=12_000_000_000,
    ))],
    service_tiers=[ServiceTier(name="batch", multiplier_ppm=500_000)],
)  # fmt: skip


@pytest.mark.parametrize(
    ("usage", "usd"),
    [
        # Cache writes by lifetime: an hour costs 2x the input, five minutes 1.25x (litellm#38056, #27781).
        (Usage(input_tokens=100_000, cache_write_tokens=100_000), "0.375"),
        (Usage(input_tokens=100_000, cache_write_tokens=100_000, cache_write_1h_tokens=100_000), "0.60"),
        (Usage(input_tokens=100_000, cache_write_tokens=100_000, cache_write_1h_tokens=40_000), "0.465"),
        # The whole request costs the higher rates above 200k, cache writes and the answer too (Helicone#5766).
        (Usage(input_tokens=200_000), "0.60"),
        (Usage(input_tokens=200_001), "1.200006"),
        (Usage(input_tokens=200_001, cached_input_tokens=200_001), "0.1200006"),
        (Usage(input_tokens=250_000, cache_write_tokens=250_000, output_tokens=1_000), "1.8975"),
        (Usage(input_tokens=250_000, cache_write_tokens=250_000, cache_write_1h_tokens=250_000), "3.00"),
        (Usage(input_tokens=10, output_tokens=250_000), "3.75003"),
        # A batch is billed at half of whatever holds.
        (Usage(input_tokens=250_000, cache_write_tokens=250_000, output_tokens=1_000, service_tier="batch"), "0.94875"),
        (Usage(input_tokens=100_000, service_tier="standard"), "0.30"),
    ],
)
def test_a_model_is_billed_as_its_provider_does(usage: Usage, usd: str) -> None:
    assert format_usd(cost_nanos(usage, SONNET)) == usd


def test_what_a_provider_says_is_zero_is_zero_and_the_request_has_its_price_all_the_same() -> None:
    assert charge(Usage(), SONNET) == 0
    assert charge(Usage(), Price(request_nanos=7)) == 7


def test_a_discount_of_everything_leaves_nothing() -> None:
    assert charge(Usage(output_tokens=9), Price(output_nanos_per_1m=10**9, markup_ppm=-1_000_000)) == 0


@pytest.mark.parametrize(
    "usage",
    [
        Usage(input_tokens=1, cached_input_tokens=10**6),  # contradicts itself
        Usage(input_tokens=-1),
        Usage(output_tokens=2**63 - 1),
    ],
)
def test_counts_that_nobody_can_have_used_are_charged_nothing_but_left_unpriced(usage: Usage) -> None:
    assert charge(usage, SONNET) is None


def test_the_dearest_thing_there_is_can_be_charged() -> None:
    price = Price(output_nanos_per_1m=10**9)
    most = MOST_COST_NANOS // 10**3
    assert charge(Usage(output_tokens=most), price) == MOST_COST_NANOS
    assert charge(Usage(output_tokens=most + 1), price) is None


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
