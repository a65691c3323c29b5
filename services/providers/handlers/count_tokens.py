"""Has a provider count the tokens of a question."""

from __future__ import annotations

from dataclasses import dataclass

from mesh.errors import TollwayError
from mesh.mediator import Query
from mesh.tracing import TraceContext
from services.providers.domain.unsaid import Unsaid
from services.providers.domain.wire import limits_of
from services.providers.handlers.calling import Call, Surroundings, check_model, read_whole
from services.providers.ports import Providers, counting, original_count, provider_named
from tollway.providers.v1 import providers_pb2

_NOT_THERE = ("404", "405", "501")
"""Statuses of a compatible server that has no such endpoint."""


@dataclass(frozen=True, slots=True)
class CountTokens(Query[providers_pb2.CountTokensResponse]):
    """What to count, and where in which trace."""

    request: providers_pb2.CountTokensRequest
    trace: TraceContext | None


async def count_tokens(
    query: CountTokens, *, providers: Providers, around: Surroundings
) -> providers_pb2.CountTokensResponse:
    """The provider's count; `estimated` where it does not count. Raises TollwayError."""
    request = query.request
    check_model(request.model)
    provider = provider_named(request.provider, providers)
    dialect = counting(provider, request.model)
    if dialect is None:
        return providers_pb2.CountTokensResponse(estimated=True)
    unsaid = Unsaid(allowed=request.drop_unsupported)
    encoded = dialect.encode_count(request.chat, request.model, unsaid)
    try:
        async with Call(provider, encoded, query.trace, around, limits=limits_of(request.timeouts)) as answer:
            body = await read_whole(answer, limits_of(request.timeouts), around.clock)
            return providers_pb2.CountTokensResponse(
                input_tokens=dialect.decode_count(body),
                dropped=unsaid.dropped,
                original_input_tokens=original_count(dialect, body),
            )
    except TollwayError as failure:
        if failure.metadata.get("upstream_status") not in _NOT_THERE:
            raise
        return providers_pb2.CountTokensResponse(estimated=True)
