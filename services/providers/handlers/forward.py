"""Makes one call to an endpoint that is not translated, and passes its answer on as it arrives.

What is JSON is of use only as a whole, so it is passed on when it is here, and known to be no error; until then another
attempt can take its place. Sound is passed on piece by piece, and events whole, but for one that is an error: that ends
the answer. While the reader is busy nothing is read, so a slow one slows the provider down.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass

from mesh.errors import TollwayError
from mesh.mediator import StreamCommand
from mesh.tracing import TraceContext
from services.providers.domain.failures import cut
from services.providers.domain.headers import upstream_call
from services.providers.domain.passing import Events, Heard, Passed, carries_error, is_events, is_json, pieces
from services.providers.domain.patience import Patience
from services.providers.domain.wire import MAX_ANSWER, Limits, limits_of
from services.providers.handlers.calling import Call, Surroundings, check, read_whole
from services.providers.ports import Answer, Forwarding, Provider, Providers, forwarding, provider_named
from tollway.chat.v1.forwarding_pb2 import ForwardedHead
from tollway.providers.v1 import providers_pb2

Response = providers_pb2.ForwardResponse

_ANYTHING = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class Forward(StreamCommand[Response]):
    """The call to make, and where in which trace."""

    request: providers_pb2.ForwardRequest
    trace: TraceContext | None


async def forward(command: Forward, *, providers: Providers, around: Surroundings) -> AsyncIterator[Response]:
    """The answer: its head in the first message, and in the last what it says that it took. Raises TollwayError."""
    request = command.request
    check(request)
    provider = provider_named(request.provider, providers)
    dialect = forwarding(provider)
    encoded = dialect.encode_forward(request.question, request.model)
    limits = limits_of(request.timeouts)
    call = Call(provider, encoded, command.trace, around, limits=limits, attempt_id=request.attempt_id)
    async with call as answer:
        if is_json(_kind(answer)):
            responses = _whole(answer, call.limits, provider, dialect, around)
        else:
            responses = _as_it_comes(answer, call.limits, provider, dialect, around)
        async with aclosing(responses):
            async for response in responses:
                yield response


def _kind(answer: Answer) -> str:
    return answer.headers.get("content-type", "") or _ANYTHING


async def _whole(
    answer: Answer, limits: Limits, provider: Provider, dialect: Forwarding, around: Surroundings
) -> AsyncGenerator[Response, None]:
    body = await read_whole(answer, limits, around.clock)
    if carries_error(body):
        raise _error(answer, body, provider, around)
    head = ForwardedHead(content_type=_kind(answer), content_length=len(body))
    upstream = upstream_call(answer.status, answer.headers)
    for place, piece in enumerate(pieces(body)):
        yield Response(data=piece) if place else Response(head=head, data=piece, upstream=upstream)
    yield Response(usage=dialect.forward_usage(head.content_type, body))


async def _as_it_comes(
    answer: Answer, limits: Limits, provider: Provider, dialect: Forwarding, around: Surroundings
) -> AsyncGenerator[Response, None]:
    head, length = ForwardedHead(content_type=_kind(answer)), answer.headers.get("content-length", "")
    opening = Response(head=head, upstream=upstream_call(answer.status, answer.headers))
    events = Events() if is_events(head.content_type) else None
    if length.isdecimal() and events is None:
        opening.head.content_length = int(length)
    heard, patience, begun = Heard(MAX_ANSWER if events else 0), Patience(limits, around.clock.monotonic), False
    while data := await _read(answer, patience):
        passed = Passed(data) if events is None else events.feed(data)
        if events is None or b"data" in passed.events:
            patience.renew()
        heard.add(passed.events)
        for piece in pieces(passed.events) if passed.events else ():
            yield Response(data=piece) if begun else _with(opening, piece)
            begun = True
        if passed.error:
            raise _error(answer, passed.error, provider, around)
    if events is not None and events.cut:
        raise cut()
    ending = Response(usage=dialect.forward_usage(head.content_type, heard.all()))
    if not begun:
        ending.MergeFrom(opening)
    yield ending


def _with(opening: Response, data: bytes) -> Response:
    opening.data = data
    return opening


def _error(answer: Answer, body: bytes, provider: Provider, around: Surroundings) -> TollwayError:
    """What an answer says that is an error under a good status."""
    return provider.dialect.decode_error(answer.status, answer.headers, body, around.clock.time())


async def _read(answer: Answer, patience: Patience) -> bytes:
    try:
        return await answer.read(patience.deadline)
    except TimeoutError:
        raise patience.ran_out() from None
