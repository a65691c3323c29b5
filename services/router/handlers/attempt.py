"""The account of one attempt: journal `opened`, then whatever happens, then journal `settled`, under one span.

`with attempt:` settles it however the block is left: by its end, an error, the client's leaving, or a bug. An attempt
that was handed over to the drains is left alone then, and settled by them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from types import TracebackType
from typing import Any

from mesh.errors import Reason, TollwayError
from mesh.ids import uuid7
from mesh.prices import unix_seconds
from mesh.tracing import AttributeValue, Kind, TraceContext
from services.router.domain import genai, settlement
from services.router.domain.answer import Answer
from services.router.domain.failures import heard_upstream
from services.router.domain.routes import Candidate
from services.router.domain.settlement import CANCELLED, OK, Ending
from services.router.domain.usage import Counted, count, message_size
from services.router.handlers.desk import Desk, Question
from tollway.chat.v1.chat_pb2 import ChatResponse, FinishReason, Usage
from tollway.ledger.v1.ledger_pb2 import (
    ATTEMPT_STATE_OPENED,
    ATTEMPT_STATUS_CANCELLED,
    ATTEMPT_STATUS_FAILED,
    ATTEMPT_STATUS_INTERRUPTED,
    ATTEMPT_STATUS_OK,
    Attempt,
)
from tollway.providers.v1.providers_pb2 import UpstreamCall

_OUTCOMES = {
    ATTEMPT_STATUS_OK: "ok",
    ATTEMPT_STATUS_FAILED: "failed",
    ATTEMPT_STATUS_INTERRUPTED: "interrupted",
    ATTEMPT_STATUS_CANCELLED: "cancelled",
}
_FINISHES = {number: name for name, number in FinishReason.items() if number}
_NOTHING = ChatResponse()


class AttemptRun:
    """An attempt under way. Making one writes `opened`; raises TollwayError where that cannot be written."""

    def __init__(
        self, desk: Desk, question: Question, candidate: Candidate, number: int, parent: TraceContext, *, streamed: bool
    ) -> None:
        self.candidate, self.question = candidate, question
        self._desk = desk
        self._began = desk.clock.monotonic()
        self._content_at: float | None = None
        self._heard = False
        self._handed_over = False
        self._answer: Answer | None = None
        self._response = _NOTHING
        self._standing = desk.fleet.standing(candidate.name)
        self._span = desk.tracer.start(f"attempt {number} {candidate.name}", Kind.INTERNAL, parent)
        self.place = self._span.context
        """In the trace."""
        self.row = self._opened_row(number, streamed)
        """What the ledger is told; complete once the attempt is settled."""
        try:
            self._entry = desk.journal.opened(self.row)
        except TollwayError as failure:
            self._span.fail(failure.reason)
            self._span.end()
            raise
        self._standing.in_flight += 1

    def _opened_row(self, number: int, streamed: bool) -> Attempt:
        now = self._desk.clock.time()
        row = Attempt()
        row.CopyFrom(self.candidate.columns)
        principal = self.question.principal
        row.tenant, row.project, row.api_key_id = principal.tenant, principal.project, principal.key
        row.attempt_id = uuid7(now)
        row.request_id = self.question.request_id
        row.trace_id = self.place.trace_id
        if self.place.sampled:
            row.span_id = self.place.span_id
        row.state = ATTEMPT_STATE_OPENED
        settlement.set_time(row.start_time, now)
        row.tags.extend(self.question.tags)
        row.attempt_number = number
        row.streamed = streamed
        return row

    @property
    def time_allowed(self) -> float:
        """Seconds that a call to the provider may take from now on."""
        deadline, deployment = self.question.deadline, self.candidate.deployment
        if deadline is None:
            return deployment.total
        # A call that may be read on outlives the client's deadline; the client's wait for it ends there all the same.
        return min(deployment.total, max(deadline - self._desk.clock.monotonic(), 0.0) + deployment.drain)

    # -- what happens ----------------------------------------------------------------------------------------------

    def hear_part(self, upstream: UpstreamCall, answer: Answer) -> None:
        """A message of a streamed answer is here, and part of `answer`."""
        if not self._heard:
            self._hear(upstream)
        if self._content_at is None and answer.begun:
            self._content_at = self._desk.clock.monotonic()
        self._answer = answer

    def hear_whole(self, upstream: UpstreamCall, response: ChatResponse) -> None:
        """The whole answer is here."""
        self._hear(upstream)
        self._content_at = self._desk.clock.monotonic()
        self._response = response

    def hand_over(self, rest: Coroutine[Any, Any, None]) -> bool:
        """Lets the drains read the rest and settle then. False where they cannot."""
        drain = self.candidate.deployment.drain
        self._handed_over = self._desk.drains.take_over(rest, drain, lambda: self._settle(CANCELLED))
        return self._handed_over

    def _hear(self, upstream: UpstreamCall) -> None:
        self._heard = True
        settlement.note_upstream(self.row, upstream.status, upstream.request_id)

    def said(self) -> dict[str, AttributeValue]:
        """The answer, as its span tells it."""
        answer = self._answer or self._response
        return genai.response_attributes(answer.id, answer.model, self._finishes())

    # -- how it ends -----------------------------------------------------------------------------------------------

    def __enter__(self) -> AttemptRun:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if not self._handed_over:
            self._settle(self._ending(error))

    def _ending(self, error: BaseException | None) -> Ending:
        if error is None:
            return OK
        if isinstance(error, (asyncio.CancelledError, GeneratorExit)):
            return CANCELLED
        status = ATTEMPT_STATUS_FAILED
        if self._answer is not None and self._answer.begun:
            status = ATTEMPT_STATUS_INTERRUPTED
        if not isinstance(error, TollwayError):
            return Ending(status, Reason.INTERNAL)
        if heard_upstream(error):
            self._heard = True
            known = error.metadata
            settlement.note_upstream(self.row, int(known["upstream_status"]), known.get("upstream_request_id", ""))
        if error.reason is Reason.DEADLINE_EXCEEDED and self._is_over_time():
            status = ATTEMPT_STATUS_CANCELLED
        return Ending(status, error.reason)

    def _is_over_time(self) -> bool:
        deadline = self.question.deadline
        return deadline is not None and deadline - self._began <= self.candidate.deployment.total

    def _settle(self, ending: Ending) -> None:
        self._standing.in_flight -= 1
        clock, row = self._desk.clock, self.row
        counted = self._counted(ending)
        price = None
        if counted.usage is not None:
            price = self._desk.prices.find(row.provider_name, row.model_used, unix_seconds(row.start_time))
            if self.question.on_usage is not None:
                self.question.on_usage(counted.usage)
        settlement.settle(row, ending, counted, price, heard=self._heard)
        settlement.set_time(row.end_time, clock.time())
        row.response_time_ms = round((clock.monotonic() - self._began) * 1000)
        if self._content_at is not None:
            row.time_to_first_token_ms = round((self._content_at - self._began) * 1000)
        if finishes := self._finishes():
            row.finish_reason = _FINISHES.get(finishes[0], "")
        self._desk.journal.settled(self._entry, row)
        self._tell(ending)

    def _counted(self, ending: Ending) -> Counted:
        answer, response = self._answer, self._response
        usage: Usage | None = None
        characters = 0
        if answer is not None:
            usage = answer.usage
            characters = 0 if usage is not None else answer.characters
        elif response.HasField("usage"):
            usage = response.usage
        else:
            characters = sum(message_size(choice.message) for choice in response.choices)
        return count(ending.status, usage, self.question.chat, characters, streamed=self.row.streamed)

    def _finishes(self) -> list[FinishReason.ValueType]:
        if self._answer is not None:
            return list(self._answer.finishes.values())
        return [choice.finish_reason for choice in self._response.choices]

    def _tell(self, ending: Ending) -> None:
        """Ends the span and counts the attempt."""
        row, outcome, labels = self.row, _OUTCOMES[ending.status], self.candidate.labels
        if row.cost_nanos:
            self._desk.metrics.count("tollway.cost.nanos", row.cost_nanos, labels)
        self._desk.metrics.count("tollway.attempts", 1, {**labels, "tollway.outcome": outcome})
        span = self._span
        if span.recording:
            span.set(
                {"tollway.attempt_id": row.attempt_id, "tollway.deployment": row.deployment, "tollway.outcome": outcome}
            )
            if ending.status in (ATTEMPT_STATUS_FAILED, ATTEMPT_STATUS_INTERRUPTED):
                span.fail(ending.reason)  # and not the message, which may quote the question
        span.end()
