"""One operation with all its attempts: who is asked next, what the client is told, and the span around it all.

What goes beyond asking one after the other (going on with a broken answer, a second attempt beside the first) is a
conversation's: see `conversing`.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from types import TracebackType
from typing import Self

from mesh.clock import Clock
from mesh.errors import Reason, TollwayError
from mesh.metrics import LabelSet, with_label
from mesh.tracing import AttributeValue, Kind
from services.router.domain import genai
from services.router.domain.answer import Answer
from services.router.domain.fleet import Pass
from services.router.domain.passed_on import PassedOn
from services.router.domain.routes import Candidate
from services.router.domain.schedule import GiveUp, NextCandidate, RetryAfter, Tried
from services.router.domain.splice import Diverged
from services.router.domain.verdict import LeftAlone, Showed, broken_off, verdict
from services.router.handlers.attempt import AttemptRun, Turn
from services.router.handlers.charging import charged
from services.router.handlers.desk import Desk, select
from services.router.handlers.question import Question, told
from tollway.chat.v1.chat_pb2 import Usage
from tollway.ledger.v1.ledger_pb2 import ATTEMPT_STATUS_CANCELLED, Attempt
from tollway.router.v1.router_pb2 import Receipt

log = logging.getLogger(__name__)


class Operation:
    """An operation under way. Raises TollwayError for a name that nobody answers to, and where nobody can be asked.

    `streamed`: the client is given the answer as it arrives.
    """

    attempt: AttemptRun
    """The one that is being made."""

    def __init__(self, desk: Desk, question: Question, *, streamed: bool) -> None:
        budgeting = desk.budgeting
        unbounded = "" if question.kind.bounded else question.operation
        self._account = (
            budgeting.account(question, question.chat, question.tags, unbounded=unbounded)
            if budgeting is not None
            else None
        )
        self._streamed = self._hears(question, streamed=streamed)
        selected = select(desk.selection, desk.clock, question, streamed=self._streamed)
        if selected.chat is not question.chat:
            question = replace(question, chat=selected.chat)  # as the rules want it asked
        self._desk, self._question = desk, question
        self._plan = selected.plan
        self._began = desk.clock.monotonic()
        self._tried = Tried()
        self._shown: list[Showed] = []
        self._attempts = 0
        self._spent = 0
        self._waited = 0.0
        self._ended = False
        self._span = desk.tracer.start(f"{question.operation} {question.chat.model}", Kind.CLIENT, question.parent)
        if self._span.recording and selected.outcomes:
            self._span.set(genai.ruled_attributes(selected.outcomes))
        if selected.refusal is not None:
            self._span.fail(selected.refusal.reason)
            self._span.end()
            raise told(selected.refusal, {**question.about(), "trace_id": self._span.context.trace_id})
        if self._span.recording:
            self._span.set(question.told(self._candidate.deployment.model_provider, streamed=streamed))
            self._span.set(genai.account_attributes(question.principal))

    @property
    def clock(self) -> Clock:
        return self._desk.clock

    @property
    def _candidate(self) -> Candidate:
        return self._plan.candidates[self._tried.index]

    # -- what kinds of operations do in their own way --------------------------------------------------------------

    def _hears(self, question: Question, *, streamed: bool) -> bool:
        """Whether the answer is heard as it is given."""
        return streamed

    def _turn(self, passed: Pass) -> Turn:
        """The next attempt."""
        answer = PassedOn() if self._streamed else None
        return Turn(self._tried.index, self._candidate, self._attempts + 1, passed, self._question.chat, answer)

    def _interrupted(self, answer: Answer, failure: TollwayError, left: float | None) -> None:
        """An answer broke off after some of it was delivered. Raises what the client is told."""
        raise self._told(broken_off(self._shown[-1], self._shown)) from failure

    def _goes_on(self, failure: TollwayError, left: float | None) -> bool:
        """Whether there is something to go on with, and somebody who will; raises what the client is told where there
        is nobody."""
        return False

    def _complete(self, receipt: Receipt) -> None:
        """Adds to the receipt what is known at the end."""

    def _usage(self, attempt: AttemptRun) -> Usage:
        """What the answer took."""
        return attempt.row.usage

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
            self._interrupted(attempt.answer, failure, left)
        if self._goes_on(failure, left):
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

    # -- the answer ------------------------------------------------------------------------------------------------

    def opening_receipt(self) -> Receipt:
        """For the first message of a stream: all but the cost. The first content goes out with it."""
        took = self._desk.clock.monotonic() - self._began
        self._desk.metrics.record("gen_ai.client.operation.time_to_first_chunk", took, self._labels)
        if self._span.recording:
            self._span.set({"gen_ai.response.time_to_first_chunk": took})
        return self._receipt()

    def finish(self) -> Receipt:
        """Ends the operation with the attempt's answer; the complete receipt."""
        attempt, receipt = self.attempt, self._receipt()
        self._complete(receipt)
        row = attempt.row
        if row.HasField("cost_nanos"):
            receipt.cost_nanos = self._spent + row.cost_nanos
        if self._span.recording:
            self._span.set(self._answered(attempt, receipt))
        self._count_tokens(row)
        self._end("ok", "")
        return receipt

    def __enter__(self) -> Self:
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

    @property
    def _labels(self) -> LabelSet:
        labels, operation = self._candidate.labels, self._question.operation
        return labels if operation == "chat" else with_label(labels, "gen_ai.operation.name", operation)

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
        receipt = Receipt()  # written field by field, which takes a fifth of what keywords do
        receipt.request_id = self._question.request_id
        receipt.trace_id = self._span.context.trace_id
        receipt.deployment = self._candidate.name
        receipt.attempts = self._attempts
        if dropped := self.attempt.dropped:
            receipt.dropped.extend(dropped)
        return receipt

    def _answered(self, attempt: AttemptRun, receipt: Receipt) -> dict[str, AttributeValue]:
        attributes: dict[str, AttributeValue] = {
            "gen_ai.provider.name": attempt.row.model_provider,
            "tollway.deployment": receipt.deployment,
            **attempt.said(),
        }
        if attempt.row.HasField("usage"):
            attributes.update(genai.usage_attributes(self._usage(attempt)))
        if receipt.HasField("cost_nanos"):
            attributes["tollway.cost_nanos"] = receipt.cost_nanos
        return attributes

    def _count_tokens(self, row: Attempt) -> None:
        if not row.HasField("usage"):
            return
        record, labels = self._desk.metrics.record, self._labels
        record("gen_ai.client.token.usage", row.usage.input_tokens, with_label(labels, "gen_ai.token.type", "input"))
        record("gen_ai.client.token.usage", row.usage.output_tokens, with_label(labels, "gen_ai.token.type", "output"))

    def _end(self, outcome: str, error_type: str) -> None:
        self._ended = True
        labels = self._labels
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
