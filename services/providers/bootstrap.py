"""Puts the providers service together: for each provider a dialect, a transport and credentials."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import grpc

from mesh.clock import Clock
from mesh.config.presets import keys_of
from mesh.mediator import Mediator, messages_in
from mesh.metrics import Metrics
from mesh.telemetry.redaction import redactor
from mesh.tracing import Tracer
from services.providers import handlers, presets
from services.providers.adapters.credentials import (
    FixedKey,
    KeyCredentials,
    KeyFile,
    Place,
    command_key,
    key_headers,
    place_of,
)
from services.providers.adapters.sim.behaviour import CATALOGUE
from services.providers.adapters.sim.memory import MemoryTransport
from services.providers.adapters.sim.script import Model
from services.providers.domain.quirks import NO_QUIRKS, Quirks
from services.providers.domain.responses_only import is_openai, needs_responses
from services.providers.handlers.calling import Surroundings
from services.providers.handlers.check_health import CheckHealth, check_health
from services.providers.handlers.count_tokens import CountTokens, count_tokens
from services.providers.handlers.create_completion import CreateCompletion, create_completion
from services.providers.handlers.create_embeddings import CreateEmbeddings, create_embeddings
from services.providers.handlers.forward import Forward, forward
from services.providers.handlers.list_provider_models import ListProviderModels, list_provider_models
from services.providers.handlers.stream_completion import StreamCompletion, stream_completion
from services.providers.ports import Credentials, Dialect, Provider, Transport
from services.providers.servicer import ProviderServicer
from services.providers.settings import ProviderSettings, ProvidersSettings
from tollway.providers.v1.providers_pb2_grpc import add_ProviderServiceServicer_to_server

if TYPE_CHECKING:
    from services.providers.adapters.transport import HttpTransport

_SIM = "sim"
_SIM_BASE_URL = "http://sim/v1"
_ADAPTERS = "services.providers.adapters"
_SIGNERS = {
    "aws": ("aws_credentials", "AwsCredentials", keys_of("aws")),
    "google": ("google_credentials", "GoogleCredentials", frozenset({"credentials_file"})),
    "entra": ("entra_credentials", "EntraCredentials", keys_of("entra")),
}
"""By kind: the adapter that signs, its class, and what of the credentials it takes."""
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
            (CreateEmbeddings, partial(create_embeddings, providers=providers, around=around)),
            (CountTokens, partial(count_tokens, providers=providers, around=around)),
            (Forward, partial(forward, providers=providers, around=around)),
            (CheckHealth, partial(check_health, providers=providers, around=around)),
            (ListProviderModels, partial(list_provider_models, providers=providers)),
        ],
        expected=messages_in(handlers),
    )
    return ProvidersRuntime(mediator, http)


def _provider(settings: ProviderSettings, http: HttpTransport | None, clock: Clock) -> Provider:
    dialect = dialect_named(settings.dialect, _quirks(settings))
    transport: Transport = http if http and _is_remote(settings) else MemoryTransport(Model(settings.sim), clock)
    own = {name.lower(): value for name, value in settings.headers.items()}
    credentials = _credentials(settings, dialect, clock)
    base_url = settings.base_url or _own_address(settings, dialect)
    shown = {} if credentials else key_headers(_place(settings, dialect), settings.key.given)
    return Provider(
        name=settings.name,
        dialect=dialect,
        transport=transport,
        base_url=base_url,
        headers={**_HEADERS, **shown, **own},
        redact=redactor((settings.key.given, *settings.credentials.secrets, *own.values())),
        models=CATALOGUE if settings.dialect == _SIM else (),
        credentials=credentials,
        refused=getattr(credentials, "refused", _nothing),
        other_dialect=partial(_responses, settings.dialect == "openai" and is_openai(base_url)),
    )


def dialect_named(name: str, quirks: Quirks = NO_QUIRKS) -> Dialect:
    """The adapter of that name, as a provider with those quirks speaks it. It is imported now: those that nobody uses
    cost nothing."""
    # The sim speaks OpenAI's, so that what reads it is what reads a provider.
    module: Any = import_module(f"{_ADAPTERS}.{'openai' if name == _SIM else name}")
    bound = module.dialect(quirks) if quirks != NO_QUIRKS and hasattr(module, "dialect") else module
    return cast(Dialect, bound)


def dialect_of(name: str) -> Dialect:
    """What is spoken to a provider with the preset of that name, else the adapter of that name."""
    entry = presets.entry(name)
    return dialect_named(entry.known.dialect, entry.quirks) if entry else dialect_named(name)


def _quirks(settings: ProviderSettings) -> Quirks:
    """Those of its preset, and the version of the API that the configuration asks for."""
    quirks = presets.quirks_of(settings.preset) if settings.preset else NO_QUIRKS
    return replace(quirks, api_version=settings.api_version) if settings.api_version else quirks


def _credentials(settings: ProviderSettings, dialect: Dialect, clock: Clock) -> Credentials | None:
    """What signs each call; None where headers that stay the same say who pays."""
    kind, key = settings.credentials.kind or dialect.credentials, settings.key
    if kind in _SIGNERS:
        module, name, arguments = _SIGNERS[kind]
        given = {argument: value for argument, value in settings.credentials.values.items() if argument in arguments}
        # Imported late: each of them stands on a library that is large.
        return cast(Credentials, getattr(import_module(f"{_ADAPTERS}.{module}"), name)(clock, **given))
    place = _place(settings, dialect)
    if key.command:
        return KeyCredentials(place, command_key(key.command, key.ttl, clock))
    if key.file:
        return KeyCredentials(place, KeyFile(Path(key.file)))
    return KeyCredentials(place, FixedKey(key.given)) if place.in_url and key.given else None


def _place(settings: ProviderSettings, dialect: Dialect) -> Place:
    return place_of(settings.credentials.kind or dialect.credentials, settings.credentials.name)


def _own_address(settings: ProviderSettings, dialect: Dialect) -> str:
    """Where the provider is that the configuration gives no address of."""
    if settings.dialect == _SIM:
        return _SIM_BASE_URL
    kind, values = settings.credentials.kind or dialect.credentials, settings.credentials.values
    if kind == "aws" and values.get("region"):
        module = import_module(f"{_ADAPTERS}.aws_credentials")
        return str(module.bedrock_base_url(values["region"]))
    if kind == "google" and values.get("project"):
        module = import_module(f"{_ADAPTERS}.google_credentials")
        return str(module.vertex_base_url(values["project"], values.get("location", "")))
    return dialect.default_base_url


def _nothing() -> None:
    """There is nothing else to show."""


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
