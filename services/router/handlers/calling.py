"""Calling a candidate's provider, whole or streamed, as one attempt."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import aclosing
from typing import Any, TypeVar

from mesh.errors import Reason, TollwayError
from services.router.domain.answer import Answer
from services.router.domain.assembled import assembled
from services.router.domain.likeness import of_vectors, one_for_each, wants_stream
from services.router.domain.passed_on import PassedOn
from services.router.handlers.attempt import AttemptRun
from services.router.handlers.drains import Outliving
from services.router.ports import CompletionStream, ProviderCalls
from tollway.chat.v1.chat_pb2 import ChatChunk, ChatResponse
from tollway.chat.v1.embedding_pb2 import EmbeddingRequest, EmbeddingResponse
from tollway.chat.v1.forwarding_pb2 import ForwardedQuestion
from tollway.providers.v1.providers_pb2 import (
    CreateCompletionRequest,
    CreateEmbeddingsRequest,
    ForwardRequest,
    ForwardResponse,
    StreamCompletionRequest,
)

T = TypeVar("T")


async def complete(providers: ProviderCalls, attempt: AttemptRun) -> ChatResponse:
    """The provider's whole answer, of which a call that has to be heard gives the pieces. Raises TollwayError."""
    if attempt.answer is not None:
        return await _assembled(providers, attempt, attempt.answer)
    row = attempt.row
    with attempt:
        request = CreateCompletionRequest(
            provider=row.provider_name,
            model=row.model_used,
            attempt_id=row.attempt_id,
            chat=attempt.turn.chat,
            timeouts=attempt.candidate.whole_timeouts,
            drop_unsupported=attempt.question.preferences.drop_unsupported,
        )
        call = providers.complete(request, attempt.time_allowed, attempt.place)
        if attempt.candidate.deployment.drain:
            call = _outliving(call, attempt, lambda late: attempt.hear_whole(late.upstream, late.chat))
        response = await call
        attempt.hear_whole(response.upstream, response.chat)
        return response.chat


async def embed(providers: ProviderCalls, attempt: AttemptRun, embedding: EmbeddingRequest) -> EmbeddingResponse:
    """The provider's vectors. Raises TollwayError, and UPSTREAM_MALFORMED where there is not one for each text."""
    row = attempt.row
    with attempt:
        request = CreateEmbeddingsRequest(
            provider=row.provider_name,
            model=row.model_used,
            attempt_id=row.attempt_id,
            embedding=embedding,
            timeouts=attempt.candidate.whole_timeouts,
            drop_unsupported=attempt.question.preferences.drop_unsupported,
        )
        call = providers.embed(request, attempt.time_allowed, attempt.place)
        if attempt.candidate.deployment.drain:
            call = _outliving(call, attempt, lambda late: attempt.hear_whole(late.upstream, of_vectors(late.embedding)))
        response = await call
        vectors = response.embedding
        attempt.hear_whole(response.upstream, of_vectors(vectors))
        if not one_for_each(embedding, vectors):
            message = f"{attempt.candidate.name} did not answer with one vector for each input"
            raise TollwayError(Reason.UPSTREAM_MALFORMED, message)
        return vectors


async def _outliving(call: Coroutine[Any, Any, T], attempt: AttemptRun, hear: Callable[[T], None]) -> T:
    """A whole answer that is waited for, and heard, also after the client left: the provider bills it anyway."""
    reading = asyncio.ensure_future(call)
    try:
        return await asyncio.shield(reading)
    except asyncio.CancelledError:
        if not attempt.hand_over(_rest_of_whole(reading, hear)):
            reading.cancel()
        raise


async def _rest_of_whole(reading: asyncio.Future[T], hear: Callable[[T], None]) -> None:
    hear(await reading)


async def pass_on(
    providers: ProviderCalls, attempt: AttemptRun, question: ForwardedQuestion
) -> AsyncGenerator[ForwardResponse, None]:
    """The provider's answer as it arrives, unread. Raises TollwayError; it ends well only where the answer did."""
    answer = attempt.answer
    assert isinstance(answer, PassedOn)
    row, candidate = attempt.row, attempt.candidate
    with attempt:
        request = ForwardRequest(
            provider=row.provider_name,
            model=row.model_used,
            attempt_id=row.attempt_id,
            question=question,
            # Headers come with the first of a stream, but with the last of what is made whole.
            timeouts=candidate.deployment.timeouts if wants_stream(question) else candidate.whole_timeouts,
        )
        call = providers.forward(request, attempt.time_allowed, attempt.place)
        try:
            async for response in call:
                answer.take_message(response)
                attempt.hear_part(response.upstream, answer)
                yield response
        finally:
            call.cancel()
        if not answer.begun:
            raise TollwayError(Reason.UPSTREAM_CUT, f"{candidate.name} ended before its answer began")


async def _assembled(providers: ProviderCalls, attempt: AttemptRun, answer: Answer) -> ChatResponse:
    async with aclosing(stream(providers, attempt)) as pieces:
        chunks = [chunk async for chunk in pieces]
    return assembled((*chunks, answer.ending()))


async def stream(providers: ProviderCalls, attempt: AttemptRun) -> AsyncGenerator[ChatChunk, None]:
    """What may go out of the provider's answer, as it arrives; the attempt's keeps what may not. Raises TollwayError.

    It ends well only where the answer did: every choice finished, whatever became of the connection after that.
    """
    answer, charge = attempt.answer, attempt.turn.charge
    assert answer is not None
    with attempt:
        call, handed_over = _start(providers, attempt), False
        try:
            async for response in call:
                chunk = answer.take(response.chunk)
                attempt.hear_part(response.upstream, answer)
                if charge is not None and not charge.covers(response.chunk, answer) and not answer.complete:
                    await charge.cover()
                if chunk is not None:
                    yield chunk
        except TollwayError:
            if not answer.complete:
                raise
        except (asyncio.CancelledError, GeneratorExit):
            if attempt.candidate.deployment.drain:
                handed_over = attempt.hand_over(_rest_of_stream(call, attempt, answer))
            raise
        finally:
            if not handed_over:
                call.cancel()
        if not (answer.complete or answer.whole):
            raise TollwayError(Reason.UPSTREAM_CUT, f"{attempt.candidate.name} stopped before its answer was finished")
        if charge is not None:
            charge.check(answer)


def _start(providers: ProviderCalls, attempt: AttemptRun) -> CompletionStream:
    row, deployment = attempt.row, attempt.candidate.deployment
    request = StreamCompletionRequest(
        provider=row.provider_name,
        model=row.model_used,
        attempt_id=row.attempt_id,
        chat=attempt.turn.chat,
        timeouts=deployment.timeouts,
        drop_unsupported=attempt.question.preferences.drop_unsupported,
    )
    call = providers.stream(request, attempt.time_allowed, attempt.place)
    return Outliving(call) if deployment.drain else call


async def _rest_of_stream(call: CompletionStream, attempt: AttemptRun, answer: Answer) -> None:
    charge = attempt.turn.charge
    try:
        async for response in call:
            answer.take(response.chunk)
            attempt.hear_part(response.upstream, answer)
            if charge is not None and not charge.covers(response.chunk, answer) and not answer.complete:
                await charge.cover()
    finally:
        call.cancel()
