"""How long calls may take, when a deployment is left alone, and when a second call is made beside a first."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PlainSerializer

from mesh.config.schema.section import Section
from mesh.config.values import PositiveDuration, Quantity, Share, format_duration, parse_setting


class Timeouts(Section):
    """How long to wait for what."""

    connect: PositiveDuration = 3.0
    headers: PositiveDuration = 30.0
    first_token: PositiveDuration = 30.0
    gap: PositiveDuration = 30.0
    total: PositiveDuration = 600.0


class Breaker(Section):
    """When a deployment is left alone, and for how long."""

    failures: Quantity = 5
    rate: Share = 0.1
    calls: Quantity = 20
    window: PositiveDuration = 60.0
    open_for: PositiveDuration = 30.0
    probes: Quantity = 1


def _parse_after(value: Any) -> Any:
    if value == "p95":
        return value
    try:
        seconds = parse_setting(value)
    except ValueError as error:
        wanted = "must be p95, or a duration such as 800ms"
        raise ValueError(wanted if "such as" in str(error) else str(error)) from None
    if not seconds:
        raise ValueError("must be p95, or a duration of more than nothing")
    return seconds


class Hedge(Section):
    """A second attempt beside a first one that is slow."""

    after: Annotated[
        Literal["p95"] | float,
        BeforeValidator(_parse_after),
        PlainSerializer(lambda after: after if after == "p95" else format_duration(after)),
    ] = "p95"
    budget: Share = Field(0.05, description="Extra calls, as a share of all questions.")
