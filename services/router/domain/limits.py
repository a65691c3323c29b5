"""Which limits a question falls under, what it draws from them, and what is said when they refuse it.

A scope with a name stands in place of the one with a `*` of its kind. All scopes that a question falls under hold at
once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from mesh.errors import Reason, TollwayError
from mesh.state.store import Decision, Draw, Left, Rate, Slot
from services.router.domain.expectation import Expected
from services.router.domain.principal import Principal
from tollway.router.v1.router_pb2 import RateLimit, RateLimits

LEASE = 30.0
"""Seconds that a place is held for. Whoever still needs it says so well before they are over."""

_KEPT = 4096
"""Combinations of who asks for what that are prepared; tags and pass-through names are as many as clients make up."""

_REQUESTS, _TOKENS, _CONCURRENCY = "limit:requests:", "limit:tokens:", "limit:concurrency:"
_PERIODS = {1.0: "a second", 60.0: "a minute", 3600.0: "an hour", 86_400.0: "a day"}
_CROWDED_FOR = 1.0
"""Seconds after which to try again where all places are taken: nobody knows when one will be free."""


@dataclass(frozen=True, slots=True)
class Limit:
    """What a scope, `key:ci` or `key:*`, may at most. None: no limit."""

    scope: str
    requests: Rate | None = None
    tokens: Rate | None = None
    concurrency: int | None = None


@dataclass(frozen=True, slots=True)
class Held:
    """What holds a question: one request of each rate of requests, an amount of each of tokens, and places."""

    requests: tuple[Draw, ...]
    tokens: tuple[Draw, ...]
    slots: tuple[Slot, ...]

    def draw_tokens(self, expected: Expected) -> Sequence[Draw]:
        """What is drawn for a question beforehand. A guess alone never asks for more than there can be."""
        return [
            Draw(draw.key, draw.rate, min(expected.likely, max(expected.least, draw.rate.limit)))
            for draw in self.tokens
        ]


def settlement(drawn: Sequence[Draw], used: int) -> Sequence[Draw]:
    """What is still to be drawn, or given back, once that many tokens turned out to be used."""
    return [Draw(draw.key, draw.rate, used - draw.amount) for draw in drawn if draw.amount != used]


class Limits:
    """The limits that are configured."""

    def __init__(self, limits: Iterable[Limit]) -> None:
        self._limits = {limit.scope: limit for limit in limits}
        self._by_tag = any(scope.startswith("tag:") for scope in self._limits)
        self._by_model = any(scope.startswith("model:") for scope in self._limits)
        self._prepared = lru_cache(_KEPT)(self._prepare)

    def held(self, principal: Principal, tags: Sequence[str], model: str, others: Sequence[str] = ()) -> Held | None:
        """What holds a question; None where nothing does. `others` are further models that it may be answered by: it
        has asked for each of them."""
        labels = (*principal.tags, *tags) if self._by_tag else ()
        models = (model, *others) if self._by_model else ()
        return self._prepared(principal.tenant, principal.project, principal.key, models, labels)

    def _prepare(
        self, tenant: str, project: str, key: str, models: tuple[str, ...], tags: tuple[str, ...]
    ) -> Held | None:
        names = [("tenant", tenant), ("project", project), ("key", key)]
        names += [("model", model) for model in dict.fromkeys(models)]
        names += [("tag", tag) for tag in dict.fromkeys(tags)]
        found = dict(self._find(names))
        if not found:
            return None
        return Held(
            tuple(Draw(_REQUESTS + scope, limit.requests) for scope, limit in found.items() if limit.requests),
            tuple(Draw(_TOKENS + scope, limit.tokens) for scope, limit in found.items() if limit.tokens),
            tuple(
                Slot(_CONCURRENCY + scope, limit.concurrency, LEASE)
                for scope, limit in found.items()
                if limit.concurrency
            ),
        )

    def _find(self, names: Iterable[tuple[str, str]]) -> Iterator[tuple[str, Limit]]:
        for kind, name in names:
            scope = f"{kind}:{name}"
            limit = self._limits.get(scope) or self._limits.get(f"{kind}:*")
            if limit is not None:
                yield scope, limit


def tell_what_is_left(limits: RateLimits, held: Held, left: Sequence[Left]) -> None:
    """Writes down, of requests and of tokens, the limit with the least left. `left` is a decision's."""
    count = len(held.requests)
    if count:
        _put(limits.requests, *_nearest(held.requests, left[:count]))
    if held.tokens:
        _put(limits.tokens, *_nearest(held.tokens, left[count:]))


