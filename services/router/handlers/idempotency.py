"""A question under an idempotency key is asked once, however often it is sent.

Whoever sends it first has it asked, by a task of its own, which goes on when the client is gone: a client that lost its
connection asks again and gets all of the answer. A repeat in the same router reads what that task has gathered; one in
another router reads the store, where the answer is appended while it comes. In the end the key's record holds it.

The record of a running question lives for `LEASE` seconds and is renewed by its router. When that is killed, the record
goes, and the next repeat asks anew.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from contextlib import aclosing
from functools import partial
from typing import Any

from mesh.clock import Clock
from mesh.errors import Reason, TollwayError
from mesh.ids import uuid7
from mesh.mediator import Behavior, Next, NextStream
from mesh.metrics import Metrics
from mesh.state.store import StateStore
from mesh.tracing import Kind, Tracer
from services.router.domain import replay
from services.router.domain.fingerprint import scoped
from services.router.domain.replay import Record, Response, Shape, State
from services.router.domain.shelf import Shelf
from services.router.handlers.behaviors import is_question
from services.router.handlers.keeping import LEASE, Keeper, Keeping, log_of
from services.router.handlers.question import Question
from services.router.handlers.run import Run, too_large

log = logging.getLogger(__name__)

_SHORTEST_WAIT, _LONGEST_WAIT = 0.02, 0.5
"""Seconds between two looks at an answer that another router is giving."""
_MOST_ABANDONED = 256
"""Questions that are gone on with though nobody listens."""

_Source = Callable[[], AsyncIterator[Any]]


class _Lost(Exception):
    """Whoever was answering is gone, and had said nothing."""


def has_key(message: Any) -> bool:
    return is_question(message) and bool(message.preferences.idempotency_key)


class Idempotency(Behavior):
    """For questions that have a key. Answers are kept for `keep` seconds, none of more than `max_answer` bytes."""

    def __init__(
        self,
        store: StateStore,
        clock: Clock,
        tracer: Tracer,
        metrics: Metrics,
        *,
        keep: float,
        max_answer: int,
        max_bytes: int,
    ) -> None:
        self._store, self._clock, self._tracer, self._metrics = store, clock, tracer, metrics
        self._keeper = Keeper(store, clock, keep, Shelf(max_bytes), self._have_done)
        self._max_answer = max_answer
        self._runs: dict[str, Run] = {}
        self._carrying: dict[Run, asyncio.Task[None]] = {}
        self._beside: set[asyncio.Task[None]] = set()
        """Appending and renewing."""

    async def handle(self, message: Any, next: Next) -> Any:
        source = partial(_whole, next, message)
        async with aclosing(self._responses(message, source, streamed=False)) as responses:
            return await anext(responses)

    def handle_stream(self, message: Any, next: NextStream) -> AsyncIterator[Any]:
        return self._responses(message, partial(next, message), streamed=True)

    async def close(self) -> None:
        """Ends what runs, so that its keys are free, and waits until everything is written down."""
        for run, carrying in self._carrying.items():
            if not run.ended:
                carrying.cancel()
        await asyncio.gather(*self._carrying.values(), *self._beside, return_exceptions=True)

    # -- asking ----------------------------------------------------------------------------------------------------

    async def _responses(
        self, question: Question, source: _Source, *, streamed: bool
    ) -> AsyncGenerator[Response, None]:
        who, shape = question.principal, question.kind.shape
        assert shape is not None
        key = question.preferences.idempotency_key
        name = "idempotency:" + scoped(who.tenant, who.project, who.key, key)
        mine = Record(
            question.fingerprint(),
            streamed,
            uuid7(self._clock.time()),
            State.RUNNING,
        )
        while True:
            run = self._runs.get(name)
            found = None if run is not None else await self._claim(name, mine)
            if run is None:
                run = self._runs.get(name)  # it may have begun here while the store was asked
            if run is None and found is None:
                async with aclosing(self._first(name, mine, source)) as responses:
                    async for response in responses:
                        yield response
                return
            theirs = run.record if run is not None else found
            assert theirs is not None
            self._refuse_conflict(question, theirs, mine)
            try:
                answer = (
                    self._given_here(run, question) if run else self._given_elsewhere(name, theirs, question, shape)
                )
                async with aclosing(self._repeat(question, theirs, answer)) as responses:
                    async for response in responses:
                        yield response
                return
            except _Lost:
                continue

    async def _claim(self, name: str, mine: Record) -> Record | None:
        """Takes the key; or tells who has it."""
        new = replay.encode(mine)
        while True:
            if await self._store.add(name, new, LEASE):
                return None
            old = await self._store.get(name)
            if old is None:  # it has just lapsed
                continue
            theirs = replay.decode(old)
            if theirs.state is not State.RELEASED:
                return theirs
            if await self._store.swap(name, old, new, LEASE):
                return None

    def _refuse_conflict(self, question: Question, theirs: Record, mine: Record) -> None:
        if wrong := replay.conflict(theirs, mine.fingerprint, streamed=mine.streamed):
            self._count("conflict")
            raise TollwayError(Reason.IDEMPOTENCY_CONFLICT, wrong, question.about())

    # -- the first time --------------------------------------------------------------------------------------------

    async def _first(self, name: str, record: Record, source: _Source) -> AsyncGenerator[Response, None]:
        run = self._runs[name] = Run(name, record, self._max_answer)
        carrying = asyncio.get_running_loop().create_task(self._carry(run, source()))
        self._carrying[run] = carrying
        carrying.add_done_callback(partial(self._carried, run))
        try:
            async with aclosing(run.first()) as responses:
                async for response in responses:
                    yield response
        finally:
            if not run.ended and self._abandoned() > _MOST_ABANDONED:
                carrying.cancel()

    async def _carry(self, run: Run, responses: AsyncIterator[Any]) -> None:
        """Gathers the answer, whoever listens, and writes down what became of it."""
        keeping = Keeping(self._keeper, run)
        try:
            async with aclosing(responses):  # type: ignore[type-var]  # a pipeline ends in an async generator
                async for response in responses:
                    run.add(response)
                    if run.kept:
                        keeping.append_soon()
                    else:
                        await keeping.give_up()
                        await run.room()
        finally:
            run.end(_as_told(sys.exception()))
            await keeping.conclude()

    def _carried(self, run: Run, carrying: asyncio.Task[None]) -> None:
        del self._carrying[run], self._runs[run.name]
        if not run.ended:  # it was cancelled before it began
            run.end(_as_told(asyncio.CancelledError()))
        error = None if carrying.cancelled() else carrying.exception()
        if error is not None and not isinstance(error, TollwayError):
            log.error("A question under an idempotency key failed unexpectedly", exc_info=error)

    def _abandoned(self) -> int:
        return sum(not run.readers and not run.ended for run in self._carrying)

    # -- again -----------------------------------------------------------------------------------------------------

    async def _repeat(
        self, question: Question, theirs: Record, answer: AsyncGenerator[Response, None]
    ) -> AsyncGenerator[Response, None]:
        """The answer to a repeat, under a span of its own."""
        how = "attached" if theirs.state is State.RUNNING else "replayed"
        self._count(how)
        span = self._tracer.start(f"repeat {question.chat.model}", Kind.INTERNAL, question.parent)
        if span.recording:
            span.set({"tollway.idempotency": how})
        try:
            async with aclosing(answer):
                async for response in answer:
                    if span.recording and response.HasField("receipt"):
                        span.set({"tollway.origin.trace_id": response.receipt.trace_id})
                    yield response
        except TollwayError as failure:
            span.fail(failure.reason)
            raise
        finally:
            span.end()

    def _given_here(self, run: Run, question: Question) -> AsyncGenerator[Response, None]:
        return run.again(lambda change: self._wait(change, question.deadline))

    async def _given_elsewhere(
        self, name: str, theirs: Record, question: Question, shape: Shape
    ) -> AsyncGenerator[Response, None]:
        """What the key's owner has said and says, out of the store. Raises _Lost, TollwayError."""
        given = read = 0
        wait = _SHORTEST_WAIT
        now: Record | None = theirs
        while True:
            if now is None or now.owner != theirs.owner:
                if not given:
                    raise _Lost
                raise TollwayError(
                    Reason.SERVICE_UNAVAILABLE,
                    "The router that gave this answer is gone. The question can be asked anew, under the same key.",
                    question.about(),
                )
            if now.state is not State.RUNNING:
                for response in _concluded(now, shape)[given:]:
                    yield replay.repeated(response)
                return
            pieces = await self._store.pieces(log_of(theirs), read) if theirs.streamed else ()
            for piece in pieces:
                for response in replay.unframed(piece, shape):
                    given += 1
                    yield replay.repeated(response)
            read += len(pieces)
            wait = _SHORTEST_WAIT if pieces else min(wait * 2, _LONGEST_WAIT)
            await self._wait(self._clock.sleep(wait), question.deadline)
            kept = await self._store.get(name)
            now = None if kept is None else replay.decode(kept)

    async def _wait(self, what: asyncio.Future[None] | Coroutine[Any, Any, None], deadline: float | None) -> None:
        if deadline is None:
            await what
            return
        try:
            async with self._clock.timeout(deadline - self._clock.monotonic()):
                await what
        except TimeoutError:
            raise TollwayError(Reason.DEADLINE_EXCEEDED, "The deadline passed before the answer was whole.") from None

    def _count(self, outcome: str) -> None:
        self._metrics.count("tollway.idempotency.repeats", 1, {"tollway.outcome": outcome})

    def _have_done(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Has something done that nobody waits for."""
        task = asyncio.get_running_loop().create_task(work)
        self._beside.add(task)
        task.add_done_callback(self._beside.discard)
        return task


async def _whole(next: Next, message: Any) -> AsyncGenerator[Any, None]:
    """A whole answer, as the only one of a stream."""
    yield await next(message)


def _as_told(error: BaseException | None) -> TollwayError | None:
    """What readers are told of whatever ended a run."""
    if error is None or isinstance(error, TollwayError):
        return error
    if isinstance(error, asyncio.CancelledError):
        return TollwayError(
            Reason.SERVICE_UNAVAILABLE, "The router ended this question. Asked again, it is asked anew."
        )
    return TollwayError(Reason.INTERNAL, "Something went wrong inside the router; its log says what.")


def _concluded(record: Record, shape: Shape) -> list[Response]:
    """The answer that a record holds. Raises TollwayError for one that holds none."""
    if record.state is State.ANSWERED:
        return replay.unframed(record.frames, shape)
    if record.failure is not None:
        raise replay.told(record.failure)
    raise too_large()
