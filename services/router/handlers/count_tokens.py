"""Counting the tokens of a question that is not asked."""

from __future__ import annotations

from dataclasses import dataclass

from mesh.errors import FieldViolation, TollwayError
from mesh.mediator import Query
from mesh.tracing import Kind, Span
from services.router.domain import genai
from services.router.domain.failures import TABLE, Then
from services.router.domain.kinds import COUNTED
from services.router.domain.needs import Needs
from services.router.domain.routes import Candidate
from services.router.domain.selection import Selected
from services.router.domain.verdict import LeftAlone, Showed, verdict
from services.router.handlers.desk import Desk, select
from services.router.handlers.question import Question, told
from tollway.chat.v1.chat_pb2 import ChatRequest
from tollway.providers.v1.providers_pb2 import CountTokensRequest
from tollway.router.v1.router_pb2 import CountTokensResponse


@dataclass(slots=True)
class CountTokens(Question, Query[CountTokensResponse]):
    """Asks how many tokens a question has."""

    kind = COUNTED

    def violations(self) -> tuple[FieldViolation, ...]:
        found = Question.violations(self)
        if not self.preferences.idempotency_key:
            return found
        why = "is for what is billed: a count costs nothing, and is made anew each time it is asked for"
        return (*found, FieldViolation("preferences.idempotency_key", why))


async def count_tokens(query: CountTokens, *, desk: Desk) -> CountTokensResponse:
    """Has one candidate after the other count, until one does or says that it does not. Raises TollwayError.

    Nothing is asked of a model, so nothing is journalled and no breaker hears of it; candidates that are left alone are
    left alone here, too. For a provider that does not count, a token is taken for four characters.
    """
    selected = select(desk.selection, desk.clock, query, streamed=False)
    span = desk.tracer.start(f"{query.operation} {selected.chat.model}", Kind.CLIENT, query.parent)
    try:
        if selected.refusal is not None:
            raise selected.refusal
        return await _counted(query, selected, span, desk)
    except TollwayError as failure:
        span.fail(failure.reason)
        raise told(failure, {**query.about(), "trace_id": span.context.trace_id}) from None
    finally:
        span.end()


async def _counted(query: CountTokens, selected: Selected, span: Span, desk: Desk) -> CountTokensResponse:
    shown: list[Showed] = []
    left_alone: list[LeftAlone] = []
    for candidate in selected.plan.candidates:
        standing = desk.fleet.seen(candidate.name)
        shut = None if standing is None else standing.closed_to(desk.clock.monotonic())
        if shut is not None:
            left_alone.append(LeftAlone(candidate, shut.reason, shut.wait))
            continue
        if span.recording:
            provider = candidate.deployment.model_provider
            span.set(genai.operation_attributes(query.operation, provider, selected.chat.model))
        try:
            return await _by(candidate, selected.chat, query, span, desk)
        except TollwayError as failure:
            shown.append(Showed(candidate, failure))
            if TABLE[failure.reason].then is Then.NOBODY:
                break
    raise verdict(shown, left_alone)


async def _by(
    candidate: Candidate, chat: ChatRequest, query: CountTokens, span: Span, desk: Desk
) -> CountTokensResponse:
    request = CountTokensRequest(
        provider=candidate.deployment.provider,
        model=candidate.model,
        chat=chat,
        timeouts=candidate.deployment.timeouts,
        drop_unsupported=query.preferences.drop_unsupported,
    )
    left = candidate.deployment.total
    if query.deadline is not None:
        left = min(left, max(query.deadline - desk.clock.monotonic(), 0.0))
    counted = await desk.providers.count_tokens(request, left, span.context)
    tokens = Needs(chat).input_tokens if counted.estimated else counted.input_tokens
    if span.recording:
        span.set({"gen_ai.usage.input_tokens": tokens, "tollway.deployment": candidate.name})
    return CountTokensResponse(
        input_tokens=tokens,
        estimated=counted.estimated,
        deployment=candidate.name,
        dropped=counted.dropped,
        original_input_tokens=counted.original_input_tokens if counted.HasField("original_input_tokens") else None,
    )
