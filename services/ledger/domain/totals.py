"""Daily totals: what attempts add to the day they started on, in UTC, for everything spend is summed by."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from functools import lru_cache
from typing import NamedTuple

from services.ledger.domain.posting import Change
from tollway.ledger.v1.ledger_pb2 import ATTEMPT_KIND_CACHE_HIT, ATTEMPT_STATE_SETTLED, Attempt

DAY = 86_400


class Key(NamedTuple):
    """What attempts of one total have in common. `day` is as `2026-11-20`, `tags` as on the attempt."""

    day: str
    tenant: str
    project: str
    api_key_id: str
    tags: tuple[str, ...]
    model_requested: str
    model_used: str
    provider_name: str
    deployment: str


class Sums(NamedTuple):
    """What is summed, in the order of the columns that keep it."""

    requests: int = 0
    attempts: int = 0
    input_tokens: int = 0
    cached_input_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    cost_nanos: int = 0
    adjusted_nanos: int = 0
    unpriced_attempts: int = 0
    unsettled_attempts: int = 0
    cache_hits: int = 0


Totals = dict[Key, list[int]]
"""Numbers in the order of Sums, to be added to what there is."""


@lru_cache(maxsize=64)
def day_of(seconds: int) -> str:
    """The calendar day in UTC of a Unix time."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d")


def key_of(attempt: Attempt) -> Key:
    return Key(
        day_of(attempt.start_time.seconds // DAY * DAY),
        attempt.tenant,
        attempt.project,
        attempt.api_key_id,
        tuple(tags) if (tags := attempt.tags) else (),
        attempt.model_requested,
        attempt.model_used,
        attempt.provider_name,
        attempt.deployment,
    )


def sums_of(attempt: Attempt, adjusted_nanos: int = 0) -> tuple[int, ...]:
    """What one attempt, with what operators adjusted, adds to its day."""
    cost = attempt.cost_nanos
    used = attempt.HasField("usage")
    usage = attempt.usage
    return (
        attempt.attempt_number <= 1,
        1,
        usage.input_tokens,
        usage.cached_input_tokens,
        usage.cache_write_tokens,
        usage.output_tokens,
        usage.reasoning_tokens,
        cost + adjusted_nanos,
        adjusted_nanos,
        used and not cost and not attempt.HasField("cost_nanos"),
        attempt.state != ATTEMPT_STATE_SETTLED,
        attempt.kind == ATTEMPT_KIND_CACHE_HIT,
    )


def changes_to_totals(changes: Iterable[Change]) -> Totals:
    """What changed rows add to the totals of their days."""
    totals: Totals = {}
    for before, after in changes:
        if before is not None:
            add(totals, key_of(before), sums_of(before), -1)
        add(totals, key_of(after), sums_of(after))
    return totals


def add(totals: Totals, key: Key, sums: Iterable[int], times: int = 1) -> None:
    """Adds sums to a total, so many times."""
    there = totals.get(key)
    if there is None:
        totals[key] = [times * number for number in sums]
    else:
        there[:] = [before + times * number for before, number in zip(there, sums, strict=True)]
