"""What is told of the calls that leave over a wire: a CLIENT span and how long they took."""

from __future__ import annotations

from collections.abc import Coroutine, Iterable
from functools import partial
from time import perf_counter
from typing import Any, TypeVar

import grpc

from mesh.metrics import Labels, Metrics
from mesh.tracing import Kind, Span, Tracer, parse_traceparent

Metadata = Iterable[tuple[str, str | bytes]] | None
_T = TypeVar("_T")
_NOT_ERRORS = (grpc.StatusCode.OK, grpc.StatusCode.CANCELLED)
"""A call that its caller cancelled did not fail."""


class Observation:
    """Observes the calls of one method to one target. `method` is `/package.Service/Method`."""

    def __init__(self, target: str, tracer: Tracer, metrics: Metrics, method: str) -> None:
        self._tracer, self._metrics = tracer, metrics
        self._name = method.lstrip("/")
        self._attributes = {"rpc.system.name": "grpc", "rpc.method": self._name, **_server(target)}
        self._labels: dict[grpc.StatusCode, Labels] = {}

    def open(self, metadata: Metadata) -> tuple[Span | None, Metadata]:
        """The call's span, and the metadata that makes the server's its child. None: the caller's is not recorded."""
        entries = dict(metadata or ())
        parent = parse_traceparent(_text(entries.get("traceparent")), _text(entries.get("tracestate")))
        if parent is None:
            return None, metadata
        span = self._tracer.start(self._name, Kind.CLIENT, parent, self._attributes)
        if not span.recording:
            return None, metadata
        kept = ((key, value) for key, value in metadata or () if key != "traceparent")
        return span, (*kept, ("traceparent", span.context.traceparent))

    def watch(self, call: grpc.aio.Call, span: Span | None) -> None:
        """Tells of the call once it has ended."""
        call.add_done_callback(partial(self._close, span, perf_counter()))

    def _close(self, span: Span | None, started: float, call: grpc.aio.Call) -> None:
        code = _at_once(call.code())
        self._metrics.record("rpc.client.call.duration", perf_counter() - started, self._labels_of(code))
        if span is None:
            return
        span.set({"rpc.response.status_code": code.name})
        if code is grpc.StatusCode.CANCELLED:
            span.set({"tollway.outcome": "cancelled"})
        elif code not in _NOT_ERRORS:
            span.fail(code.name, _at_once(call.details()))
        span.end()

    def _labels_of(self, code: grpc.StatusCode) -> Labels:
        labels = self._labels.get(code)
        if labels is None:
            labels = self._labels[code] = {
                **self._attributes,
                "rpc.response.status_code": code.name,
                **({} if code in _NOT_ERRORS else {"error.type": code.name}),
            }
        return labels


def _server(target: str) -> dict[str, str | int]:
    """`server.address` and `server.port` of a target."""
    host, colon, port = target.rpartition("/")[2].rpartition(":")
    if target.startswith("unix:") or not colon or not port.isdigit():
        return {"server.address": target.removeprefix("unix:")}
    return {"server.address": host.strip("[]"), "server.port": int(port)}


def _text(value: str | bytes | None) -> str | None:
    return value if isinstance(value, str) else None


def _at_once(known: Coroutine[Any, Any, _T]) -> _T:
    """The result of a coroutine that waits for something which has already happened."""
    try:
        known.send(None)
    except StopIteration as done:
        result: _T = done.value
        return result
    known.close()
    raise RuntimeError("the call has not ended")
