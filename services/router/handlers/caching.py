"""A question that was answered before may be given the same answer, at once and for nothing.

What comes out of the cache is booked like a call, as a row of its own kind that cost nothing, and has a span without
attempts. A cache that cannot be reached is one that has nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Any

from mesh.clock import Clock
from mesh.errors import TollwayError
from mesh.ids import uuid7
from mesh.mediator import Behavior, Next, NextStream
from mesh.metrics import Metrics
from mesh.tracing import Kind, Span, Tracer
from services.router.domain import genai, kept_answer
from services.router.domain.caching import Asked, Ruled, Ttls, Use, scope_of
from services.router.domain.fingerprint import fingerprint
from services.router.domain.kept_answer import KeptAnswer, Response, Tape
from services.router.domain.rules import Asked as UnderRules
from services.router.domain.rules import Rule, rule_on
from services.router.handlers.behaviors import is_question
from services.router.handlers.question import Question
from services.router.ports import AnswerCache, Journal
from tollway.ledger.v1.ledger_pb2 import Attempt
from tollway.router.v1.router_pb2 import CacheOutcome, RateLimits

log = logging.getLogger(__name__)

_MOST_WRITES = 64
"""Answers on their way into the cache. While there are so many, it is too slow to be given more."""


def as_asked(question: Question) -> Ruled | None:
    """A question that no rule has changed."""
    return Ruled(question.chat, question.preferences.models)


async def let_through(question: Question) -> None:
    """Refuses nothing."""


def by_rules(rules: Sequence[Rule], clock: Clock) -> Callable[[Question], Ruled | None]:
    """What the rules make of a question."""
    if not rules:
        return as_asked

    def ruled(question: Question) -> Ruled | None:
        names = tuple(dict.fromkeys((question.chat.model, *question.preferences.models)))
        ruling = rule_on(rules, UnderRules(question.chat, names, question.tags, question.principal, clock.time()))
        if ruling.denied_by:
            return None
        return Ruled(ruling.chat, ruling.names, lambda name: all(each.lets(name) for each in ruling.filters))

    return ruled


class Caching(Behavior):
    """For questions. `model_providers` are whose models a provider's are, by its name; `max_entry` is in bytes.

    `ruled` tells what rules make of a question, since that is what is answered; None: they refuse it, and the cache is
    passed by. `admit` lets a question through whose answer is at hand, or raises what refuses it.
    """

    def __init__(
        self,
        cache: AnswerCache,
        ttls: Ttls,
        journal: Journal,
        clock: Clock,
        tracer: Tracer,
        metrics: Metrics,
        *,
        model_providers: Mapping[str, str],
        max_entry: int,
        ruled: Callable[[Question], Ruled | None] = as_asked,
        admit: Callable[[Question], Awaitable[RateLimits | None]] = let_through,
    ) -> None:
        self._cache, self._ttls, self._journal = cache, ttls, journal
        self._clock, self._tracer, self._metrics = clock, tracer, metrics
        self._model_providers, self._max_entry, self._ruled = model_providers, max_entry, ruled
        self._admit = admit
        self._writes: set[asyncio.Task[None]] = set()
        self._failing = False

    def concerns(self, message: Any) -> bool:
        """Whether the cache may have something to do with a message."""
        if not is_question(message) or not message.kind.cached:
            return False
        return self._ttls.any or bool(message.preferences.cache) or message.principal.cache is not None

    async def handle(self, message: Any, next: Next) -> Any:
        use, ruled = self._use(message)
        if use is None or ruled is None:
            return await next(message)
        asked, began = _asked(message, ruled, streamed=False), self._clock.monotonic()
        if use.look and (answer := await self._find(asked, ruled)) is not None:
            return (await self._given(message, asked, answer, began))[0]
        tape = Tape(self._max_entry)
        response = await next(message)
        response.receipt.cache = self._outcome(use)
        tape.add(response)
        self._keep(asked, tape, use)
        return response

    def handle_stream(self, message: Any, next: NextStream) -> AsyncIterator[Any]:
        use, ruled = self._use(message)
        return next(message) if use is None or ruled is None else self._stream(message, next, use, ruled)

    async def close(self) -> None:
        """Waits until what is to be kept is."""
        await asyncio.gather(*self._writes)

    def _use(self, question: Question) -> tuple[Use | None, Ruled | None]:
        use = self._ttls.use(question.chat.model, question.preferences.cache, question.principal.cache)
        return use, None if use is None else self._ruled(question)

    async def _stream(self, question: Question, next: NextStream, use: Use, ruled: Ruled) -> AsyncGenerator[Any, None]:
        asked, began = _asked(question, ruled, streamed=True), self._clock.monotonic()
        if use.look and (answer := await self._find(asked, ruled)) is not None:
            for response in await self._given(question, asked, answer, began):
                yield response
            return
        tape, outcome = Tape(self._max_entry), self._outcome(use)
        async with aclosing(next(question)) as responses:  # type: ignore[type-var]  # a pipeline ends in a generator
            async for response in responses:
                if response.HasField("receipt"):
                    response.receipt.cache = outcome
                tape.add(response)
                yield response
        self._keep(asked, tape, use)

    def _outcome(self, use: Use) -> CacheOutcome.ValueType:
        self._count("miss" if use.look else "refreshed")
        return CacheOutcome.CACHE_OUTCOME_MISS if use.look else CacheOutcome.CACHE_OUTCOME_REFRESHED

    def _count(self, outcome: str) -> None:
        self._metrics.count("tollway.cache.lookups", 1, {"tollway.outcome": outcome})

    # -- giving ----------------------------------------------------------------------------------------------------

    async def _find(self, asked: Asked, ruled: Ruled) -> KeptAnswer | None:
        try:
            answer = await self._cache.find(asked)
        except TollwayError as error:
            self._complain(error)
            return None
        self._failing = False
        return answer if answer is not None and ruled.may_answer(answer.deployment) else None

    async def _given(self, question: Question, asked: Asked, answer: KeptAnswer, began: float) -> list[Response]:
        """The answer, booked. Raises TollwayError where that cannot be written down, or limits refuse the question."""
        limits = await self._admit(question)
        span = self._tracer.start(f"chat {question.chat.model}", Kind.CLIENT, question.parent)
        try:
            row = self._opened_row(question, asked, answer, span)
            entry = await self._journal.opened(row)
            now = self._clock.time()
            receipt = kept_answer.hit_receipt(answer, question.request_id, span.context.trace_id, now)
            if limits is not None:
                receipt.rate_limits.CopyFrom(limits)
            given = kept_answer.with_receipt(answer.responses, receipt)
            took = self._clock.monotonic() - began
            kept_answer.settle_hit(row, answer, now, took)
            self._journal.settled(entry, row)
        except TollwayError as failure:
            span.fail(failure.reason)
            raise
        finally:
            span.end()
        self._measure(row, took)
        return given

    def _measure(self, row: Attempt, took: float) -> None:
        self._count("hit")
        labels = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": row.model_provider,
            "gen_ai.request.model": row.model_requested,
            "tollway.provider": row.provider_name,
            "tollway.cache": "hit",
        }
        self._metrics.record("gen_ai.client.operation.duration", took, labels)
        if row.streamed:
            self._metrics.record("gen_ai.client.operation.time_to_first_chunk", took, labels)

    def _opened_row(self, question: Question, asked: Asked, answer: KeptAnswer, span: Span) -> Attempt:
        now, principal, place = self._clock.time(), question.principal, span.context
        row = Attempt(
            attempt_id=uuid7(now),
            request_id=question.request_id,
            trace_id=place.trace_id,
            span_id=place.span_id if place.sampled else "",
            tenant=principal.tenant,
            project=principal.project,
            api_key_id=principal.key,
            tags=question.tags,
            model_requested=question.chat.model,
            streamed=asked.streamed,
        )
        provider = answer.deployment.partition("/")[0]
        kept_answer.hit_row(row, answer, self._model_providers.get(provider, ""), now)
        if span.recording:
            _describe(span, question, answer, row)
        return row

    # -- keeping ---------------------------------------------------------------------------------------------------

    def _keep(self, asked: Asked, tape: Tape, use: Use) -> None:
        """Puts the answer into the cache, if it is one to keep; nobody waits for that."""
        answer = tape.answer(asked.chat.choice_count or 1, self._clock.time())
        if answer is None or len(self._writes) >= _MOST_WRITES:
            return
        writing = asyncio.get_running_loop().create_task(self._write(asked, answer, use.ttl))
        self._writes.add(writing)
        writing.add_done_callback(self._writes.discard)

    async def _write(self, asked: Asked, answer: KeptAnswer, ttl: float) -> None:
        try:
            await self._cache.keep(asked, answer, ttl)
        except TollwayError as error:
            self._complain(error)

    def _complain(self, error: TollwayError) -> None:
        if not self._failing:
            log.warning("The response cache cannot be reached, and has nothing until it can: %s", error)
        self._failing = True


def _asked(question: Question, ruled: Ruled, *, streamed: bool) -> Asked:
    made = fingerprint(ruled.chat, ruled.models)
    scope = scope_of(question.principal)
    if question.preferences.drop_unsupported:
        scope += ("dropping",)  # who did not allow that must not get an answer to less than was asked
    return Asked(scope, made, ruled.chat, streamed)


def _describe(span: Span, question: Question, answer: KeptAnswer, row: Attempt) -> None:
    span.set(genai.request_attributes(question.chat, row.model_provider, streamed=row.streamed))
    span.set(genai.response_attributes(*kept_answer.said(answer)))
    span.set(
        {
            "tollway.cache": "hit",
            "tollway.deployment": answer.deployment,
            "tollway.cost_nanos": 0,
            "tollway.outcome": "ok",
            "tollway.attempts": 0,
        }
    )
