"""Requests that cannot be read.

grpc.aio reads a request before anything of ours hears of the call. What cannot be read would end there as UNKNOWN, with
a traceback in the log that anybody can have written, and nobody would be asked who they are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from google.protobuf.message import DecodeError

from mesh.errors import Reason, TollwayError
from mesh.interceptors.method import Handler, behaviour_of, with_behaviour

UNREADABLE = object()
"""Stands where a call's one request would, for whoever is around its handler to end it."""

Read = Callable[[bytes], Any]


def unreadable() -> TollwayError:
    """The error of a call whose request cannot be read."""
    return TollwayError(Reason.INVALID_REQUEST, "the request's bytes are no message such as this method takes")


def reading(handler: Handler) -> Handler:
    """The handler, given UNREADABLE for a request that is none; where it takes many, reading such a one raises."""
    read: Read | None = handler.request_deserializer
    if read is None:
        return handler
    wrapped = _raising(read) if handler.request_streaming else _marking(read)
    return with_behaviour(handler, behaviour_of(handler), wrapped)


def _marking(read: Read) -> Read:
    def read_or_mark(raw: bytes) -> Any:
        try:
            return read(raw)
        except DecodeError:
            return UNREADABLE

    return read_or_mark


def _raising(read: Read) -> Read:
    def read_or_raise(raw: bytes) -> Any:
        try:
            return read(raw)
        except DecodeError:
            raise unreadable() from None

    return read_or_raise
