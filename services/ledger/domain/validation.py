"""What can be booked and set, and what cannot: each check names the field that is wrong."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from google.protobuf.timestamp_pb2 import Timestamp

from mesh.errors import invalid
from mesh.money import MOST_COST_NANOS, MOST_PRICE_NANOS
from mesh.prices import ANY, MOST_TIERS, MOST_TOKENS
from services.ledger.domain.totals import day_of
from tollway.ledger.v1.ledger_pb2 import (
    ATTEMPT_KIND_CACHE_HIT,
    ATTEMPT_STATE_SETTLED,
    ATTEMPT_STATUS_UNSPECIFIED,
    PROVENANCE_UNSPECIFIED,
    Attempt,
    AttemptKind,
    AttemptState,
    AttemptStatus,
    ContextTier,
    Price,
    Provenance,
    Rates,
    ServiceTier,
    UsageFilter,
)

# Whatever tokens and prices within these bounds come to is within what an attempt may cost, markups and the multipliers
# of service tiers aside.
MOST = MOST_TOKENS  # of milliseconds, too
LONGEST_TEXT = 4096
LONGEST_NAME = 200
"""Characters of what rows, accounts and totals are found by: an index holds no longer ones."""
MOST_TAGS = 256
_LAST_SECOND = 253_402_300_799  # of the year 9999
EARLIEST = 1_577_836_800
"""2020-01-01, in Unix time. A clock that shows less was never set."""
MOST_AHEAD = 86_400
"""Seconds that a router's clock may be ahead of the ledger's, and an attempt's id beside its start."""
MOST_BACKWARDS = 300
"""Seconds that a clock which is set right may go back between an attempt's start and its end."""

_UUID7 = "[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
_uuid7 = re.compile(_UUID7).fullmatch
_trace_id = re.compile("(?:[0-9a-f]{32})?").fullmatch
_attempt_trace_and_span_id = re.compile(f"{_UUID7} (?:[0-9a-f]{{32}})? (?:[0-9a-f]{{16}})?").fullmatch

_NAMES = frozenset({"request_id", "tenant", "project", "api_key_id", "provider_name"})
_REQUIRED = ("request_id", "provider_name", "model_used")
_COUNTS = (
    "attempt_number",
    "upstream_status",
    "response_time_ms",
    "time_to_first_token_ms",
    "usage.input_tokens",
    "usage.output_tokens",
    "usage.cached_input_tokens",
    "usage.cache_write_tokens",
    "usage.cache_write_1h_tokens",
    "usage.reasoning_tokens",
    "usage.input_audio_tokens",
    "usage.output_audio_tokens",
    "usage.input_image_tokens",
    "usage.output_image_tokens",
    "usage.accepted_prediction_tokens",
    "usage.rejected_prediction_tokens",
)
_STATES, _STATUSES, _PROVENANCES = AttemptState.keys(), AttemptStatus.keys(), Provenance.keys()
_KINDS = AttemptKind.keys()
_AMOUNTS = tuple(Rates.DESCRIPTOR.fields_by_name)
_TERMS = frozenset({*_AMOUNTS, "request_nanos", "context_tiers", "service_tiers", "max_context_tokens"})
MOST_MULTIPLIER_PPM = 100_000_000


def is_uuid7(text: str) -> bool:
    """Whether a text is a UUID version 7, in lower case, as ids of attempts and of leases are."""
    return _uuid7(text) is not None


def why_not_bookable(attempt: Attempt, now: float) -> str:
    """Why an attempt cannot be booked, beginning with the field's name; empty where it can. `now` is in Unix time.

    What a provider reports is booked even where it contradicts itself (more cached tokens than tokens): the ledger
    keeps what was said. What no provider could have said, or nobody could look up, is refused.
    """
    return (
        _why_not_identified(attempt)
        or _why_not_then(attempt, now)
        or _why_not_text(attempt)
        or _why_not_counts(attempt)
        or _why_not_ended(attempt)
    )