def _nearest(draws: Sequence[Draw], left: Sequence[Left]) -> tuple[Draw, Left]:
    if len(draws) == 1:
        return draws[0], left[0]
    return min(zip(draws, left, strict=True), key=lambda each: (each[1].remaining, -each[1].reset))


def _put(limit: RateLimit, draw: Draw, left: Left) -> None:
    limit.scope, limit.limit, limit.remaining = _scope(draw.key), draw.rate.limit, left.remaining
    reset, whole = limit.reset, int(left.reset)
    if whole:
        reset.seconds = whole
    reset.nanos = int((left.reset - whole) * 1e9)


def refusal(held: Held, decision: Decision, tokens: Sequence[Draw], about: Mapping[str, str]) -> TollwayError:
    """What the client is told. `tokens` are what the question would have drawn of them."""
    retry_after = decision.retry_after
    limits = RateLimits()
    tell_what_is_left(limits, held, decision.left)
    metadata = {**about, "scope": _scope(decision.refused), **dict(_figures(limits))}
    if decision.refused.startswith(_REQUESTS):
        message = _too_many_requests(held, decision)
    elif decision.refused.startswith(_TOKENS):
        message = _too_many_tokens(held, decision, tokens)
        if retry_after is None:
            metadata["repeat"] = "never"
    else:
        message = _too_many_at_once(held, decision)
        retry_after = _CROWDED_FOR
    return TollwayError(Reason.RATE_LIMITED, message, metadata, retry_after)


def _too_many_requests(held: Held, decision: Decision) -> str:
    rate = next(draw.rate for draw in held.requests if draw.key == decision.refused)
    return (
        f"{_scope(decision.refused)} may make {rate.limit} requests {_period(rate)}, and has made them: "
        f"try again {_when(decision.retry_after)}."
    )


def _too_many_tokens(held: Held, decision: Decision, tokens: Sequence[Draw]) -> str:
    at = next(index for index, draw in enumerate(tokens) if draw.key == decision.refused)
    draw, left = tokens[at], decision.left[len(held.requests) + at]
    allowed = f"{_scope(draw.key)} may use {draw.rate.limit} tokens {_period(draw.rate)}"
    if decision.retry_after is None:
        return (
            f"{allowed}, and this request may take {draw.amount}, which can never pass: "
            "shorten it, or let the answer be shorter (max_tokens)."
        )
    return (
        f"{allowed}; {left.remaining} are left, and this request may take {draw.amount}: "
        f"try again {_when(decision.retry_after)}, or let the answer be shorter (max_tokens)."
    )


def _too_many_at_once(held: Held, decision: Decision) -> str:
    slot = next(slot for slot in held.slots if slot.key == decision.refused)
    return (
        f"{_scope(decision.refused)} may have {slot.limit} requests under way, and has: try again when one has ended."
    )


def _figures(limits: RateLimits) -> Iterator[tuple[str, str]]:
    for kind, limit in (("requests", limits.requests), ("tokens", limits.tokens)):
        if limit.limit:
            yield f"limit_{kind}", str(limit.limit)
            yield f"remaining_{kind}", str(limit.remaining)
            yield f"reset_{kind}", f"{limit.reset.ToMilliseconds()}ms"


def _scope(key: str) -> str:
    return key.split(":", 2)[2]


def _period(rate: Rate) -> str:
    return _PERIODS.get(rate.period, f"in {rate.period:g} s")


def _when(retry_after: float | None) -> str:
    if retry_after is None:
        return "later"
    return f"in {retry_after:.3g} s" if retry_after < 60 else f"in {retry_after / 60:.0f} min"
