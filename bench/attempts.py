"""Attempts as routers make them: of the days of two months, or of now, as they open and as they end."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

from mesh.ids import uuid7
from tollway.chat.v1.chat_pb2 import Usage
from tollway.ledger.v1.ledger_pb2 import (
    ATTEMPT_STATE_OPENED,
    ATTEMPT_STATE_SETTLED,
    ATTEMPT_STATUS_OK,
    PROVENANCE_PROVIDER_REPORTED,
    Attempt,
)

NOW = 1_795_521_600.0
"""2026-11-24 12:00 UTC."""
BATCH = 1000
_DAYS, _MODELS = 60, ("gpt-4o", "claude-sonnet", "llama", "small")
_KNOWN_FIRST = (
    *("attempt_id", "request_id", "trace_id", "tenant", "project", "api_key_id", "tags", "model_requested"),
    *("model_used", "model_provider", "provider_name", "deployment", "attempt_number", "streamed"),
)
"""What an attempt says before its call leaves."""


def attempts(count: int, chance: random.Random) -> Iterator[list[Attempt]]:
    """Batches, in the order of time."""
    step = _DAYS * 86_400 / count
    batch: list[Attempt] = []
    for number in range(count):
        at = NOW - _DAYS * 86_400 + number * step
        tokens_in, tokens_out = chance.randrange(20, 2000), chance.randrange(5, 800)
        attempt = Attempt(
            attempt_id=uuid7(at), request_id=f"req_{number:016x}", trace_id=f"{number + 1:032x}",
            state=ATTEMPT_STATE_SETTLED, tenant="default", project=f"p{number % 4}", api_key_id=f"key-{number % 20}",
            tags=["ci"] if number % 5 else ["nightly", "ci"], model_requested=_MODELS[number % 3], model_used="echo",
            model_provider="sim", provider_name="sim", deployment="sim/echo", attempt_number=1, streamed=True,
            usage=Usage(input_tokens=tokens_in, output_tokens=tokens_out), status=ATTEMPT_STATUS_OK,
            cost_nanos=tokens_in * 1_000_000 + tokens_out * 2_000_000, provenance=PROVENANCE_PROVIDER_REPORTED,
            price_version="sim/*@1970-01-01T00:00:00Z", upstream_status=200, upstream_request_id=f"c-{number}",
            response_time_ms=900, time_to_first_token_ms=200, finish_reason="stop",
        )  # fmt: skip
        attempt.start_time.FromMicroseconds(int(at * 1e6))
        attempt.end_time.FromMicroseconds(int(at * 1e6) + 900_000)
        batch.append(attempt)
        if len(batch) == BATCH or number == count - 1:
            yield batch
            batch = []


Pair = tuple[Attempt, Attempt]


def pairs(now: Callable[[], float]) -> Iterator[Pair]:
    """Attempts as they open and as they end, of now and without end."""
    ends = [attempt for batch in attempts(2 * BATCH, random.Random(7)) for attempt in batch]
    made = [(_opened(end).SerializeToString(), end.SerializeToString()) for end in ends]
    while True:
        for first, second in made:
            # New ones each: what is written into a message again and again stays in its memory.
            opened, end = Attempt.FromString(first), Attempt.FromString(second)
            moment = now()
            opened.attempt_id = end.attempt_id = uuid7(moment)
            for each in (opened.start_time, end.start_time, end.end_time):
                each.FromMicroseconds(int(moment * 1e6))
            yield opened, end


def _opened(end: Attempt) -> Attempt:
    opened = Attempt(state=ATTEMPT_STATE_OPENED)
    for field_, value in end.ListFields():
        if field_.name in _KNOWN_FIRST:
            if field_.name == "tags":
                opened.tags.extend(value)
            else:
                setattr(opened, field_.name, value)
    return opened
