"""What tokens cost."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, model_validator

from mesh.config.schema.section import Section
from mesh.config.values import MultiplierPpm, NanoUsd
from mesh.prices import MOST_TIERS, MOST_TOKENS


class Rates(Section):
    """What tokens cost. Amounts are per 1M tokens; an absent one is that of the tokens it belongs to."""

    input: NanoUsd
    output: NanoUsd
    cached_input: NanoUsd | None = None
    cache_write: NanoUsd | None = None
    cache_write_1h: NanoUsd | None = Field(None, description="Absent: as cache_write.")
    reasoning: NanoUsd | None = None
    input_audio: NanoUsd | None = None
    output_audio: NanoUsd | None = None
    input_image: NanoUsd | None = None
    output_image: NanoUsd | None = None


class LargePromptRates(Rates):
    """What all tokens cost where the prompt has more than so many."""

    tokens: int = Field(ge=1, le=MOST_TOKENS)


def _check_sizes(tiers: tuple[LargePromptRates, ...]) -> tuple[LargePromptRates, ...]:
    if len(tiers) > MOST_TIERS:
        raise ValueError(f"must be at most {MOST_TIERS} sizes")
    sizes = [tier.tokens for tier in tiers]
    if len(set(sizes)) < len(sizes):
        raise ValueError("must not name a number of tokens twice")
    return tuple(sorted(tiers, key=lambda tier: tier.tokens))


LargePrompts = Annotated[tuple[LargePromptRates, ...], AfterValidator(_check_sizes)]
"""By size, smallest first."""


def _check_number(tiers: dict[str, ServiceTierRates]) -> dict[str, ServiceTierRates]:
    if len(tiers) > MOST_TIERS:
        raise ValueError(f"must be at most {MOST_TIERS} service tiers")
    return tiers


class ServiceTierRates(Section):
    """What a service tier costs: rates of its own, or a `multiplier` of the usual ones. A percentage alone is that."""

    multiplier: MultiplierPpm | None = None
    input: NanoUsd | None = None
    output: NanoUsd | None = None
    cached_input: NanoUsd | None = None
    cache_write: NanoUsd | None = None
    cache_write_1h: NanoUsd | None = None
    reasoning: NanoUsd | None = None
    input_audio: NanoUsd | None = None
    output_audio: NanoUsd | None = None
    input_image: NanoUsd | None = None
    output_image: NanoUsd | None = None
    above: LargePrompts = ()

    @model_validator(mode="before")
    @classmethod
    def _take_a_percentage(cls, value: Any) -> Any:
        return {"multiplier": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _check_rates(self) -> Self:
        if self.multiplier is None and (self.input is None or self.output is None):
            raise ValueError("must be a percentage of the usual rates such as 50%, or have input and output")
        if self.multiplier is not None and len(self.model_fields_set) > 1:
            raise ValueError("has a multiplier of the usual rates, and cannot have rates of its own")
        return self


class PriceTerms(Rates):
    """What a model costs."""

    request: NanoUsd = Field(0, description="For every request, beside its tokens.")
    above: LargePrompts = Field((), description="What replaces the rates for large prompts.")
    tiers: Annotated[dict[str, ServiceTierRates], AfterValidator(_check_number)] = Field(
        default_factory=dict, description="By the provider's name for them."
    )
    context: int = Field(0, ge=0, le=MOST_TOKENS, description="The model's context window in tokens. 0: not known.")


class PriceEntry(PriceTerms):
    """A price of one's own."""

    provider: str
    model: str = "*"
