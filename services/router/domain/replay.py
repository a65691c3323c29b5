"""What is kept of a question that has an idempotency key, and what a repeat of it is given.

A record says how far the answer is. While it is being given, the record lives only as long as its owner renews it, so
that the key of a router that is gone becomes free by itself, by the store's own clock. Once the answer is whole, the
record holds it.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from typing import Any, TypeVar, cast

import msgspec

from mesh.errors import FieldViolation, Reason, TollwayError
from services.router.domain.failures import heard_upstream
from tollway.router.v1.router_pb2 import (
    CreateChatCompletionResponse,
    CreateEmbeddingsResponse,
    ForwardResponse,
    StreamChatCompletionResponse,
)

Response = CreateChatCompletionResponse | StreamChatCompletionResponse | CreateEmbeddingsResponse | ForwardResponse
Shape = (
    type[CreateChatCompletionResponse]
    | type[StreamChatCompletionResponse]
    | type[CreateEmbeddingsResponse]
    | type[ForwardResponse]
)

R = TypeVar("R", bound=Response)


class State(IntEnum):
    """How far the answer is that a key stands for."""

    RUNNING = 1
    """It is being given."""
    ANSWERED = 2
    """It was given, and is kept."""
    REFUSED = 3
    """It is an error, which asking again would not change."""
    RELEASED = 4
    """It failed. Those who follow are told how, and whoever asks next is asked for."""
    TOO_LARGE = 5
    """It is being given, or was, and is larger than what is kept."""


class Failure(msgspec.Struct, frozen=True, array_like=True):
    """An error as it is kept; the fields are TollwayError's."""

    reason: str
    message: str
    metadata: dict[str, str]
    retry_after: float | None
    violations: list[tuple[str, str]]


class Record(msgspec.Struct, frozen=True, array_like=True):
    """What a key stands for. `owner` names one run of the question, never two; `frames` is the answer once ANSWERED."""

    fingerprint: bytes
    streamed: bool
    owner: str
    state: State
    frames: bytes = b""
    failure: Failure | None = None


_encode = msgspec.msgpack.Encoder().encode
_decode_record = msgspec.msgpack.Decoder(Record).decode
_decode_frames = msgspec.msgpack.Decoder(list[bytes]).decode


def encode(record: Record) -> bytes:
    return _encode(record)


def decode(kept: bytes) -> Record:
    """Raises TollwayError SERVICE_UNAVAILABLE for a record of another version of Tollway, which this cannot read."""
    try:
        return _decode_record(kept)
    except msgspec.DecodeError as error:
        raise TollwayError(
            Reason.SERVICE_UNAVAILABLE,
            f"What is kept under this Idempotency-Key cannot be read by this version of Tollway ({error}).",
        ) from error


def framed(responses: Iterable[Response]) -> bytes:
    """Responses as one piece of bytes."""
    return _encode([response.SerializeToString() for response in responses])


def unframed(frames: bytes, shape: type[R]) -> list[R]:
    """The responses in a piece of bytes."""
    return [cast(R, shape.FromString(frame)) for frame in _decode_frames(frames)]


def repeated(response: R) -> R:
    """The response as a repeat of its question is given it. What is left of limits was so then, and is not told."""
    if not response.HasField("receipt"):
        return response
    copy: Any = type(response)()
    copy.CopyFrom(response)
    copy.receipt.replayed = True
    copy.receipt.ClearField("rate_limits")
    return cast(R, copy)


def is_final(failure: TollwayError) -> bool:
    """Whether a failure is the answer: a provider gave it, and would say the same again.

    What came before any call, or in the place of one, cost nothing, and depends on what may have changed by the next
    time: it is found out anew.
    """
    status = failure.row.http_status
    return heard_upstream(failure) and 400 <= status < 500 and status not in (408, 429, 499)


def kept(failure: TollwayError) -> Failure:
    return Failure(
        failure.reason,
        failure.message,
        dict(failure.metadata),
        failure.retry_after,
        [(each.field, each.description) for each in failure.violations],
    )


def told(failure: Failure) -> TollwayError:
    """The error that a repeat of the question is given."""
    known = failure.reason in Reason.__members__
    return TollwayError(
        Reason[failure.reason] if known else Reason.INTERNAL,
        failure.message,
        {**failure.metadata, "replayed": "1"},
        failure.retry_after,
        tuple(FieldViolation(*each) for each in failure.violations),
    )


def conflict(record: Record, fingerprint: bytes, *, streamed: bool) -> str:
    """Why the record is not of this question, in words; empty where it is."""
    if record.fingerprint != fingerprint:
        return "This Idempotency-Key was used for another question. A new question needs a new key."
    if record.streamed != streamed:
        then, now = ("streamed", "whole") if record.streamed else ("whole", "streamed")
        return f"This Idempotency-Key was used to ask for a {then} answer. A {now} one needs a key of its own."
    return ""
