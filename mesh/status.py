"""Errors on the wire: a `TollwayError` as `google.rpc.Status`, and back.

A status travels in HTTP/2 trailers, which peers bound to a few KiB, so whatever can grow is cut to a length here.
"""

from __future__ import annotations

import logging
from typing import Any, NoReturn

import grpc
from google.protobuf.message import DecodeError, Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from mesh.errors import DOMAIN, FieldViolation, Reason, TollwayError

_log = logging.getLogger(__name__)

_DETAILS_KEY = "grpc-status-details-bin"
_MAX_MESSAGE = 1024
_MAX_VALUE = 256
_MAX_VIOLATIONS = 8
_MAX_METADATA = 16

_REASON_BY_CODE = {
    grpc.StatusCode.UNAVAILABLE: Reason.SERVICE_UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED: Reason.DEADLINE_EXCEEDED,
    grpc.StatusCode.CANCELLED: Reason.CANCELLED,
}
"""What a status without our ErrorInfo means: gRPC itself, or a stranger, made it. Every other code is INTERNAL."""

_TOLD = {
    Reason.SERVICE_UNAVAILABLE: "{} cannot be reached",
    Reason.DEADLINE_EXCEEDED: "{} did not answer in time",
    Reason.CANCELLED: "the call to {} was cancelled",
    Reason.INTERNAL: "the call to {} failed; the log says why",
}


def code_of(error: TollwayError) -> grpc.StatusCode:
    return grpc.StatusCode[error.row.grpc_code]


async def abort(context: grpc.aio.ServicerContext[Any, Any], error: TollwayError) -> NoReturn:
    """Ends the RPC with the error's status and details. Raises grpc.aio.AbortError."""
    details = (_DETAILS_KEY, _to_status(error).SerializeToString())
    kept = tuple(item for item in context.trailing_metadata() or () if item[0] != _DETAILS_KEY)
    await context.abort(code_of(error), _cut(error.message, _MAX_MESSAGE), (*kept, details))


def from_rpc_error(error: grpc.aio.AioRpcError) -> TollwayError:
    """The error a peer ended an RPC with. One that is not ours gets its reason from its code.

    Its words are for operators: those of gRPC name addresses and sockets.
    """
    code, message = error.code(), error.details() or ""
    reason = _foreign_reason(code)
    words = f"{code.name}: {message}" if reason is Reason.INTERNAL else message or code.name
    return _ours(error) or TollwayError(reason, words)


def from_service(error: grpc.aio.AioRpcError, service: str) -> TollwayError:
    """The same in words that clients may be told: gRPC's own stand in the log, and here `service` ("the router")."""
    if ours := _ours(error):
        return ours
    reason = _foreign_reason(error.code())
    if reason in (Reason.SERVICE_UNAVAILABLE, Reason.INTERNAL):
        _log.warning("the call to %s failed: %s: %s", service, error.code().name, error.details())
    return TollwayError(reason, _TOLD[reason].format(service))


def _foreign_reason(code: grpc.StatusCode) -> Reason:
    return _REASON_BY_CODE.get(code, Reason.INTERNAL)


def _ours(error: grpc.aio.AioRpcError) -> TollwayError | None:
    """The error that a service of ours ended the RPC with; None where somebody else did."""
    status = _details_of(error)
    info, retry, bad = ErrorInfo(), RetryInfo(), BadRequest()
    for packed in status.details:
        for detail in (info, retry, bad):
            _unpack(packed, detail)
    if info.domain == DOMAIN and info.reason in Reason.__members__:
        return TollwayError(
            Reason[info.reason],
            error.details() or "",
            dict(info.metadata),
            retry.retry_delay.ToTimedelta().total_seconds() if retry.HasField("retry_delay") else None,
            tuple(FieldViolation(each.field, each.description) for each in bad.field_violations),
        )
    return None


def _to_status(error: TollwayError) -> Status:
    status = Status(code=code_of(error).value[0], message=_cut(error.message, _MAX_MESSAGE))
    metadata = list(error.metadata.items())[:_MAX_METADATA]
    info = ErrorInfo(reason=error.reason.name, domain=DOMAIN)
    info.metadata.update({key: _cut(value, _MAX_VALUE) for key, value in metadata})
    status.details.add().Pack(info)
    if error.retry_after is not None:
        retry = RetryInfo()
        retry.retry_delay.FromNanoseconds(round(error.retry_after * 1e9))
        status.details.add().Pack(retry)
    if error.violations:
        bad = BadRequest()
        for violation in error.violations[:_MAX_VIOLATIONS]:
            bad.field_violations.add(
                field=_cut(violation.field, _MAX_VALUE), description=_cut(violation.description, _MAX_VALUE)
            )
        status.details.add().Pack(bad)
    return status


def _details_of(error: grpc.aio.AioRpcError) -> Status:
    trailers = error.trailing_metadata()
    raw = trailers.get(_DETAILS_KEY) if trailers is not None else None
    try:
        return Status.FromString(raw) if isinstance(raw, bytes) else Status()
    except DecodeError:  # a stranger's bytes; the code still says what happened
        return Status()


def _unpack(packed: Any, into: Message) -> None:
    try:
        packed.Unpack(into)  # leaves `into` alone unless it is of its type
    except DecodeError:
        into.Clear()


def _cut(text: str, limit: int) -> str:
    """At most `limit` bytes of UTF-8; three dots stand for what is missing."""
    raw = text.encode("utf-8", "replace")
    return raw.decode() if len(raw) <= limit else raw[: limit - 3].decode("utf-8", "ignore") + "..."
