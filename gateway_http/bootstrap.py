"""Puts the edge together, opens it, and closes it."""

from __future__ import annotations

from collections.abc import Callable

import grpc

from gateway_http import anthropic, openai_chat, openai_completions, openai_responses
from gateway_http.app import App
from gateway_http.body import BodyReader
from gateway_http.connection import Server
from gateway_http.conversation import Conversation
from gateway_http.cross_site import SameSite
from gateway_http.dialect import Dialect
from gateway_http.documentation import PATHS as DOCUMENTATION
from gateway_http.documentation import Documentation
from gateway_http.embeddings import Embeddings
from gateway_http.forwarding import PATHS as FORWARDED
from gateway_http.forwarding import Forwarding
from gateway_http.health import MetricsPage, Readiness, healthz
from gateway_http.in_flight import InFlight
from gateway_http.listening import Listener, check_address, listen
from gateway_http.openai_models import Models
from gateway_http.routes import Route, Routes
from gateway_http.settings import GatewaySettings
from mesh.clock import Clock
from mesh.config.addresses import TcpAddress, UnixAddress
from mesh.metrics import Metrics
from mesh.tracing import Tracer
from tollway.router.v1.router_pb2_grpc import RouterServiceStub

_CUT_OFF_AFTER = 0.5
"""Seconds for what has been answered to leave, where a client does not read."""


class Gateway:
    """The open edge."""

    def __init__(self, server: Server, listener: Listener, in_flight: InFlight, drain: float) -> None:
        self._server, self._listener, self._in_flight, self._drain = server, listener, in_flight, drain

    @property
    def url(self) -> str:
        """`http://host:port`, with the port that was chosen where it was left open; `unix:/path` for a socket."""
        return self._listener.url

    async def close(self) -> None:
        """Lets nobody else in, waits for running requests to end (`http.drain`), and ends those that have not."""
        self._listener.close()
        self._server.close_idle()
        await self._in_flight.drain(self._drain)
        await self._server.shutdown(_CUT_OFF_AFTER)


async def start(
    settings: GatewaySettings,
    *,
    router: grpc.aio.Channel,
    clock: Clock,
    tracer: Tracer,
    metrics: Metrics,
    metrics_page: Callable[[], bytes] | None,
) -> Gateway:
    """Opens the edge in front of a router. Raises `mesh.listening.CannotListen`."""
    address = check_address(settings.listen, keyed=settings.keyed, allow_insecure=settings.allow_insecure)
    in_flight, routes = InFlight(clock), _routes(settings, router, clock, metrics_page)
    app = App(routes, in_flight, _same_site(settings, address), clock=clock, tracer=tracer, metrics=metrics)
    server = Server(app, clock, settings.body_timeout)
    return Gateway(server, await listen(server, address, share_port=settings.share_port), in_flight, settings.drain)


def _same_site(settings: GatewaySettings, address: TcpAddress | UnixAddress) -> SameSite | None:
    """What keeps web pages out; None where they would need a key."""
    if settings.keyed:
        return None
    # Beyond this machine it is reached by names that are not known here; browsers reach no unix socket.
    return SameSite(settings.hosts, check_host=isinstance(address, TcpAddress) and address.loopback)


def _routes(
    settings: GatewaySettings,
    router: grpc.aio.Channel,
    clock: Clock,
    metrics_page: Callable[[], bytes] | None,
) -> Routes:
    stub = RouterServiceStub(router)
    bodies = BodyReader(clock, settings.max_body, settings.body_timeout)
    models = Models(stub)

    def conversation(dialect: Dialect) -> Conversation:
        return Conversation(dialect, stub, bodies, clock, settings.max_messages)

    messages = Conversation(anthropic, stub, bodies, clock, settings.max_messages, anthropic.read_headers)
    count = anthropic.CountTokens(stub, bodies, settings.max_messages)
    routes = [
        Route("/v1/chat/completions", {"POST": conversation(openai_chat)}),
        Route("/v1/embeddings", {"POST": Embeddings(stub, bodies)}),
        *(Route(path, {"POST": Forwarding(endpoint, stub, bodies)}) for path, endpoint in FORWARDED.items()),
        Route("/v1/completions", {"POST": conversation(openai_completions)}),
        Route("/v1/responses", {"POST": conversation(openai_responses)}),
        Route("/v1/models", {"GET": models.list_all}),
        Route("/v1/models/{id}", {"GET": models.get_one}),
        *(
            Route(path, {"POST": handler}, errors_of=anthropic.AnthropicErrors, id_header=anthropic.ID_HEADER)
            for path, handler in (("/v1/messages", messages), ("/v1/messages/count_tokens", count))
        ),
        Route("/healthz", {"GET": healthz}, quiet=True),
        Route("/readyz", {"GET": Readiness(router)}, quiet=True),
    ]
    if metrics_page is not None:
        routes.append(Route("/metrics", {"GET": MetricsPage(metrics_page)}, quiet=True))
    pages = Documentation((*(route.template for route in routes), *DOCUMENTATION))
    routes += (
        Route("/openapi.json", {"GET": pages.document}, quiet=True),
        Route("/docs", {"GET": pages.page}, quiet=True),
    )
    return Routes(routes)
