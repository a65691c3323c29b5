"""Letting questions through as far as limits allow: before anything is asked, and settled once it has been.

A place among the requests under way is held until the answer has ended, however it ends, and only for half a minute at
a time: places held by a router that is killed are free soon after.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, suppress
from dataclasses import replace
from functools import partial
from itertools import count
from typing import Any

from mesh.clock import Clock
from mesh.errors import TollwayError
from mesh.ids import uuid7
from mesh.mediator import Behavior, Next, NextStream
from mesh.state.store import Draw, Left, Slot, StateStore
from services.router.domain.expectation import Expectation
from services.router.domain.limits import LEASE, Held, Limits, refusal, settlement, tell_what_is_left
from services.router.handlers.question import Question
from tollway.chat.v1.chat_pb2 import Usage
from tollway.router.v1.router_pb2 import RateLimits

_RENEW_EVERY = LEASE / 3


class Admission(Behavior):
    """Lets through what is within the limits. Raises TollwayError RATE_LIMITED for what is not."""

    def __init__(self, limits: Limits, store: StateStore, clock: Clock) -> None:
        self._limits, self._store, self._clock = limits, store, clock
        self._expectation = Expectation()
        self._name = uuid7(clock.time())
        self._numbers = count()
        self._places: dict[str, Sequence[Slot]] = {}
        self._beside: set[asyncio.Task[None]] = set()

    async def handle(self, message: Any, next: Next) -> Any:
        held = self._held(message)
        if held is None:
            return await next(message)
        admitted = await self._admit(message, held)
        try:
            answer = await next(message)
        finally:
            await self._end(admitted)
        if message.kind.takes_tokens:  # what takes none has no receipt to say it in
            tell_what_is_left(answer.receipt.rate_limits, held, admitted.left)
        return answer

    def handle_stream(self, message: Any, next: NextStream) -> AsyncIterator[Any]:
        held = self._held(message)
        return next(message) if held is None else self._pass_on(message, held, next)

    async def _pass_on(self, question: Question, held: Held, next: NextStream) -> AsyncIterator[Any]:
        admitted = await self._admit(question, held)
        try:
            async with aclosing(next(question)) as responses:  # type: ignore[type-var]  # handlers are generators
                async for response in responses:
                    if response.HasField("receipt"):
                        tell_what_is_left(response.receipt.rate_limits, held, admitted.left)
                    yield response
        finally:
            await self._end(admitted)

    async def draw_request(self, question: Question) -> RateLimits | None:
        """Lets a question through whose answer is at hand: it takes no tokens, and no place. What is left, if anything
        holds it. Raises TollwayError RATE_LIMITED."""
        held = self._held(question)
        if held is None or not held.requests:
            return None
        request = replace(held, tokens=(), slots=())
        admitted = await self._admit(question, request)
        limits = RateLimits()
        tell_what_is_left(limits, request, admitted.left)
        return limits

    async def renew(self) -> None:
        """Holds on to the places of questions under way, for as long as the router runs."""
        while True:
            await self._clock.sleep(_RENEW_EVERY)
            await asyncio.gather(*(self._renew(holder, slots) for holder, slots in self._places.items()))

    async def _renew(self, holder: str, slots: Sequence[Slot]) -> None:
        if holder in self._places:  # still
            with suppress(TollwayError):  # places of a lost store are taken again once it is back
                await self._store.admit((), slots, holder)

    async def close(self) -> None:
        """Waits for what is still being settled."""
        await asyncio.gather(*self._beside)

    def _held(self, question: Question) -> Held | None:
        others = question.preferences.models
        held = self._limits.held(question.principal, question.tags, question.chat.model, others)
        return held if held is None or question.kind.takes_tokens else replace(held, tokens=())

    async def _admit(self, question: Question, held: Held) -> _Admitted:
        tokens: Sequence[Draw] = ()
        if held.tokens:
            tokens = held.draw_tokens(self._expectation.tokens(question.principal.key, question.chat))
        holder = f"{self._name}:{next(self._numbers)}"
        try:
            decision = await self._store.admit((*held.requests, *tokens), held.slots, holder)
        except asyncio.CancelledError:
            await self._store.settle((), held.slots, holder)  # maybe it was not let through; tokens come back with time
            raise
        if not decision.allowed:
            raise refusal(held, decision, tokens, question.about())
        admitted = _Admitted(holder, held.slots, tokens, decision.left)
        if held.slots:
            self._places[holder] = held.slots
        if tokens:
            # Bound to what is needed of the question, not to the question: that would be a cycle, for every request.
            key, model, choices = question.principal.key, question.chat.model, question.chat.choice_count or 1
            question.on_usage = partial(self._note, admitted, key, model, choices)
        return admitted

    def _note(self, admitted: _Admitted, key: str, model: str, choices: int, usage: Usage) -> None:
        took = usage.input_tokens + usage.output_tokens
        self._expectation.note(key, model, usage.output_tokens / choices)
        if not admitted.ended:
            admitted.used += took
            return
        # An answer that was read on after the client had left, for which all was given back.
        more = [Draw(draw.key, draw.rate, took) for draw in admitted.tokens]
        task = asyncio.get_running_loop().create_task(self._store.settle(more, (), admitted.holder))
        self._beside.add(task)
        task.add_done_callback(self._beside.discard)

    async def _end(self, admitted: _Admitted) -> None:
        admitted.ended = True
        owed = settlement(admitted.tokens, admitted.used)
        if admitted.slots:
            self._places.pop(admitted.holder, None)
        if owed or admitted.slots:
            await self._store.settle(owed, admitted.slots, admitted.holder)


class _Admitted:
    """A question that was let through: the places it holds, the tokens drawn for it, and how many were used so far."""

    __slots__ = ("ended", "holder", "left", "slots", "tokens", "used")

    def __init__(self, holder: str, slots: Sequence[Slot], tokens: Sequence[Draw], left: Sequence[Left]) -> None:
        self.holder, self.slots, self.tokens, self.left = holder, slots, tokens, left
        self.used = 0
        self.ended = False
