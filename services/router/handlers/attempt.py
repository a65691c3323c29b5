"""The account of one attempt: journal `opened`, then whatever happens, then journal `settled`, under one span.

The breaker that let the attempt through is told what became of it, or that nothing did.

`with attempt:` settles it however the block is left: by its end, an error, the client's leaving, or a bug. An attempt
that was handed over to the drains is left alone then, and settled by them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Sequence
from types import TracebackType
from typing import Any, NamedTuple

from mesh.errors import Reason, TollwayError
from mesh.ids import uuid7
from mesh.metrics import with_label
from mesh.prices import unix_seconds
from mesh.tracing import AttributeValue, Kind, TraceContext
from services.router.domain import genai, settlement
from services.router.domain.answer import Answer
from services.router.domain.failures import TABLE, Breaks, heard_upstream, is_the_deployments, no_connection
from services.router.domain.fleet import UNHINDERED, Pass
from services.router.domain.reservation import tokens_are_free
from services.router.domain.routes import Candidate
from services.router.domain.settlement import CANCELLED, OK, Ending
from services.router.domain.splice import Diverged
from services.router.domain.usage import Counted, count, count_unread, message_size
from services.router.handlers.budgets import Charge
from services.router.handlers.desk import Desk
from services.router.handlers.question import Question
from tollway.chat.v1.chat_pb2 import ChatRequest, ChatResponse, FinishReason, Usage
from tollway.ledger.v1.ledger_pb2 import (
    ATTEMPT_KIND_HEDGE,
    ATTEMPT_KIND_UNSPECIFIED,
    ATTEMPT_STATE_OPENED,
    ATTEMPT_STATUS_CANCELLED,
    ATTEMPT_STATUS_FAILED,
    ATTEMPT_STATUS_INTERRUPTED,
    ATTEMPT_STATUS_OK,
    Attempt,
    AttemptKind,
    Price,
)
from tollway.providers.v1.providers_pb2 import UpstreamCall
from tollway.router.v1.router_pb2 import CONTINUATION_PREFILL, CONTINUATION_SPLICE, Continuation

log = logging.getLogger(__name__)

_OUTCOMES = {
    ATTEMPT_STATUS_OK: "ok",
    ATTEMPT_STATUS_FAILED: "failed",
    ATTEMPT_STATUS_INTERRUPTED: "interrupted",
    ATTEMPT_STATUS_CANCELLED: "cancelled",
}
_FINISHES = {number: name for name, number in FinishReason.items() if number}
_NOTHING = ChatResponse()
CONTINUATIONS = {CONTINUATION_PREFILL: "prefill", CONTINUATION_SPLICE: "splice"}


class Turn(NamedTuple):
    """An attempt to make: whose turn it is, what is asked, and what the answer is taken up by.

    `rank` is the candidate's place in the plan, `passed` what its breakers let the call through with. `answer` is None
    where a whole one is asked for. `how` says how a broken answer is gone on with, None where none is. `timed`: how
    long it takes is of interest. `charge` is what hard budgets bear of it, None where there are none.
    """

    rank: int
    candidate: Candidate
    number: int
    passed: Pass
    chat: ChatRequest
    answer: Answer | None
    kind: AttemptKind.ValueType = ATTEMPT_KIND_UNSPECIFIED
    how: Continuation.ValueType | None = None
    timed: bool = False
    charge: Charge | None = None


class AttemptRun:
    """An attempt under way, once it is opened."""

    def __init__(self, desk: Desk, question: Question, turn: Turn, parent: TraceContext) -> None:
        self.turn, self.candidate, self.question = turn, turn.candidate, question
        self.answer = turn.answer
        """As far as it is here; None where a whole one is asked for."""
        self.lost = False
        """Whether it is being cancelled because another attempt was faster."""
        self.dropped: Sequence[str] = ()
        """What of the question the provider was not told."""
        self._desk = desk
        self._began = desk.clock.monotonic()
        self._content_at: float | None = None
        self._heard = False
        self._failure: TollwayError | None = None
        self._handed_over = False
        self._passed = turn.passed
        self._response = _NOTHING
        self._standing = desk.fleet.standing(self.candidate.name)
        self._span = desk.tracer.start(f"attempt {turn.number} {self.candidate.name}", Kind.INTERNAL, parent)
        self.place = self._span.context
        """In the trace."""
        self.row = self._opened_row(turn)
        """What the ledger is told; complete once the attempt is settled."""
        self._price = self._find_price()  # before the call leaves: one that is not known is asked for meanwhile

    async def open(self) -> None:
        """Writes down that the call is about to leave. Raises TollwayError where that cannot be written."""
        try:
            self._entry = await self._desk.journal.opened(self.row)
        except (TollwayError, asyncio.CancelledError) as failure:
            if self.turn.charge is not None:
                self.turn.charge.release()
            self._standing.give_back(self._passed)
            if isinstance(failure, TollwayError):
                self._span.fail(failure.reason)
            self._span.end()
            raise
        self._standing.in_flight += 1
        self._standing.begun += 1
        self._call = self._standing.begun
        self._standing.pace.began(self._call, self._began, streamed=self.row.streamed)

    def _opened_row(self, turn: Turn) -> Attempt:
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
        row.attempt_number = turn.number
        row.streamed = turn.answer is not None
        row.kind = turn.kind
        if turn.charge is not None:
            row.lease_ids.extend(turn.charge.lease_ids)
        return row

    def _find_price(self) -> Price | None:
        row = self.row
        return self._desk.prices.find(row.provider_name, row.model_used, unix_seconds(row.start_time))

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
            self._show_content()
            if self._passed is not UNHINDERED and self._content_at is not None:
                self._pass_probe(self._content_at)

    def _pass_probe(self, now: float) -> None:
        """The deployment answers. Whoever waits to know that does not wait for the rest of the answer."""
        closed = self._standing.succeed(self._passed, now, self.candidate.deployment.breaker)
        self._passed = UNHINDERED
        if closed:
            self._tell_of_breaker("closed")

    def hear_whole(self, upstream: UpstreamCall, response: ChatResponse) -> None:
        """The whole answer is here."""
        self._hear(upstream)
        self._show_content()
        self._response = response

    def hand_over(self, rest: Coroutine[Any, Any, None]) -> bool:
        """Lets the drains read the rest and settle then. False where they cannot."""
        drain = self.candidate.deployment.drain
        self._handed_over = self._desk.drains.take_over(rest, drain, lambda: self._settle(CANCELLED))
        return self._handed_over

    def _hear(self, upstream: UpstreamCall) -> None:
        self._heard = True
        settlement.note_upstream(self.row, upstream.status, upstream.request_id)
        self.dropped = upstream.dropped
        if upstream.rate_limits:
            clock = self._desk.clock
            self._standing.quota.note(upstream.rate_limits, self._call, clock.monotonic(), clock.time())

    def _show_content(self) -> None:
        self._content_at = now = self._desk.clock.monotonic()
        self._standing.pace.answered(self._call, now, streamed=self.row.streamed)

    def said(self) -> dict[str, AttributeValue]:
        """The answer, as its span tells it."""
        answer = self.answer or self._response
        return genai.response_attributes(answer.id, answer.model, self._finishes())

    # -- how it ends -----------------------------------------------------------------------------------------------

    def __enter__(self) -> AttemptRun:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        ending = self._ending(error)
        self._judge(ending, error)
        if not self._handed_over:
            self._settle(ending)

    def _ending(self, error: BaseException | None) -> Ending:
        if error is None:
            return OK
        if isinstance(error, (asyncio.CancelledError, GeneratorExit, Diverged)):
            return CANCELLED
        status = ATTEMPT_STATUS_FAILED
        if self.answer is not None and self.answer.begun:
            status = ATTEMPT_STATUS_INTERRUPTED
        if not isinstance(error, TollwayError):
            return Ending(status, Reason.INTERNAL)
        self._failure = error
        if heard_upstream(error):
            self._heard = True
            known = error.metadata
            settlement.note_upstream(self.row, int(known["upstream_status"]), known.get("upstream_request_id", ""))
        if error.reason is Reason.DEADLINE_EXCEEDED and self._is_over_time():
            status = ATTEMPT_STATUS_CANCELLED
        return Ending(status, error.reason)

    def _judge(self, ending: Ending, error: BaseException | None) -> None:
        """Tells the breakers. What the client, its deadline or a faster attempt ended says nothing to them."""
        standing, passed, policy = self._standing, self._passed, self.candidate.deployment.breaker
        now = self._desk.clock.monotonic()
        if ending is OK:
            if standing.succeed(passed, now, policy):
                self._tell_of_breaker("closed")
            return
        breaks = Breaks.NOT
        if isinstance(error, TollwayError) and ending.status != ATTEMPT_STATUS_CANCELLED:
            breaks = TABLE[error.reason].breaks
        if breaks is Breaks.NOT:
            standing.give_back(passed)
            return
        assert isinstance(error, TollwayError)
        if breaks is Breaks.COUNTS:
            opened = standing.fail(passed, now, policy, error.reason, error.retry_after)
        else:
            has_credential = self.candidate.deployment.has_credential
            opened = standing.refuse(passed, now, policy, error.reason, has_credential=has_credential)
        if opened:
            self._tell_of_breaker("open")

    def _tell_of_breaker(self, state: str) -> None:
        name = self.candidate.name
        shut = self._standing.closed_to(self._desk.clock.monotonic())
        if shut is not None:
            log.warning("%s %s", name, shut.reason)
        elif state == "closed":
            log.info("%s answers again", name)
        labels = {"tollway.provider": self.candidate.deployment.provider, "tollway.breaker": state}
        self._desk.metrics.count("tollway.breaker.changes", 1, labels)

    def _is_over_time(self) -> bool:
        deadline = self.question.deadline
        return deadline is not None and deadline - self._began <= self.candidate.deployment.total

    def _settle(self, ending: Ending) -> None:
        self._standing.in_flight -= 1
        self._observe(ending)
        clock, row = self._desk.clock, self.row
        now = clock.monotonic()
        counted = self._counted(ending)
        price = None
        if counted.usage is not None:
            price = self._price or self._find_price()
            if self.question.on_usage is not None:
                self.question.on_usage(counted.usage)
        settlement.settle(row, ending, counted, price, heard=self._heard)
        settlement.set_time(row.end_time, clock.time())
        row.response_time_ms = round((now - self._began) * 1000)
        if self.turn.timed and (self._content_at is not None or self.lost):
            # One that lost was at least as slow as this: left out, only the fast ones would be known.
            self._standing.waits[row.streamed].note(now, (self._content_at or now) - self._began)
        if self._content_at is not None:
            row.time_to_first_token_ms = round((self._content_at - self._began) * 1000)
        if finishes := self._finishes():
            row.finish_reason = _FINISHES.get(finishes[0], "")
        self._desk.journal.settled(self._entry, row)
        if self.turn.charge is not None:
            self.turn.charge.settle(row)
        self._tell(ending)

    def _observe(self, ending: Ending) -> None:
        """Learns from how it went."""
        now, pace, outages = self._desk.clock.monotonic(), self._standing.pace, self._desk.fleet.outages
        provider, failure, streamed = self.row.provider_name, self._failure, self.row.streamed
        if self._heard:
            outages.reached(provider)
        elif failure is not None and no_connection(failure):
            outages.unreachable(provider, failure.message, now)
        if failure is None or ending.status == ATTEMPT_STATUS_CANCELLED or not is_the_deployments(failure):
            pace.left(self._call, now, streamed=streamed)
            return
        pace.failed(self._call, now, streamed=streamed)
        if failure.reason is Reason.UPSTREAM_RATE_LIMITED and failure.retry_after is not None:
            self._standing.quota.hold(now + failure.retry_after)

    def _counted(self, ending: Ending) -> Counted:
        answer, response = self.answer, self._response
        usage: Usage | None = None
        characters = 0
        if answer is not None and not answer.tells_tokens:
            price = self._price or self._find_price()
            free = ending.status == ATTEMPT_STATUS_OK and price is not None and tokens_are_free(price)
            return count_unread(answer.usage, tokens_are_free=free)
        if answer is not None:
            usage = answer.usage
            characters = 0 if usage is not None else answer.characters
        elif response.HasField("usage"):
            usage = response.usage
        else:
            characters = sum(message_size(choice.message) for choice in response.choices)
        return count(ending.status, usage, self.turn.chat, characters, streamed=self.row.streamed)

    def _finishes(self) -> list[FinishReason.ValueType]:
        if self.answer is not None:
            return list(self.answer.finishes.values())
        return [choice.finish_reason for choice in self._response.choices]

    def _tell(self, ending: Ending) -> None:
        """Ends the span and counts the attempt."""
        row, outcome, labels = self.row, _OUTCOMES[ending.status], self.candidate.labels
        if row.cost_nanos:
            self._desk.metrics.count("tollway.cost.nanos", row.cost_nanos, labels)
        self._desk.metrics.count("tollway.attempts", 1, with_label(labels, "tollway.outcome", outcome))
        span = self._span
        if span.recording:
            span.set(self._attributes(outcome))
            if ending.status in (ATTEMPT_STATUS_FAILED, ATTEMPT_STATUS_INTERRUPTED):
                span.fail(ending.reason)  # and not the message, which may quote the question
        span.end()

    def _attributes(self, outcome: str) -> dict[str, AttributeValue]:
        attributes: dict[str, AttributeValue] = {
            "tollway.attempt_id": self.row.attempt_id,
            "tollway.deployment": self.row.deployment,
            "tollway.outcome": outcome,
            "tollway.breaker": "closed" if self.turn.passed is UNHINDERED else "half_open",
        }
        if self.turn.how is not None:
            attributes["tollway.continuation"] = CONTINUATIONS[self.turn.how]
        if self.row.kind == ATTEMPT_KIND_HEDGE:
            attributes["tollway.hedge"] = True
        if self.lost:
            attributes["tollway.lost"] = True
        return attributes
