"""One chat operation with all its attempts: who is asked next, what the client is told, and the span around it all."""

from __future__ import annotations

import asyncio
import logging
from types import TracebackType

from mesh.errors import Reason, TollwayError
from mesh.tracing import AttributeValue, Kind
from services.router.domain import genai
from services.router.domain.principal import Principal
from services.router.domain.routes import Candidate, Plan
from services.router.domain.schedule import GiveUp, NextCandidate, RetryAfter, Tried
from services.router.domain.verdict import Showed, verdict
from services.router.handlers.attempt import AttemptRun
from services.router.handlers.desk import Desk, Question
from tollway.ledger.v1.ledger_pb2 import ATTEMPT_STATUS_CANCELLED, Attempt
from tollway.router.v1.router_pb2 import Receipt

log = logging.getLogger(__name__)


class Operation:
    """An operation under way. Raises TollwayError MODEL_NOT_FOUND for a name that nobody answers to."""

    def __init__(self, desk: Desk, question: Question, *, streamed: bool) -> None:
        self._desk, self._question, self._streamed = desk, question, streamed
        self._plan = _plan(desk, question)
        self._began = desk.clock.monotonic()
        self._tried = Tried()
        self._shown: list[Showed] = []
        self._attempts = 0
        self._spent = 0
        self._ended = False
        self._span = desk.tracer.start(f"chat {question.chat.model}", Kind.CLIENT, question.parent)
        if self._span.recording:
            provider = self._candidate.deployment.model_provider
            self._span.set(genai.request_attributes(question.chat, provider, streamed=streamed))
            self._span.set(_account(question.principal))

    @property
    def _candidate(self) -> Candidate:
        return self._plan.candidates[self._tried.index]

    def open_attempt(self) -> AttemptRun:
        """The next call, written down and ready to leave. Raises TollwayError where none may leave."""
        left = self._time_left()
        if left is not None and left <= 0:
            raise self._told(
                TollwayError(Reason.DEADLINE_EXCEEDED, "The deadline passed before anyone could be asked.")
            )
        number = self._attempts + 1
        try:
            attempt = AttemptRun(
                self._desk, self._question, self._candidate, number, self._span.context, streamed=self._streamed
            )
        except TollwayError as failure:
            raise self._told(failure) from failure
        self._attempts = number
        return attempt

    async def recover(self, attempt: AttemptRun, failure: TollwayError) -> None:
        """Waits or moves on, so that another attempt can be made; raises what the client is told where none can."""
        self._spent += attempt.row.cost_nanos
        self._shown.append(Showed(self._candidate, failure))
        self._tried.note(self._plan, failure)
        # Timers do not agree to the millisecond: a call that the client's deadline ended is the last.
        left = 0.0 if attempt.row.status == ATTEMPT_STATUS_CANCELLED else self._time_left()
        decision = self._desk.schedule.decide(self._plan, self._tried, failure, left)
        match decision:
            case RetryAfter(delay):
                await self._desk.clock.sleep(delay)
            case NextCandidate(index):
                self._tried.move(index)
            case GiveUp():
                raise self._told(verdict(self._shown)) from failure

    def interrupted(self, failure: TollwayError) -> TollwayError:
        """What the client is told of a failure after the first content."""
        return self._told(verdict([Showed(self._candidate, failure)]))

    def opening_receipt(self) -> Receipt:
        """For the first message of a stream: all but the cost. The first content goes out with it."""
        took = self._desk.clock.monotonic() - self._began
        self._desk.metrics.record("gen_ai.client.operation.time_to_first_chunk", took, self._candidate.labels)
        if self._span.recording:
            self._span.set({"gen_ai.response.time_to_first_chunk": took})
        return self._receipt()

    def finish(self, attempt: AttemptRun) -> Receipt:
        """Ends the operation with the answer of `attempt`; the complete receipt."""
        row = attempt.row
        receipt = self._receipt()
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
        return Receipt(
            request_id=self._question.request_id,
            trace_id=self._span.context.trace_id,
            deployment=self._candidate.name,
            attempts=self._attempts,
        )

    def _answered(self, attempt: AttemptRun, receipt: Receipt) -> dict[str, AttributeValue]:
        attributes: dict[str, AttributeValue] = {
            "gen_ai.provider.name": attempt.row.model_provider,
            "tollway.deployment": receipt.deployment,
            **attempt.said(),
        }
        if attempt.row.HasField("usage"):
            attributes.update(genai.usage_attributes(attempt.row.usage))
        if receipt.HasField("cost_nanos"):
            attributes["tollway.cost_nanos"] = receipt.cost_nanos
        return attributes

    def _count_tokens(self, row: Attempt) -> None:
        if not row.HasField("usage"):
            return
        record, labels = self._desk.metrics.record, self._candidate.labels
        record("gen_ai.client.token.usage", row.usage.input_tokens, {**labels, "gen_ai.token.type": "input"})
        record("gen_ai.client.token.usage", row.usage.output_tokens, {**labels, "gen_ai.token.type": "output"})

    def _end(self, outcome: str, error_type: str) -> None:
        self._ended = True
        labels = self._candidate.labels
        if error_type:
            labels = {**labels, "error.type": error_type}
        took = self._desk.clock.monotonic() - self._began
        self._desk.metrics.record("gen_ai.client.operation.duration", took, labels)
        log.debug(
            "%s: %s in %d attempts, %s", self._question.request_id, outcome, self._attempts, error_type or "no error"
        )
        if self._span.recording:
            self._span.set({"tollway.outcome": outcome, "tollway.attempts": self._attempts})
        self._span.end()


def _account(principal: Principal) -> dict[str, AttributeValue]:
    return {
        "tollway.tenant": principal.tenant,
        "tollway.project": principal.project,
        "tollway.key": principal.key,
    }


def _plan(desk: Desk, question: Question) -> Plan:
    model = question.chat.model
    plan = desk.routes.plan(model)
    if plan is None:
        raise TollwayError(
            Reason.MODEL_NOT_FOUND,
            f"The model {model!r} does not exist here. GET /v1/models (RouterService.ListModels) lists those that do.",
            question.about(),
        )
    return plan
