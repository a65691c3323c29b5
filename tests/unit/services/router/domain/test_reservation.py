from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.money import cost_nanos
from services.router.domain.expectation import Seen
from services.router.domain.reservation import (
    Amounts,
    Costs,
    Sizing,
    capped,
    client_cap,
    is_beyond_text,
    prompt_tokens,
    spoken_tokens,
    tokens_are_free,
)
from tests.unit.services.router.twins import chat
from tollway.chat.v1.chat_pb2 import (
    AudioPart,
    ChatRequest,
    ContentPart,
    Delta,
    FilePart,
    ImagePart,
    Message,
    ReasoningPart,
    ResponseFormat,
    SamplingOptions,
    ToolCall,
    ToolCallDelta,
    ToolDefinition,
    Usage,
)
from tollway.ledger.v1.ledger_pb2 import ContextTier, Price, Rates, ServiceTier

A_NANO_EACH = Costs(0, 1_000_000)
"""Every token of an answer costs a nano-dollar, and the question nothing."""


def of(*parts: ContentPart, **fields: object) -> ChatRequest:
    return ChatRequest(messages=[Message(content=parts)], **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("question", "tokens"),
    [
        (of(ContentPart(text="abcd")), 2),
        (of(ContentPart(text="äöü")), 3),
        (of(ContentPart(text="世界")), 3),
        (of(ContentPart(image=ImagePart(url="https://example.com/cat.png"))), 2_000),
        (of(ContentPart(audio=AudioPart(data=b"x" * 1000))), 2),
        (of(ContentPart(file=FilePart(data=b"x" * 1000))), 100),
        (of(ContentPart(reasoning=ReasoningPart(text="abcd", redacted=b"xy"))), 3),
        (of(ContentPart(extra_json=b'{"a":1}')), 4),
        (of(tools=[ToolDefinition(name="ab", description="cd", parameters_json=b"{}")]), 3),
        (of(response_format=ResponseFormat(schema_json=b"{}")), 1),
        (ChatRequest(messages=[Message(tool_calls=[ToolCall(name="ab", arguments="{}")])]), 2),
    ],
)
def test_a_prompt_is_reckoned_on_the_safe_side(question: ChatRequest, tokens: int) -> None:
    assert prompt_tokens(question) == tokens + 4


def test_what_is_said_is_reckoned_on_the_safe_side() -> None:
    delta = Delta(text="abc", refusal="d", reasoning=ReasoningPart(text="ef"), extra_json=b"{}")
    delta.tool_calls.append(ToolCallDelta(name="gh", arguments="ij"))
    assert spoken_tokens([delta, Delta(text="k")]) == 7


tokens = st.integers(0, 10**6)
amounts = st.integers(0, 10**12)
tier_names = st.sampled_from(["priority", "flex"])
rates = st.builds(
    Rates,
    input_nanos_per_1m=amounts,
    output_nanos_per_1m=amounts,
    reasoning_nanos_per_1m=st.none() | amounts,
    cache_write_nanos_per_1m=st.none() | amounts,
    cached_input_nanos_per_1m=st.just(0),
)
context_tiers = st.builds(ContextTier, above_input_tokens=tokens, rates=rates)
prices = st.builds(
    Price,
    input_nanos_per_1m=st.integers(0, 10**12),
    output_nanos_per_1m=st.integers(0, 10**12),
    reasoning_nanos_per_1m=st.none() | st.integers(0, 10**12),
    cache_write_nanos_per_1m=st.none() | st.integers(0, 10**12),
    cache_write_1h_nanos_per_1m=st.none() | st.integers(0, 10**12),
    cached_input_nanos_per_1m=st.just(0),
    input_audio_nanos_per_1m=st.none() | amounts,
    output_audio_nanos_per_1m=st.none() | amounts,
    request_nanos=amounts,
    context_tiers=st.lists(context_tiers, max_size=2),
    service_tiers=st.lists(
        st.builds(ServiceTier, name=tier_names, multiplier_ppm=st.integers(1, 10**8))
        | st.builds(ServiceTier, name=tier_names, rates=rates, context_tiers=st.lists(context_tiers, max_size=2)),
        max_size=2,
        unique_by=lambda tier: tier.name,
    ),
    markup_ppm=st.integers(-(10**6), 10**7),
)
shares = st.floats(0, 1)


