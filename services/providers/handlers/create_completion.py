"""Makes one call and answers with the whole completion."""

from __future__ import annotations

from dataclasses import dataclass

from mesh.mediator import Command
from mesh.tracing import TraceContext
from services.providers.domain.headers import upstream_call
from services.providers.domain.unsaid import Unsaid
from services.providers.domain.wire import limits_of
from services.providers.handlers.calling import Call, Surroundings, check, read_whole
from services.providers.ports import Providers, provider_named
from tollway.providers.v1 import providers_pb2


@dataclass(slots=True)
class CreateCompletion(Command[providers_pb2.CreateCompletionResponse]):
    """The call to make, and where in which trace."""

    request: providers_pb2.CreateCompletionRequest
    trace: TraceContext | None


async def create_completion(
    command: CreateCompletion, *, providers: Providers, around: Surroundings
) -> providers_pb2.CreateCompletionResponse:
    request = command.request
    check(request)
    provider = provider_named(request.provider, providers)
    unsaid = Unsaid(allowed=request.drop_unsupported)
    dialect = provider.dialect_for(request.model)
    encoded = dialect.encode_request(request.chat, request.model, False, unsaid)
    limits = limits_of(request.timeouts)
    call = Call(provider, encoded, command.trace, around, limits=limits, attempt_id=request.attempt_id)
    async with call as answer:
        body = await read_whole(answer, call.limits, around.clock)
        upstream = upstream_call(answer.status, answer.headers, unsaid.dropped)
        return providers_pb2.CreateCompletionResponse(chat=dialect.decode_response(body), upstream=upstream)
