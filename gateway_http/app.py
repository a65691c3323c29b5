"""The edge itself: every request passes through here, and leaves with an answer, a closed span and a measurement."""

from __future__ import annotations

import asyncio
from functools import lru_cache

from aiohttp import web

from gateway_http.connection import Connection
from gateway_http.cross_site import SameSite
from gateway_http.errors import OPENAI, error_response, explain
from gateway_http.exchange import Exchange
from gateway_http.in_flight import InFlight
from gateway_http.request_headers import request_id, trace_parent
from gateway_http.routes import Route, Routes, handler_of
from mesh.clock import Clock
from mesh.errors import Reason, TollwayError
from mesh.metrics import LabelSet, Metrics
from mesh.tracing import AttributeValue, Kind, NoTracer, Tracer

_CLIENT_LEFT = 499
"""The status by which a request is counted that ended with nobody to answer."""

_OTHER = "_OTHER"
_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"))
_ACTIVE = {method: LabelSet({"http.request.method": method}) for method in (*_METHODS, _OTHER)}
"""The labels of a request while it is being answered."""

_UNTRACED = NoTracer()


class App:
    """What aiohttp's server calls for every request."""

    def __init__(
        self,
        routes: Routes,
        in_flight: InFlight,
        same_site: SameSite | None,
        *,
        clock: Clock,
        tracer: Tracer,
        metrics: Metrics,
    ) -> None:
        self._routes, self._in_flight, self._same_site = routes, in_flight, same_site
        self._clock, self._tracer, self._metrics = clock, tracer, metrics

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        began = self._clock.monotonic()
        connection = request.protocol
        assert isinstance(connection, Connection)
        task = self._in_flight.enter(connection)
        route = self._routes.find(request.path)
        exchange = self._open(request, route)
        active = _ACTIVE[_known(request.method)]
        self._metrics.count("http.server.active_requests", 1, active)
        status = _CLIENT_LEFT
        try:
            response = await self._answer(exchange, route, task)
            status = response.status
            if self._in_flight.draining:
                response.force_close()
            return response
        finally:
            self._metrics.count("http.server.active_requests", -1, active)
            self._close(exchange, route, status, self._clock.monotonic() - began)

    def _open(self, request: web.BaseRequest, route: Route | None) -> Exchange:
        tracer = _UNTRACED if route is not None and route.quiet else self._tracer
        method = _known(request.method)
        title = method if route is None else f"{method} {route.template}"
        span = tracer.start(title, Kind.SERVER, trace_parent(request.headers))
        name = request_id(request.headers, self._clock.time())
        if route is None:
            return Exchange(request, name, span, OPENAI)
        errors = route.errors if route.errors_of is None else route.errors_of(name)
        return Exchange(request, name, span, errors, route.id_header)

    async def _answer(self, exchange: Exchange, route: Route | None, task: asyncio.Task[object]) -> web.StreamResponse:
        """The one place where whatever was raised becomes an answer, or an event in one that has begun."""
        try:
            if self._same_site is not None:
                self._same_site.check(exchange.request.headers)
            handler = handler_of(route, exchange.request.method, exchange.request.path)
            response = await handler(exchange)
        except asyncio.CancelledError:
            if not self._in_flight.ended:
                raise  # the client left
            task.uncancel()
            exchange.error = TollwayError(Reason.SERVICE_UNAVAILABLE, "the gateway is shutting down")
        except ConnectionError:
            raise  # the client left while it was being written to
        except Exception as raised:  # noqa: BLE001 - the edge of the process; `explain` logs what nobody foresaw
            exchange.error = explain(raised, exchange.trace_id)
        else:
            if not response.prepared:
                response.headers.update(exchange.identity())
            return response
        return await _fail(exchange, exchange.error)

    def _close(self, exchange: Exchange, route: Route | None, status: int, seconds: float) -> None:
        span, error, method = exchange.span, exchange.error, _known(exchange.request.method)
        failed = error.reason if error is not None and error.row.http_status >= 500 else None
        if span.recording:
            span.set(_attributes(exchange.request, route, method, status))
        if failed is not None and error is not None:
            span.fail(failed, error.message)
        span.end()
        labels = _labels(method, status, "" if route is None else route.template, failed or "")
        self._metrics.record("http.server.request.duration", seconds, labels)


async def _fail(exchange: Exchange, error: TollwayError) -> web.StreamResponse:
    stream = exchange.stream
    if stream is None:
        response = error_response(error, exchange.trace_id, exchange.errors)
        response.headers.update(exchange.identity())
        return response
    if not stream.finished:
        await stream.fail(exchange.errors.event(error, exchange.trace_id))
    return stream


def _known(method: str) -> str:
    return method if method in _METHODS else _OTHER


@lru_cache(1024)
def _labels(method: str, status: int, template: str, failed: str) -> LabelSet:
    labels: dict[str, str | int | bool] = {"http.request.method": method, "http.response.status_code": status}
    if template:
        labels["http.route"] = template
    if failed:
        labels["error.type"] = failed
    return LabelSet(labels)


def _attributes(request: web.BaseRequest, route: Route | None, method: str, status: int) -> dict[str, AttributeValue]:
    host, _, port = request.host.rpartition(":")
    attributes: dict[str, AttributeValue] = {
        "http.request.method": method,
        "url.scheme": "http",
        "url.path": request.path,
        "server.address": host if port.isdecimal() else request.host,
    }
    if port.isdecimal():
        attributes["server.port"] = int(port)
    if route is not None:
        attributes["http.route"] = route.template
    if status == _CLIENT_LEFT:
        attributes["tollway.outcome"] = "cancelled"
    else:
        attributes["http.response.status_code"] = status
    return attributes
