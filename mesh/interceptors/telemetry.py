"""What is told of the calls that arrive: a SERVER span, and over a wire how long they took."""

from __future__ import annotations

import asyncio
from functools import partial
from time import perf_counter

import grpc

from mesh.channels.inprocess.context import InProcessContext, sent_metadata
from mesh.interceptors.around import AroundCalls, Context, OnStart
from mesh.metrics import Metrics
from mesh.tracing import Kind, Span, TraceContext, Tracer, parse_traceparent, set_current

_SERVER_ERRORS = {
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.UNIMPLEMENTED,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DATA_LOSS,
}
"""The codes that are a server's failure, as OpenTelemetry's conventions have it; the others are the caller's."""

_ON_ITS_WAY = 0.1
"""Seconds that a call may have been on its way: by so much the caller's deadline is over before ours, and it gives the
call up then, which looks like any other leave."""


class Telemetry(AroundCalls):
    """Joins the caller's trace, and makes its own place in it `mesh.tracing.current` for the handler.

    Health and reflection, which are asked all day, are not traced.
    """

    def __init__(self, tracer: Tracer, metrics: Metrics) -> None:
        self._tracer, self._metrics = tracer, metrics

    def around(self, method: str) -> OnStart | None:
        return None if method.startswith("/grpc.") else partial(self._join, _Method(method[1:]))

    def _join(self, method: _Method, context: Context) -> _Observed | None:
        span = self._tracer.start(method.name, Kind.SERVER, _parent(context))
        set_current(span.context)
        metrics = None if isinstance(context, InProcessContext) else self._metrics
        return _Observed(method, span, metrics, context) if span.recording or metrics else None


class _Method:
    """What is told of a method's calls, by how they ended."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._told: dict[grpc.StatusCode, dict[str, str]] = {}

    def told(self, code: grpc.StatusCode) -> dict[str, str]:
        told = self._told.get(code)
        if told is None:
            told = {"rpc.system.name": "grpc", "rpc.method": self.name, "rpc.response.status_code": code.name}
            if code in _SERVER_ERRORS:
                told["error.type"] = code.name
            self._told[code] = told
        return told


class _Observed:
    """A call that something will be told of; how long it took only where `metrics` are given."""

    __slots__ = ("_context", "_method", "_metrics", "_span", "_started")

    def __init__(self, method: _Method, span: Span, metrics: Metrics | None, context: Context) -> None:
        self._method, self._span, self._metrics, self._context = method, span, metrics, context
        self._started = perf_counter()

    def on_end(self) -> None:
        self._tell(self._context.code() or grpc.StatusCode.OK)

    async def on_error(self, error: BaseException, context: Context) -> bool:
        if isinstance(error, asyncio.CancelledError):
            left = self._context.time_remaining()
            late = left is not None and left < _ON_ITS_WAY
            self._tell(grpc.StatusCode.DEADLINE_EXCEEDED if late else grpc.StatusCode.CANCELLED)
        else:
            self._tell(self._context.code() or grpc.StatusCode.UNKNOWN)
        return False

    def _tell(self, code: grpc.StatusCode) -> None:
        if self._metrics is not None:
            seconds = perf_counter() - self._started
            self._metrics.record("rpc.server.call.duration", seconds, self._method.told(code))
        span = self._span
        if span.recording:
            span.set(self._method.told(code))
            if code is grpc.StatusCode.CANCELLED:
                span.set({"tollway.outcome": "cancelled"})
            elif code in _SERVER_ERRORS:
                span.fail(code.name, self._context.details())
        span.end()


def _parent(context: Context) -> TraceContext | None:
    traceparent = tracestate = None
    for key, value in sent_metadata(context):
        if isinstance(value, str):
            if key == "traceparent":
                traceparent = value
            elif key == "tracestate":
                tracestate = value
    return parse_traceparent(traceparent, tracestate)
