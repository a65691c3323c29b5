"""Looks whether a provider can be reached, at no cost."""

from __future__ import annotations

from dataclasses import dataclass

from mesh.errors import TollwayError
from mesh.mediator import Query
from mesh.tracing import TraceContext
from services.providers.domain.headers import upstream_call
from services.providers.domain.wire import Encoded, Limits
from services.providers.handlers.calling import Call, Surroundings
from services.providers.ports import Providers, provider_named
from tollway.providers.v1 import providers_pb2

_REFUSED = (401, 403)
_LOWEST_FAILURE = 500


@dataclass(frozen=True, slots=True)
class CheckHealth(Query[providers_pb2.CheckHealthResponse]):
    """Whom to look at, and where in which trace. Whoever asks bounds the time it takes."""

    provider: str
    trace: TraceContext | None


async def check_health(
    query: CheckHealth, *, providers: Providers, around: Surroundings
) -> providers_pb2.CheckHealthResponse:
    """What the provider answered. Raises TollwayError for what it does not answer, and where it refuses the key.

    No model is asked. Not every compatible server can list its models, and one that says so (404, or that it is asked
    too often) is there all the same.
    """
    provider = provider_named(query.provider, providers)
    look = Encoded(provider.dialect.health_path, b"", method="GET")
    try:
        async with Call(provider, look, query.trace, around, limits=Limits()) as answer:
            upstream = upstream_call(answer.status, answer.headers)
            await answer.finish()
    except TollwayError as failure:
        status = int(failure.metadata.get("upstream_status", "0"))
        if not status or status in _REFUSED or status >= _LOWEST_FAILURE:
            raise
        upstream = providers_pb2.UpstreamCall(status=status)
    return providers_pb2.CheckHealthResponse(upstream=upstream)
