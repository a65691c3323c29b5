"""One chat operation with all its attempts: who is asked next, what the client is told, and the span around it all."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import replace
from types import TracebackType

from mesh.clock import Clock
from mesh.errors import Reason, TollwayError
from mesh.metrics import with_label
from mesh.tracing import AttributeValue, Kind
from services.router.domain import genai
from services.router.domain.answer import Answer
from services.router.domain.assembled import Assembled
from services.router.domain.assured import Assured
from services.router.domain.continuation import Broken, Way, prefilled, way_on
from services.router.domain.fleet import Pass
from services.router.domain.hedging import patience
from services.router.domain.resumed import Prefilled, Spliced
from services.router.domain.routes import Candidate
from services.router.domain.schedule import GiveUp, NextCandidate, RetryAfter, Tried, remaining
from services.router.domain.splice import Diverged
from services.router.domain.verdict import LeftAlone, Showed, broken_off, verdict
from services.router.handlers.attempt import CONTINUATIONS, AttemptRun, Turn
from services.router.handlers.charging import charged, charged_now
from services.router.handlers.desk import Desk, Question, select, told
from tollway.chat.v1.chat_pb2 import ChatChunk, Usage
from tollway.ledger.v1.ledger_pb2 import (
    ATTEMPT_KIND_CONTINUATION,
    ATTEMPT_KIND_HEDGE,
    ATTEMPT_STATUS_CANCELLED,
    Attempt,
)
from tollway.router.v1.router_pb2 import CONTINUATION_PREFILL, Receipt

log = logging.getLogger(__name__)


class Operation:
    """An operation under way. Raises TollwayError for a name that nobody answers to, and where nobody can be asked."""

    attempt: AttemptRun
    """The one that is being made."""

    def __init__(self, desk: Desk, question: Question, *, streamed: bool) -> None:
        budgeting = desk.budgeting
        self._account = budgeting.account(question, question.chat, question.tags) if budgeting is not None else None
        self._assembles = not streamed and self._account is not None and self._account.hears(question.chat)
        selected = select(desk.selection, desk.clock, question, streamed=streamed or self._assembles)
        if selected.chat is not question.chat:
            question = replace(question, chat=selected.chat)  # as the rules want it asked
        self._desk, self._question, self._streamed = desk, question, streamed or self._assembles
        self._plan = selected.plan
        self._began = desk.clock.monotonic()
        self._tried = Tried()
        self._shown: list[Showed] = []
        self._attempts = 0
        self._spent = 0
        self._waited = 0.0
        self._broken: Broken | None = None
        self._way: Way | None = None
        self._hedge: AttemptRun | None = None
        self._hedged = False
        self._ended = False
        self._span = desk.tracer.start(f"chat {question.chat.model}", Kind.CLIENT, question.parent)
        if self._span.recording and selected.outcomes:
            self._span.set(genai.ruled_attributes(selected.outcomes))
        if selected.refusal is not None:
            self._span.fail(selected.refusal.reason)
            self._span.end()
            raise told(selected.refusal, {**question.about(), "trace_id": self._span.context.trace_id})
        if self._span.recording:
            provider = self._candidate.deployment.model_provider
            self._span.set(genai.request_attributes(question.chat, provider, streamed=streamed))
            self._span.set(genai.account_attributes(question.principal))
        if (hedge := self._plan.route.hedge) is not None:
            desk.hedges.of(self._plan.route.name).note_question(hedge.budget)

    @property
    def clock(self) -> Clock:
        return self._desk.clock

    @property
    def _candidate(self) -> Candidate:
        return self._plan.candidates[self._tried.index]

    # -- making attempts -------------------------------------------------------------------------------------------

    async def open_attempt(self) -> None:
        """Writes the next call down and makes it ready to leave. Raises TollwayError where none may leave."""
        while True:
            left = self._time_left()
            if left is not None and left <= 0:
                raise self._told(
                    TollwayError(Reason.DEADLINE_EXCEEDED, "The deadline passed before anyone could be asked.")
                )
            passed = self._desk.fleet.standing(self._candidate.name).enter(self.clock.monotonic())
            if passed is not None:
                break
            await self._step_aside(left)
        try:
            turn = await charged(self._desk, self._account, self._turn(passed), left)
        except TollwayError as refusal:
            raise self._told(refusal) from None
        self.attempt = await self._open(turn)

    async def _step_aside(self, left: float | None) -> None:
        """Leaves the candidate alone whose breaker is open: moves on, or waits for the first that comes back."""
        decision = self._desk.schedule.step_aside(self._plan, self._tried, left, self._waited, self._wait)
        match decision:
            case RetryAfter(delay):
                self._waited += delay
                await self.clock.sleep(delay)
            case NextCandidate(index):
                self._tried.move(index)
            case GiveUp():
                raise self._told(verdict(self._shown, self._left_alone()))

    def _turn(self, passed: Pass) -> Turn:
        index, candidate, number = self._tried.index, self._candidate, self._attempts + 1
        chat, timed = self._question.chat, self._plan.route.hedge is not None
        if self._broken is None or self._way is None:
            return Turn(index, candidate, number, passed, chat, self._new_answer(), timed=timed)
        how, said = self._way.how, self._broken.said
        answer: Answer
        if how == CONTINUATION_PREFILL:
            chat, answer = prefilled(chat, said), Prefilled(said)
        else:
            answer = Spliced(said, chat.choice_count or 1)
        return Turn(index, candidate, number, passed, chat, answer, ATTEMPT_KIND_CONTINUATION, how)

    def _new_answer(self) -> Answer | None:
        if not self._streamed:
            return None
        preferences, choices = self._question.preferences, self._question.chat.choice_count or 1
        if self._assembles:
            return Assembled(choices)
        assured = preferences.assured if preferences.HasField("assured") else self._plan.route.assured
        return Assured(choices) if assured else Answer(choices)

    async def _open(self, turn: Turn) -> AttemptRun:
        attempt = AttemptRun(self._desk, self._question, turn, self._span.context)
        try:
            await attempt.open()
        except TollwayError as failure:
            raise self._told(failure) from failure
        self._attempts = turn.number
        return attempt

    def _wait(self, candidate: Candidate) -> float:
        """Seconds that the candidate is to be left alone for."""
        shut = self._desk.fleet.standing(candidate.name).closed_to(self.clock.monotonic())
        return 0.0 if shut is None else shut.wait

    # -- after a failure -------------------------------------------------------------------------------------------

    async def recover(self, failure: TollwayError) -> None:
        """Waits or moves on, so that another attempt can be made; raises what the client is told where none can."""
        attempt = self.attempt
        self._note(attempt, failure)
        self._tried.note(self._plan, failure)
        # Timers do not agree to the millisecond: a call that the client's deadline ended is the last.
        over = attempt.row.status == ATTEMPT_STATUS_CANCELLED and not isinstance(failure, Diverged)
        left = 0.0 if over else self._time_left()
        if attempt.answer is not None and attempt.answer.committed:
            self._break_off(attempt, attempt.answer, failure)
        if self._broken is not None:
            self._go_on(self._broken, failure, left)
            return
        decision = self._desk.schedule.decide(self._plan, self._tried, failure, left, self._wait)
        match decision:
            case RetryAfter(delay):
                await self.clock.sleep(delay)
            case NextCandidate(index):
                self._tried.move(index)
            case GiveUp():
                raise self._told(verdict(self._shown, self._left_alone())) from failure

    def _note(self, attempt: AttemptRun, failure: TollwayError) -> None:
        self.add_cost(attempt)
        self._shown.append(Showed(attempt.candidate, failure))

    def add_cost(self, attempt: AttemptRun) -> None:
        """Of an attempt that did not bring the answer, or not all of it."""
        self._spent += attempt.row.cost_nanos

    def _left_alone(self) -> list[LeftAlone]:
        """The candidates that nobody may ask now."""
        standing, now = self._desk.fleet.standing, self.clock.monotonic()
        shut = ((candidate, standing(candidate.name).closed_to(now)) for candidate in self._plan.candidates)
        return [LeftAlone(candidate, why.reason, why.wait) for candidate, why in shut if why is not None]

    # -- going on with an answer that broke off -----------------------------------------------------------------------

    def _break_off(self, attempt: AttemptRun, answer: Answer, failure: TollwayError) -> None:
        """Keeps what has been delivered, and what it took."""
        said, showed = answer.delivered(), Showed(attempt.candidate, failure)
        if self._broken is None:
            self._broken = Broken(said, showed)
        self._broken.said, self._broken.showed = said, showed
        self._broken.add(attempt.turn.how, attempt.row)

    def _go_on(self, broken: Broken, failure: TollwayError, left: float | None) -> None:
        if left is not None and left <= 0:
            raise self._told(verdict([Showed(self._candidate, failure)])) from failure
        way = None
        if broken.calls < self._plan.route.continuations:
            way = way_on(self._plan, self._tried, self._question.chat, broken.said, broken.showed.failure, self._wait)
        if way is None:
            raise self._told(broken_off(broken.showed, self._shown)) from failure
        broken.calls += 1
        self._way = way
        self._tried.resume(way.index)

    # -- a second attempt beside the first -----------------------------------------------------------------------------

    def hedge_after(self) -> float | None:
        """Seconds after which another attempt is made beside this one; None: none is."""
        hedge = self._plan.route.hedge
        if hedge is None or self._hedge is not None or self._broken is not None or not self._rivals():
            return None
        now, standing = self.clock.monotonic(), self._desk.fleet.standing
        return patience(
            hedge,
            (
                standing(candidate.name).waits[self._streamed].p95(now)
                for candidate in self._plan.candidates
                if candidate.stands_for == self._candidate.stands_for
            ),
        )

    def _rivals(self) -> list[tuple[int, Candidate]]:
        """Deployments of the same model that could be asked now."""
        name = self._candidate.stands_for
        return [
            (index, candidate)
            for index, candidate in remaining(self._plan, self._tried)
            if candidate.stands_for == name and not self._wait(candidate)
        ]

    async def open_hedge(self) -> AttemptRun | None:
        """A second call elsewhere, ready to leave; None where there is nobody, or no budget for it."""
        left, rivals = self._time_left(), self._rivals()
        if not rivals or (left is not None and left <= 0):
            return None
        if not self._desk.hedges.of(self._plan.route.name).take():
            return None
        index, candidate = rivals[0]
        passed = self._desk.fleet.standing(candidate.name).enter(self.clock.monotonic())
        if passed is None:
            return None
        number = self._attempts + 1
        turn = charged_now(self._desk, self._account, Turn(
            index, candidate, number, passed, self._question.chat, self._new_answer(), ATTEMPT_KIND_HEDGE, timed=True
        ))  # fmt: skip
        if turn is None:
            return None
        try:
            self._hedge = await self._open(turn)
        except TollwayError:
            return None  # it cannot be written down, so it is not made; the first attempt is under way all the same
        return self._hedge

    def pass_over(self, attempt: AttemptRun, failure: TollwayError) -> None:
        """One of two attempts failed; the other is waited for."""
        self._note(attempt, failure)
        self._tried.spent |= {attempt.turn.index}

    def settle_on(self, attempt: AttemptRun) -> None:
        """Of two attempts, this is the one whose answer, or failure, counts."""
        self.attempt = attempt
        if attempt.turn.index != self._tried.index:
            self._tried.move(attempt.turn.index)

    # -- the answer ------------------------------------------------------------------------------------------------

    def held_back(self) -> Iterable[ChatChunk]:
        """What of a streamed answer that ended well waited for its end."""
        return self._answer().held

    def ending(self) -> ChatChunk:
        """The last chunk of a streamed answer that ended well."""
        ending = self._answer().ending()
        if self._broken is not None and ending.HasField("usage"):
            ending.usage.CopyFrom(self._broken.usage_with(self.attempt.turn.how, self.attempt.row))
        return ending

    def _answer(self) -> Answer:
        assert self.attempt.answer is not None
        return self.attempt.answer

    def opening_receipt(self) -> Receipt:
        """For the first message of a stream: all but the cost. The first content goes out with it."""
        took = self._desk.clock.monotonic() - self._began
        self._desk.metrics.record("gen_ai.client.operation.time_to_first_chunk", took, self._candidate.labels)
        if self._span.recording:
            self._span.set({"gen_ai.response.time_to_first_chunk": took})
        return self._receipt()

    def finish(self) -> Receipt:
        """Ends the operation with the attempt's answer; the complete receipt."""
        attempt, receipt = self.attempt, self._receipt()
        row = attempt.row
        if self._broken is not None and attempt.turn.how is not None:
            receipt.continuations.extend((*self._broken.ways, attempt.turn.how))
        if row.HasField("cost_nanos"):
            receipt.cost_nanos = self._spent + row.cost_nanos
        if self._span.recording:
            self._span.set(self._answered(attempt, receipt))
        self._count_tokens(row)
        self._end("ok", "")
        return receipt

    def __enter__(self) -> Operation:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if error is None or self._ended:
            return
        if isinstance(error, (asyncio.CancelledError, GeneratorExit)):
            self._end("cancelled", "")
            return
        reason = error.reason if isinstance(error, TollwayError) else Reason.INTERNAL
        self._span.fail(reason)
        self._end("failed", reason)

    # -- what is said about it -------------------------------------------------------------------------------------

    def _time_left(self) -> float | None:
        deadline = self._question.deadline
        return None if deadline is None else deadline - self._desk.clock.monotonic()

    def _told(self, failure: TollwayError) -> TollwayError:
        about = {
            **failure.metadata,
            "request_id": self._question.request_id,
            "trace_id": self._span.context.trace_id,
            "attempts": str(self._attempts),
        }
        return TollwayError(failure.reason, failure.message, about, failure.retry_after, failure.violations)

    def _receipt(self) -> Receipt:
        # Whatever goes on with its answer later: it was the second attempt that answered.
        self._hedged = self._hedged or (self._hedge is not None and self.attempt is self._hedge)
        return Receipt(
            request_id=self._question.request_id,
            trace_id=self._span.context.trace_id,
            deployment=self._candidate.name,
            attempts=self._attempts,
            hedged=self._hedged,
            dropped=self.attempt.dropped,
        )

    def _answered(self, attempt: AttemptRun, receipt: Receipt) -> dict[str, AttributeValue]:
        attributes: dict[str, AttributeValue] = {
            "gen_ai.provider.name": attempt.row.model_provider,
            "tollway.deployment": receipt.deployment,
            **attempt.said(),
        }
        if attempt.row.HasField("usage"):
            attributes.update(genai.usage_attributes(self._usage(attempt)))
        if receipt.continuations:
            attributes["tollway.continued"] = tuple(CONTINUATIONS[how] for how in receipt.continuations)
        if receipt.hedged:
            attributes["tollway.hedged"] = True
        if receipt.HasField("cost_nanos"):
            attributes["tollway.cost_nanos"] = receipt.cost_nanos
        return attributes

    def _usage(self, attempt: AttemptRun) -> Usage:
        """What the answer took, as if one attempt had given all of it."""
        if self._broken is None:
            return attempt.row.usage
        return self._broken.usage_with(attempt.turn.how, attempt.row)

    def _count_tokens(self, row: Attempt) -> None:
        if not row.HasField("usage"):
            return
        record, labels = self._desk.metrics.record, self._candidate.labels
        record("gen_ai.client.token.usage", row.usage.input_tokens, with_label(labels, "gen_ai.token.type", "input"))
        record("gen_ai.client.token.usage", row.usage.output_tokens, with_label(labels, "gen_ai.token.type", "output"))

    def _end(self, outcome: str, error_type: str) -> None:
        self._ended = True
        labels = self._candidate.labels
        if error_type:
            labels = with_label(labels, "error.type", error_type)
        took = self._desk.clock.monotonic() - self._began
        self._desk.metrics.record("gen_ai.client.operation.duration", took, labels)
        log.debug(
            "%s: %s in %d attempts, %s", self._question.request_id, outcome, self._attempts, error_type or "no error"
        )
        if self._span.recording:
            self._span.set({"tollway.outcome": outcome, "tollway.attempts": self._attempts})
        self._span.end()
