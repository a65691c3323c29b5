"""The names that clients use, and who stands behind them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from mesh.config.schema.calling import Breaker, Hedge, Timeouts
from mesh.config.schema.prices import PriceTerms
from mesh.config.schema.section import Section, check_not_empty
from mesh.config.values import Duration, MarkupPpm, PositiveDuration, Quantity, Repetitions
from mesh.prices import MOST_TOKENS

Capability = Literal["tools", "vision", "prefill", "json_schema", "audio", "files", "reasoning"]


class Deployment(Section):
    """A provider's model that can answer for a name."""

    provider: str
    model: str = Field("", description="The provider's own name for it. Empty: what `mesh.config.patterns` says.")
    weight: Quantity = 1
    can: tuple[Capability, ...] | None = Field(None, description="Absent: everything but prefill.")
    context: int | None = Field(None, ge=1, le=MOST_TOKENS, description="Tokens. Absent: not known.")
    price: PriceTerms | None = Field(None, description="As an entry of `prices` for this provider and model.")
    markup: MarkupPpm | None = Field(None, description="Absent: the provider's.")
    retries: Repetitions | None = None
    timeouts: Timeouts | None = None
    breaker: Breaker | None = None


class CacheOptIn(Section):
    """How answers of a model, or to a key, are kept. A duration alone is the `ttl`."""

    ttl: PositiveDuration

    @model_validator(mode="before")
    @classmethod
    def _take_a_duration(cls, value: Any) -> Any:
        return {"ttl": value} if isinstance(value, str) else value


class Model(Section):
    """What stands behind a name that clients use, or behind many (`mesh.config.patterns`)."""

    strategy: Literal["ordered", "weighted", "least_busy", "latency", "cost", "affinity"] = "ordered"
    latency_bound: PositiveDuration | None = Field(None, description="For the strategy cost.")
    sticky: Literal["key", "session", "none"] | None = Field(
        None, description="Absent: session, but none where the strategy is ordered."
    )
    deployments: Annotated[tuple[Deployment, ...], AfterValidator(check_not_empty)]
    fallbacks: tuple[str, ...] = ()
    description: str = ""
    retries: Repetitions | None = None
    timeouts: Timeouts | None = None
    breaker: Breaker | None = None
    continuations: Repetitions | None = None
    assured: bool = Field(False, description="Whether answers are held back until they are whole.")
    hedge: Hedge | None = None
    cache: CacheOptIn | None = Field(None, description="Absent: only what a key or a request asks to be kept is.")

    @model_validator(mode="after")
    def _check_bound(self) -> Model:
        if self.latency_bound is not None and self.strategy != "cost":
            raise ValueError("has a latency_bound, which only the strategy cost keeps to")
        return self


class Defaults(Section):
    """What holds where a model or deployment says nothing of its own."""

    retries: Repetitions = 3
    retry_after_wait: Duration = 5.0
    timeouts: Timeouts = Timeouts()
    breaker: Breaker = Breaker()
    continuations: Repetitions = Field(2, description="Further calls that go on with an answer which broke off.")
    hedge: Hedge | None = Field(None, description="Absent: no second attempts.")