def _why_not_identified(attempt: Attempt) -> str:
    if not _attempt_trace_and_span_id(f"{attempt.attempt_id} {attempt.trace_id} {attempt.span_id}"):
        if not _uuid7(attempt.attempt_id):
            return "attempt_id: is not a UUID version 7 in lower case"
        if not _trace_id(attempt.trace_id):
            return "trace_id: is not 32 hexadecimal digits"
        return "span_id: is not 16 hexadecimal digits"
    if not attempt.request_id or not attempt.provider_name or not attempt.model_used:
        return next(f"{name}: must not be empty" for name in _REQUIRED if not getattr(attempt, name))
    if not attempt.HasField("start_time"):
        return "start_time: must be given"
    return why_not_time("start_time", attempt.start_time)


def _why_not_then(attempt: Attempt, now: float) -> str:
    """Clocks that are a little off are booked as they are; one that is far off would put rows where nobody looks."""
    start = attempt.start_time.seconds
    if not EARLIEST <= start <= now + MOST_AHEAD:
        limit = "before 2020" if start < EARLIEST else "more than a day ahead of the ledger's clock"
        return f"start_time: is {limit}; set the router's clock right"
    identifier = attempt.attempt_id
    if abs(int(identifier[:8] + identifier[9:13], 16) / 1000 - start) > MOST_AHEAD:
        return "attempt_id: holds a time more than a day from start_time"
    if attempt.HasField("end_time") and attempt.end_time.seconds < start - MOST_BACKWARDS:
        return f"end_time: is more than {MOST_BACKWARDS} s before start_time"
    return ""


def why_too_late(attempt: Attempt, booked: bool, rolled_before: int) -> str:
    """Why an attempt cannot be told from those that were rolled into daily totals; empty where it can, or has a row.

    `rolled_before` is in microseconds since the epoch.
    """
    if booked or attempt.start_time.ToMicroseconds() >= rolled_before:
        return ""
    return (
        f"start_time: is before {day_of(rolled_before // 1_000_000)}, of which daily totals alone are kept: "
        "whether it is in them cannot be told"
    )


def _why_not_text(attempt: Attempt) -> str:
    tags = attempt.tags
    names = "".join((
        attempt.request_id, attempt.tenant, attempt.project, attempt.api_key_id, attempt.provider_name
    ))  # fmt: skip
    everything = "".join((
        names, attempt.model_requested, attempt.model_used, attempt.model_provider, attempt.deployment,
        attempt.price_version, attempt.error_reason, attempt.upstream_request_id, attempt.finish_reason,
        attempt.usage.service_tier, *(tags or ()),
    ))  # fmt: skip
    # Looked at as a whole first: one look for the rows that are well, which are nearly all.
    if len(names) > LONGEST_NAME or len(everything) > LONGEST_TEXT or "\0" in everything:
        for name, text in _texts(attempt):
            if "\0" in text:
                return f"{name}: holds a null character"
            longest = LONGEST_NAME if name in _NAMES else LONGEST_TEXT
            if len(text) > longest:
                return f"{name}: is longer than {longest} characters"
    return f"tags: are {len(tags)}, more than {MOST_TAGS}" if len(tags) > MOST_TAGS else ""


def _texts(attempt: Attempt) -> Iterator[tuple[str, str]]:
    for field, value in attempt.ListFields():
        if field.name == "tags":
            yield from ((f"tags[{index}]", tag) for index, tag in enumerate(value))
        elif isinstance(value, str):
            yield field.name, value
    yield "usage.service_tier", attempt.usage.service_tier


def _why_not_counts(attempt: Attempt) -> str:
    usage = attempt.usage
    counts = (
        attempt.attempt_number, attempt.upstream_status, attempt.response_time_ms, attempt.time_to_first_token_ms,
        usage.input_tokens, usage.output_tokens, usage.cached_input_tokens, usage.cache_write_tokens,
        usage.cache_write_1h_tokens, usage.reasoning_tokens, usage.input_audio_tokens, usage.output_audio_tokens,
        usage.input_image_tokens, usage.output_image_tokens, usage.accepted_prediction_tokens,
        usage.rejected_prediction_tokens,
    )  # fmt: skip
    if min(counts) < 0 or max(counts) > MOST:
        return next(
            f"{name}: {count} is not between 0 and {MOST}"
            for name, count in zip(_COUNTS, counts, strict=True)
            if not 0 <= count <= MOST
        )
    if usage.extra_json and (b"\0" in usage.extra_json or not _is_utf8(usage.extra_json)):
        return "usage.extra_json: is not JSON in UTF-8"
    return ""


