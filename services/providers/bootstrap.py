"""Puts the providers service together: for each provider a dialect, a transport and credentials."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, cast

import grpc

from mesh.clock import Clock
from mesh.mediator import Mediator, messages_in
from mesh.metrics import Metrics
from mesh.telemetry.redaction import redactor
from mesh.tracing import Tracer
from services.providers import handlers
from services.providers.adapters.credentials import key_headers
from services.providers.adapters.sim.behaviour import CATALOGUE
from services.providers.adapters.sim.memory import MemoryTransport
from services.providers.adapters.sim.script import Model
from services.providers.domain.responses_only import is_openai, needs_responses
from services.providers.handlers.calling import Surroundings
from services.providers.handlers.check_health import CheckHealth, check_health
from services.providers.handlers.create_completion import CreateCompletion, create_completion
from services.providers.handlers.list_provider_models import ListProviderModels, list_provider_models
from services.providers.handlers.stream_completion import StreamCompletion, stream_completion
from services.providers.ports import Dialect, Provider, Transport
from services.providers.servicer import ProviderServicer
from services.providers.settings import ProviderSettings, ProvidersSettings
from tollway.providers.v1.providers_pb2_grpc import add_ProviderServiceServicer_to_server

if TYPE_CHECKING:
    from services.providers.adapters.transport import HttpTransport

_SIM = "sim"
_SIM_BASE_URL = "http://sim/v1"
_ADAPTERS = "services.providers.adapters"
_HEADERS = {
    "content-type": "application/json",
    "accept": "application/json, text/event-stream",
    "accept-encoding": "identity",
    "user-agent": "tollway",
}


class ProvidersRuntime:
    """The providers service as started; implements `mesh.service.Service`."""

    name = "providers"
    proto_services = ("tollway.providers.v1.ProviderService",)
    hops: Mapping[str, grpc.aio.Channel] = {}

    def __init__(self, mediator: Mediator, http: HttpTransport | None) -> None:
        self._servicer = ProviderServicer(mediator)
        self._http = http

    def register(self, server: grpc.aio.Server) -> None:
        add_ProviderServiceServicer_to_server(self._servicer, server)

    async def close(self) -> None:
        if self._http is not None:
            await self._http.close()


async def start(settings: ProvidersSettings, *, clock: Clock, tracer: Tracer, metrics: Metrics) -> ProvidersRuntime:
    """Nobody is called yet: a provider that cannot be reached shows when it is asked."""
    http = _http_transport(clock) if any(_is_remote(each) for each in settings.providers) else None
    providers = {each.name: _provider(each, http, clock) for each in settings.providers}
    around = Surroundings(clock, tracer, metrics)
    mediator = Mediator(
        [
            (CreateCompletion, partial(create_completion, providers=providers, around=around)),
            (StreamCompletion, partial(stream_completion, providers=providers, around=around)),
            (CheckHealth, partial(check_health, providers=providers, around=around)),
            (ListProviderModels, partial(list_provider_models, providers=providers)),
        ],
        expected=messages_in(handlers),
    )
    return ProvidersRuntime(mediator, http)


def _provider(settings: ProviderSettings, http: HttpTransport | None, clock: Clock) -> Provider:
    dialect = dialect_named(settings.dialect)
    transport: Transport = http if http and _is_remote(settings) else MemoryTransport(Model(settings.sim), clock)
    own = {name.lower(): value for name, value in settings.headers.items()}
    local = _SIM_BASE_URL if settings.dialect == _SIM else dialect.default_base_url
    return Provider(
        name=settings.name,
        dialect=dialect,
        transport=transport,
        base_url=settings.base_url or local,
        headers={**_HEADERS, **key_headers(dialect.credentials, settings.api_key), **own},
        redact=redactor((settings.api_key, *own.values())),
        models=CATALOGUE if settings.dialect == _SIM else (),
        other_dialect=partial(_responses, settings.dialect == "openai" and is_openai(settings.base_url or local)),
    )


def dialect_named(name: str) -> Dialect:
    """The adapter of that name, imported now: those that nobody uses cost nothing."""
    # The sim speaks OpenAI's, so that what reads it is what reads a provider.
    module: object = import_module(f"{_ADAPTERS}.{'openai' if name == _SIM else name}")
    return cast(Dialect, module)


def _responses(openai: bool, model: str) -> Dialect | None:
    """What is spoken to those models of OpenAI's own that its chat completions do not have."""
    return dialect_named("openai_responses") if openai and needs_responses(model) else None


def _is_remote(settings: ProviderSettings) -> bool:
    """Whether calls leave the process. A sim with an address is one that runs elsewhere."""
    return settings.dialect != _SIM or settings.base_url != ""


def _http_transport(clock: Clock) -> HttpTransport:
    # Imported late: without a provider to reach, aiohttp's import would be start-up time for nothing.
    from services.providers.adapters.transport import HttpTransport

    return HttpTransport(clock)