@given(prices, tokens, shares, tokens, shares, shares, shares, tier_names, st.booleans())
def test_no_call_of_such_a_size_costs_more(
    price: Price,
    most: int,
    share: float,
    said: int,
    thought: float,
    written: float,
    kept: float,
    tier: str,
    tiered: bool,
) -> None:
    """Whatever of the prompt there really was, and whether or not the provider had room in its service tier."""
    prompt = int(most * share)
    usage = Usage(input_tokens=prompt, output_tokens=said, reasoning_tokens=int(said * thought))
    usage.cache_write_tokens = int(prompt * written)
    usage.cache_write_1h_tokens = int(usage.cache_write_tokens * kept)
    usage.service_tier = tier if tiered else ""
    cost = cost_nanos(usage, price)
    assert cost <= Costs.at(price, most, tier).of(said)
    assert cost <= Costs.at(price, most, "auto").of(said)


@given(prices, tokens, tokens, shares, shares)
def test_no_call_with_sound_costs_more(price: Price, prompt: int, said: int, heard: float, spoken: float) -> None:
    usage = Usage(input_tokens=prompt, output_tokens=said)
    usage.input_audio_tokens, usage.output_audio_tokens = int(prompt * heard), int(said * spoken)
    assert cost_nanos(usage, price) <= Costs.at(price, prompt, beyond_text=True).of(said)


def test_a_service_tier_that_nobody_asked_for_is_not_reserved() -> None:
    tiers = [ServiceTier(name="priority", multiplier_ppm=2_000_000), ServiceTier(name="flex", multiplier_ppm=500_000)]
    price = Price(input_nanos_per_1m=10**6, output_nanos_per_1m=2 * 10**6, request_nanos=7, service_tiers=tiers)
    assert Costs.at(price, 10) == Costs.at(price, 10, "flex") == Costs.at(price, 10, "default") == Costs(17, 2 * 10**6)
    assert Costs.at(price, 10, "priority") == Costs.at(price, 10, "auto") == Costs(34, 4 * 10**6)


@pytest.mark.parametrize(
    ("question", "beyond"),
    [
        (of(ContentPart(text="a")), False),
        (of(ContentPart(text="a"), modalities=["text"]), False),
        (of(ContentPart(text="a"), modalities=["text", "audio"]), True),
        (of(ContentPart(text="a"), ContentPart(image=ImagePart(url="https://example.com/cat.png"))), True),
        (of(ContentPart(audio=AudioPart(data=b"x"))), True),
        (of(ContentPart(file=FilePart(data=b"x"))), True),
    ],
)
def test_sound_and_pictures_are_looked_for(question: ChatRequest, beyond: bool) -> None:
    assert is_beyond_text(question) is beyond


@given(st.integers(0, 10**9), st.integers(0, 10**12), st.integers(0, 10**12))
def test_what_an_amount_affords_costs_no_more_than_it(base: int, per_million: int, nanos: int) -> None:
    costs = Costs(base, per_million)
    affords = costs.affords(nanos)
    if affords is None:
        assert per_million == 0
    elif nanos >= base:
        assert costs.of(affords) <= nanos < costs.of(affords + 2)
    else:
        assert affords == 0


def test_an_answer_that_is_heard_begins_with_what_answers_took_lately() -> None:
    sizing = Sizing(A_NANO_EACH, 1, None, capped=False)
    assert sizing.amounts(Seen(100, 400)) == Amounts(100, 500, 100)
    assert sizing.amounts(None) == Amounts(256, 256, 256)


def test_an_answer_whose_tokens_may_be_hidden_begins_with_a_generous_cap() -> None:
    sizing = Sizing(A_NANO_EACH, 1, None, capped=True)
    assert sizing.amounts(Seen(100, 400)) == Amounts(16_384, 1_024, 200)
    assert sizing.amounts(Seen(100, 4_000)) == Amounts(16_384, 5_000, 200)


