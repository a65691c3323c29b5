"""What a trace is to the code that takes part in it, with no telemetry library in sight.

A `TraceContext` says where in which trace we are; it travels as W3C `traceparent`, over HTTP headers and gRPC metadata
alike, and inside a process in the `current` context variable. Spans are started with an explicit parent and never
made current across a `yield`: a generator that is pulled shares its caller's context variables.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from enum import Enum
from typing import NamedTuple, Protocol

from mesh.ids import random_hex

AttributeValue = str | bool | int | float | Sequence[str]
_TRACEPARENT = re.compile(
    r"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-[0-9a-f]([0-9a-f])(-.*)?"
)
_ODD = "13579bdf"
"""The flags whose lowest bit, sampled, is set."""


class Kind(Enum):
    """A span's side of a call."""

    INTERNAL = "internal"
    SERVER = "server"
    CLIENT = "client"


class TraceContext(NamedTuple):  # every call makes some, and a frozen dataclass takes three times as long
    """A place in a trace: 32 hexadecimal digits, 16 hexadecimal digits, and whether spans are being recorded."""

    trace_id: str
    span_id: str
    sampled: bool
    state: str = ""
    """W3C `tracestate`, passed on as it came."""

    @property
    def traceparent(self) -> str:
        written = _Traceparent(f"00-{self.trace_id}-{self.span_id}-{'01' if self.sampled else '00'}")
        written.place = self
        return written


class _Traceparent(str):
    """A header that was written here: who gets it within the process need not read it."""

    __slots__ = ("place",)
    place: TraceContext


def parse_traceparent(header: str | None, state: str | None = None) -> TraceContext | None:
    """The place a `traceparent` header names; None for a missing or malformed one (W3C Trace Context, section 3.2)."""
    if type(header) is _Traceparent and header.place.state == (state or ""):
        return header.place
    match = _TRACEPARENT.fullmatch(header.strip()) if header else None
    if match is None:
        return None
    version, trace_id, span_id, flags, more = match.groups()
    if more and version == "00":
        return None
    return TraceContext(trace_id, span_id, flags in _ODD, state or "")


def new_trace_id() -> str:
    return random_hex(32)


def new_span_id() -> str:
    return random_hex(16)


_current: ContextVar[TraceContext | None] = ContextVar("tollway_trace", default=None)


def current() -> TraceContext | None:
    """Where we are: set by the edge and by every gRPC server before a handler runs."""
    return _current.get()


def set_current(context: TraceContext | None) -> None:
    """Says where we are, from here on in this task. Read it before the first await or yield that follows."""
    _current.set(context)


class Span(Protocol):
    """A stretch of work. Where the trace is not sampled, everything but `context` does nothing."""

    @property
    def context(self) -> TraceContext: ...

    @property
    def recording(self) -> bool:
        """Whether attributes are worth computing."""

    def set(self, attributes: Mapping[str, AttributeValue]) -> None: ...

    def event(self, name: str, attributes: Mapping[str, AttributeValue] | None = None) -> None: ...

    def fail(self, error_type: str, message: str = "") -> None:
        """Marks the span as failed: status ERROR, and `error.type`."""

    def end(self) -> None:
        """Ends the span; a second time does nothing."""


class Tracer(Protocol):
    """Starts spans."""

    def start(
        self,
        name: str,
        kind: Kind,
        parent: TraceContext | None,
        attributes: Mapping[str, AttributeValue] | None = None,
        links: Sequence[TraceContext] = (),
    ) -> Span:
        """A span under `parent`; with none, the root of a new trace, which decides whether that is sampled."""


class Unsampled:
    """The span of a trace that is not recorded."""

    __slots__ = ("context",)
    recording = False

    def __init__(self, context: TraceContext) -> None:
        self.context = context

    def set(self, attributes: Mapping[str, AttributeValue]) -> None: ...

    def event(self, name: str, attributes: Mapping[str, AttributeValue] | None = None) -> None: ...

    def fail(self, error_type: str, message: str = "") -> None: ...

    def end(self) -> None: ...


class NoTracer:
    """Records nothing, and still gives every request a trace id."""

    def start(
        self,
        name: str,
        kind: Kind,
        parent: TraceContext | None,
        attributes: Mapping[str, AttributeValue] | None = None,
        links: Sequence[TraceContext] = (),
    ) -> Span:
        if parent is None:
            parent = TraceContext(new_trace_id(), new_span_id(), sampled=False)
        return Unsampled(parent)
