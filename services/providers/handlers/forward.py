"""Makes one call to an endpoint that is not translated, and passes its answer on as it arrives.

What is JSON is of use only as a whole, so it is passed on when it is here, and known to be no error; until then another
attempt can take its place. Sound and events are passed on piece by piece: while the reader is busy nothing is read, so
a slow one slows the provider down.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from mesh.mediator import StreamCommand
from mesh.tracing import TraceContext
from services.providers.domain.failures import cut
from services.providers.domain.headers import upstream_call
from services.providers.domain.passing import Heard, carries_error, is_events, is_json, pieces
from services.providers.domain.patience import Patience
from services.providers.domain.wire import MAX_ANSWER, limits_of
from services.providers.handlers.calling import Call, Surroundings, check, read_whole
from services.providers.ports import Answer, Providers, forwarding, provider_named
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
        kind = answer.headers.get("content-type", "") or _ANYTHING
        head, upstream = ForwardedHead(content_type=kind), upstream_call(answer.status, answer.headers)
        if is_json(kind):
            body = await read_whole(answer, call.limits, around.clock)
            if carries_error(body):
                raise provider.dialect.decode_error(answer.status, answer.headers, body, around.clock.time())
            head.content_length = len(body)
            for place, piece in enumerate(pieces(body)):
                yield Response(data=piece) if place else Response(head=head, data=piece, upstream=upstream)
            yield Response(usage=dialect.forward_usage(kind, body))
            return
        length = answer.headers.get("content-length", "")
        if length.isdecimal():
            head.content_length = int(length)
        heard = Heard(MAX_ANSWER if is_events(kind) else 0)
        first = True
        patience = Patience(call.limits, around.clock.monotonic)
        while data := await _read(answer, patience):
            patience.renew()
            heard.add(data)
            for piece in pieces(data):
                yield Response(head=head, data=piece, upstream=upstream) if first else Response(data=piece)
                first = False
        if is_events(kind) and not heard.ends_an_event:
            raise cut()
        usage = dialect.forward_usage(kind, heard.all())
        yield Response(head=head, upstream=upstream, usage=usage) if first else Response(usage=usage)


async def _read(answer: Answer, patience: Patience) -> bytes:
    try:
        return await answer.read(patience.deadline)
    except TimeoutError:
        raise patience.ran_out() from None
