"""Makes one call and passes the completion on as it arrives.

Ending without an error is a promise: every answer that was asked for came to its finish reason. What arrives together
travels together, and nothing waits for more; while the reader is busy nothing is read, so a slow one slows the
provider down.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from mesh.errors import Reason, TollwayError
from mesh.mediator import StreamCommand
from mesh.tracing import TraceContext
from services.providers.domain.failures import cut
from services.providers.domain.headers import upstream_call
from services.providers.domain.patience import Patience
from services.providers.domain.unsaid import Unsaid
from services.providers.domain.whole import as_chunk
from services.providers.domain.wire import MAX_EVENT, limits_of
from services.providers.handlers.calling import Call, Surroundings, check, read_whole
from services.providers.ports import Answer, Providers, StreamDecoder, provider_named
from tollway.providers.v1 import providers_pb2

Response = providers_pb2.StreamCompletionResponse


@dataclass(slots=True)
class StreamCompletion(StreamCommand[Response]):
    """The call to make, and where in which trace."""

    request: providers_pb2.StreamCompletionRequest
    trace: TraceContext | None


async def stream_completion(
    command: StreamCompletion, *, providers: Providers, around: Surroundings
) -> AsyncIterator[Response]:
    request = command.request
    check(request)
    provider = provider_named(request.provider, providers)
    unsaid = Unsaid(allowed=request.drop_unsupported)
    dialect = provider.dialect_for(request.model)
    encoded = dialect.encode_request(request.chat, request.model, True, unsaid)
    limits = limits_of(request.timeouts)
    call = Call(provider, encoded, command.trace, around, limits=limits, attempt_id=request.attempt_id)
    async with call as answer:
        upstream: providers_pb2.UpstreamCall | None = upstream_call(answer.status, answer.headers, unsaid.dropped)
        if not _streams(answer):
            body = await read_whole(answer, call.limits, around.clock)
            yield Response(chunk=as_chunk(dialect.decode_response(body)), upstream=upstream)
            return
        decoder = dialect.stream_decoder(request.chat.choice_count or 1, MAX_EVENT)
        patience = Patience(call.limits, around.clock.monotonic)
        while not decoder.done and (piece := await _read(answer, patience, decoder)):
            events = decoder.events
            for chunk in decoder.feed(piece):
                yield Response(chunk=chunk, upstream=upstream)
                upstream = None
            if decoder.content_seen and decoder.events > events:
                patience.renew()
        if decoder.error is not None:
            raise decoder.error
        if not decoder.done and not decoder.complete:
            raise cut()
        await answer.finish()


def _streams(answer: Answer) -> bool:
    """Whether a stream came. Some servers do not stream what they are asked to, and errors come whole, too."""
    kind = answer.headers.get("content-type", "")
    return "json" not in kind and "html" not in kind


async def _read(answer: Answer, patience: Patience, decoder: StreamDecoder) -> bytes:
    """The next piece; empty where nothing more is needed, because every answer is finished."""
    try:
        return await answer.read(patience.deadline)
    except TimeoutError:
        if decoder.complete:
            return b""
        raise patience.ran_out() from None
    except TollwayError as error:
        if decoder.complete and error.reason is Reason.UPSTREAM_CUT:
            return b""
        raise