def test_the_clients_own_cap_bounds_all_of_it() -> None:
    assert Sizing(A_NANO_EACH, 1, 50, capped=True).amounts(Seen(100, 400)) == Amounts(50, 50, 50)
    assert Sizing(A_NANO_EACH, 3, 50, capped=False).amounts(Seen(100, 400)) == Amounts(150, 150, 150)


def test_a_huge_cap_of_the_clients_is_reserved_only_where_there_is_plenty() -> None:
    amounts = Sizing(A_NANO_EACH, 1, 100_000, capped=True).amounts(Seen(100, 400))
    assert amounts == Amounts(100_000, 1_024, 200)


def test_what_was_too_little_before_is_doubled() -> None:
    assert Sizing(A_NANO_EACH, 1, None, capped=True).amounts(Seen(10, 20), 600) == Amounts(16_384, 1_200, 1_200)
    assert Sizing(A_NANO_EACH, 1, 700, capped=True).amounts(Seen(10, 20), 600) == Amounts(700, 700, 700)


@given(
    st.integers(0, 10**6), st.integers(1, 10**9), st.integers(1, 8), st.none() | st.integers(1, 10**6),
    st.integers(0, 10**10),
)  # fmt: skip
def test_a_call_that_keeps_to_its_cap_keeps_to_its_reservation(
    base: int, per_million: int, choices: int, cap: int | None, more: int
) -> None:
    sizing = Sizing(Costs(base, per_million), choices, cap, capped=True)
    nanos = sizing.costs.of(choices) + more
    ours = sizing.cap_for(nanos)
    each = ours if ours is not None else cap
    if each is not None and ours is not None:
        assert sizing.costs.of(each * choices) <= nanos
        assert cap is None or each < cap


@given(st.integers(0, 10_000), st.integers(0, 3), st.none() | st.integers(0, 5_000))
def test_what_is_needed_is_what_was_said_and_a_little_more(spoken: int, still_open: int, cap: int | None) -> None:
    sizing = Sizing(A_NANO_EACH, 3, cap, capped=False)
    needed = sizing.needed(spoken, still_open)
    assert needed <= sizing.welcome(spoken, still_open)
    assert needed <= spoken + max(64, spoken // 4)
    if cap is None:
        assert needed >= spoken + 64
    else:
        assert needed <= 3 * cap
        assert needed >= min(spoken, 3 * cap)


def test_the_smaller_of_the_clients_caps_holds() -> None:
    assert client_cap(chat()) is None
    assert client_cap(ChatRequest(sampling=SamplingOptions(max_tokens=9))) == 9
    assert client_cap(ChatRequest(sampling=SamplingOptions(max_tokens=9, max_output_tokens=5))) == 5
    assert client_cap(ChatRequest(sampling=SamplingOptions(max_tokens=-3))) == 0


def test_our_cap_goes_by_the_name_that_the_client_used() -> None:
    question = ChatRequest(sampling=SamplingOptions(max_tokens=900))
    assert capped(question, 50).sampling == SamplingOptions(max_tokens=50)
    assert question.sampling.max_tokens == 900
    assert capped(chat(), 50).sampling == SamplingOptions(max_output_tokens=50)
    both = ChatRequest(sampling=SamplingOptions(max_tokens=900, max_output_tokens=800))
    assert capped(both, 50).sampling == SamplingOptions(max_tokens=50, max_output_tokens=50)
    assert capped(question, None) is question


@pytest.mark.parametrize(
    ("price", "free"),
    [
        (Price(), True),
        (Price(request_nanos=5), True),
        (Price(request_nanos=5, input_nanos_per_1m=1), False),
        (Price(output_image_nanos_per_1m=1), False),
        (Price(context_tiers=[ContextTier(rates=Rates(input_nanos_per_1m=1))]), False),
        (Price(service_tiers=[ServiceTier(name="batch", multiplier_ppm=500_000)]), True),
        (Price(service_tiers=[ServiceTier(name="batch", rates=Rates(output_nanos_per_1m=1))]), False),
        (
            Price(service_tiers=[ServiceTier(context_tiers=[ContextTier(rates=Rates(cached_input_nanos_per_1m=1))])]),
            False,
        ),
    ],
)
def test_tokens_are_free_only_where_they_are_at_every_rate(price: Price, free: bool) -> None:
    assert tokens_are_free(price) is free