def _why_not_ended(attempt: Attempt) -> str:
    if not 1 <= attempt.state < len(_STATES):
        return _unknown("state", attempt.state, _STATES)
    if not 0 <= attempt.status < len(_STATUSES):
        return _unknown("status", attempt.status, _STATUSES)
    if not 0 <= attempt.provenance < len(_PROVENANCES):
        return _unknown("provenance", attempt.provenance, _PROVENANCES)
    if attempt.kind:
        if not 0 < attempt.kind < len(_KINDS):
            return _unknown("kind", attempt.kind, _KINDS)
        if attempt.kind == ATTEMPT_KIND_CACHE_HIT:
            return _why_no_cache_hit(attempt) or _why_not_settled(attempt)
    if attempt.HasField("cost_nanos"):
        if not 0 <= attempt.cost_nanos <= MOST_COST_NANOS:
            return f"cost_nanos: {attempt.cost_nanos} is not between 0 and {MOST_COST_NANOS}"
        if not attempt.price_version:
            return "price_version: must name the price that cost_nanos was computed with"
    elif attempt.price_version:
        return "price_version: names a price, but there is no cost_nanos"
    return _why_not_settled(attempt)


def _why_no_cache_hit(attempt: Attempt) -> str:
    """Nobody was called, so there is nothing to pay and no price to pay it at."""
    settled = attempt.state == ATTEMPT_STATE_SETTLED
    if attempt.cost_nanos or attempt.HasField("cost_nanos") != settled:
        return "cost_nanos: must be 0 for ATTEMPT_KIND_CACHE_HIT, once it is settled"
    if attempt.price_version:
        return "price_version: must be empty for ATTEMPT_KIND_CACHE_HIT"
    usage = attempt.usage
    if usage.input_tokens or usage.output_tokens:
        return "usage: must be zeros for ATTEMPT_KIND_CACHE_HIT"
    return ""


def _why_not_settled(attempt: Attempt) -> str:
    if attempt.state == ATTEMPT_STATE_SETTLED:
        if attempt.status == ATTEMPT_STATUS_UNSPECIFIED:
            return "status: must be given with ATTEMPT_STATE_SETTLED"
        if attempt.provenance == PROVENANCE_UNSPECIFIED:
            return "provenance: must be given with ATTEMPT_STATE_SETTLED"
        if not attempt.HasField("end_time"):
            return "end_time: must be given with ATTEMPT_STATE_SETTLED"
    return why_not_time("end_time", attempt.end_time) if attempt.HasField("end_time") else ""


def why_not_time(field: str, moment: Timestamp) -> str:
    """Why a moment cannot be stored, beginning with the field's name; empty where it can."""
    if 0 <= moment.seconds <= _LAST_SECOND and 0 <= moment.nanos < 1_000_000_000:
        return ""
    return f"{field}: is not between 1970 and 9999"


def why_no_price(price: Price) -> str:
    """Why a price cannot be set, beginning with the field's name; empty where it can."""
    provider, model = price.provider_name, price.model_name
    if provider == ANY or any(mark in provider for mark in "/@\0") or len(provider) > LONGEST_TEXT:
        return "provider_name: must not be '*' (leave it empty for whoever provides the model), nor contain '/' or '@'"
    if not model or "\0" in model or len(model) > LONGEST_TEXT:
        return f"model_name: must be between 1 and {LONGEST_TEXT} characters"
    if ANY in model[:-1]:
        return "model_name: may have a '*' at its end alone"
    if model.endswith(ANY) and not provider:
        return "model_name: '*' needs a provider_name"
    if price.withdrawn and any(field.name in _TERMS for field, _ in price.ListFields()):
        return "withdrawn: must be absent where the price says what something costs"
    if not 0 <= price.request_nanos <= MOST_PRICE_NANOS:
        return f"request_nanos: {price.request_nanos} is not between 0 and {MOST_PRICE_NANOS}"
    if not 0 <= price.max_context_tokens <= MOST:
        return f"max_context_tokens: is not between 0 and {MOST}"
    return (
        _why_no_rates("", price)
        or _why_no_context_tiers("", price.context_tiers)
        or _why_no_service_tiers(price.service_tiers)
        or why_not_time("effective_time", price.effective_time)
    )


