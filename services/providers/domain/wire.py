"""One HTTP call, as data."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from tollway.providers.v1 import providers_pb2


class Encoded(NamedTuple):
    """What a dialect makes of a question: where under the provider's base URL it goes, and what is sent there."""

    path: str
    body: bytes
    headers: Mapping[str, str] = {}
    method: str = "POST"


class Outgoing(NamedTuple):
    """A call that is ready to leave. A GET has no body."""

    url: str
    body: bytes
    headers: Mapping[str, str]
    method: str = "POST"


class Limits(NamedTuple):
    """How long to wait for what, in seconds. None: for ever."""

    connect: float | None = None
    headers: float | None = None
    first_token: float | None = None
    gap: float | None = None


def limits_of(timeouts: providers_pb2.CallTimeouts) -> Limits:
    """The limits a caller set."""
    return _limits(timeouts.SerializeToString())


@lru_cache(maxsize=256)
def _limits(serialized: bytes) -> Limits:
    # A router sends the same few sets of limits again and again.
    timeouts = providers_pb2.CallTimeouts.FromString(serialized)
    given = {field.name: duration.ToNanoseconds() / 1e9 for field, duration in timeouts.ListFields()}
    return Limits(**given)


MAX_ANSWER = 64 * 2**20
"""The most bytes a whole answer may have. Pictures and sound travel in base64."""
MAX_EVENT = MAX_ANSWER
"""The most bytes one event of a stream may have: a picture comes in one."""
MAX_ERROR = 64 * 2**10
"""As much of an error's body is read."""