def _why_no_rates(path: str, rates: Price | Rates) -> str:
    for name in _AMOUNTS:
        if not 0 <= (amount := getattr(rates, name)) <= MOST_PRICE_NANOS:
            return f"{path}{name}: {amount} is not between 0 and {MOST_PRICE_NANOS}"
    return ""


def _why_no_context_tiers(path: str, tiers: Sequence[ContextTier]) -> str:
    if len(tiers) > MOST_TIERS:
        return f"{path}context_tiers: are {len(tiers)}, more than {MOST_TIERS}"
    smaller = 0
    for index, tier in enumerate(tiers):
        here = f"{path}context_tiers[{index}]"
        if not smaller < tier.above_input_tokens <= MOST:
            order = f"more than {smaller}, which the one before begins above" if index else "at least 1"
            return f"{here}.above_input_tokens: must be {order}, and at most {MOST}"
        smaller = tier.above_input_tokens
        if not tier.HasField("rates"):
            return f"{here}.rates: must be given"
        if why := _why_no_rates(f"{here}.rates.", tier.rates):
            return why
    return ""


def _why_no_service_tiers(tiers: Sequence[ServiceTier]) -> str:
    if len(tiers) > MOST_TIERS:
        return f"service_tiers: are {len(tiers)}, more than {MOST_TIERS}"
    seen: set[str] = set()
    for index, tier in enumerate(tiers):
        here = f"service_tiers[{index}]"
        if not tier.name or "\0" in tier.name or len(tier.name) > LONGEST_NAME:
            return f"{here}.name: must be between 1 and {LONGEST_NAME} characters"
        if tier.name in seen:
            return f"{here}.name: {tier.name} is there twice"
        seen.add(tier.name)
        if tier.HasField("rates"):
            if tier.multiplier_ppm:
                return f"{here}.multiplier_ppm: must be absent where there are rates"
            why = _why_no_rates(f"{here}.rates.", tier.rates)
            if why := why or _why_no_context_tiers(f"{here}.", tier.context_tiers):
                return why
        elif not 1 <= tier.multiplier_ppm <= MOST_MULTIPLIER_PPM:
            return f"{here}.multiplier_ppm: must be between 1 and {MOST_MULTIPLIER_PPM}, where there are no rates"
        elif tier.context_tiers:
            return f"{here}.context_tiers: must be absent where there are no rates"
    return ""


def check_filter(filter: UsageFilter) -> None:
    """Raises TollwayError INVALID_REQUEST for a filter that cannot be read."""
    for name in ("start_time", "end_time"):
        if filter.HasField(name) and (why := why_not_time(name, getattr(filter, name))):
            raise invalid(f"filter.{name}", why.partition(": ")[2])
    if filter.HasField("end_time") and filter.end_time.ToNanoseconds() < filter.start_time.ToNanoseconds():
        raise invalid("filter.end_time", "must not be before start_time")
    for name, names in (("state", _STATES), ("status", _STATUSES)):
        if not 0 <= getattr(filter, name) < len(names):
            raise invalid(f"filter.{name}", _unknown("", getattr(filter, name), names)[2:])
    for field, value in filter.ListFields():
        if isinstance(value, str) and "\0" in value:
            raise invalid(f"filter.{field.name}", "holds a null character")


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def _unknown(field: str, number: int, names: list[str]) -> str:
    return f"{field}: {number} is none of {', '.join(names[1:])}"
