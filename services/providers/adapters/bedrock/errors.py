"""What Bedrock's errors mean, in the error table's words.

AWS names an error in the header `x-amzn-errortype`, or in the body's `__type`; in a stream, in the event's headers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from mesh.errors import Reason, TollwayError
from services.providers.domain.error_bodies import read_body
from services.providers.domain.headers import request_id, retry_after
from services.providers.domain.json_objects import Json

_STATUSES = {
    "ThrottlingException": 429,
    "TooManyRequestsException": 429,
    "ServiceQuotaExceededException": 429,  # a 400, which asks to be sent again later
    "ModelNotReadyException": 503,  # a 429, and no limit of ours
    "ServiceUnavailableException": 503,
    "ServiceUnavailable": 503,
    "InternalServerException": 500,
    "InternalFailure": 500,
    "ModelTimeoutException": 408,
    "ResourceNotFoundException": 404,
    "ValidationException": 400,
    "AccessDeniedException": 403,
}
"""What status a type stands for, where its own says less or, in a stream, none came."""
_CREDENTIALS = {
    "UnrecognizedClientException",
    "ExpiredTokenException",
    "ExpiredToken",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "SignatureDoesNotMatch",
    "IncompleteSignature",
    "IncompleteSignatureException",
    "MissingAuthenticationToken",
    "MissingAuthenticationTokenException",
    "RequestExpired",
    "NotAuthorized",
    "OptInRequired",
}
_OF_A_MODEL = {"ModelErrorException", "ModelStreamErrorException"}
_CREDENTIAL = re.compile(r"security token|api[ _-]?key|bearer token|signature|authentication failed", re.IGNORECASE)
_CONTEXT = re.compile(
    r"(input|prompt|request) (is|was) too (long|large)|too many (input |prompt )?tokens|context (length|window|limit)"
    r"|exceeds? (the )?(model'?s? )?max(imum)? (input|context|number of)|maximum (input )?(context|tokens)",
    re.IGNORECASE,
)
_NO_MODEL = re.compile(
    r"model identifier is invalid|on-demand throughput isn.t supported|could not resolve the foundation model"
    r"|\bmodel\b.{0,100}\b(not found|not exist|n't exist)",
    re.IGNORECASE | re.DOTALL,
)
_FILTERED = re.compile(r"content[ _]?(filter|policy)|guardrail (intervened|blocked)|blocked by", re.IGNORECASE)
_SIGNED = re.compile(r"\s*(The Canonical String|The String-to-Sign|Authorization\b|\bin Authorization).*", re.DOTALL)
"""From there on, AWS quotes what was signed: the session's token stands in it."""
_QUOTED = re.compile(r"'[^']*'")


def decode_error(status: int, headers: Mapping[str, str], body: bytes, now: float) -> TollwayError:
    """The error an answer with this status means. `now` is Unix time, for a Retry-After that is a date."""
    error = _read(body)
    kind = _plain(headers.get("x-amzn-errortype") or error.get("__type") or error.get("code"))
    failure = _failure(status, kind, error, f"the provider answered {status}")
    if request := request_id(headers):
        failure.metadata = {**failure.metadata, "upstream_request_id": request}
    if status == 429 or "retry-after" in headers:
        failure.retry_after = retry_after(headers, now)
    return failure


def event_error(kind: str, payload: bytes, message: str = "") -> TollwayError:
    """What an event of a stream says that is an error: its type, its payload or, of one without, its message."""
    kind = _plain(kind)
    kind = kind[:1].upper() + kind[1:]
    error = _read(payload) if payload else {"message": message}
    return _failure(_STATUSES.get(kind, 500), kind, error, "the provider reported an error")


def _failure(status: int, kind: str, error: Json, otherwise: str) -> TollwayError:
    original = error.get("originalStatusCode")
    message = _message(error) or otherwise
    metadata = {"upstream_status": str(status)}
    if kind:
        metadata["upstream_type"] = kind
    if isinstance(original, int):
        metadata["upstream_code"] = str(original)
    meant = _STATUSES.get(kind, status)
    if kind in _OF_A_MODEL:
        meant = original if isinstance(original, int) else 500
    reason = _reason(meant, kind, message)
    return TollwayError(reason, _unquoted(message) if kind in _CREDENTIALS else message, metadata)


def _unquoted(message: str) -> str:
    """Without what AWS quotes of the call's credentials."""
    return _QUOTED.sub("'…'", _SIGNED.sub("", message))


def _reason(status: int, kind: str, message: str) -> Reason:
    if kind in _CREDENTIALS or status in (401, 402):
        return Reason.UPSTREAM_CREDENTIALS
    if status == 429:
        return Reason.UPSTREAM_RATE_LIMITED
    if status >= 500 or status in (408, 424) or status < 400:
        return Reason.UPSTREAM_FAILED
    if status == 403:
        named = _CREDENTIAL.search(message)
        return Reason.UPSTREAM_CREDENTIALS if named else Reason.UPSTREAM_FORBIDDEN
    if _CONTEXT.search(message):
        return Reason.CONTEXT_LENGTH_EXCEEDED
    if kind == "ResourceNotFoundException" or _NO_MODEL.search(message):
        return Reason.UPSTREAM_MODEL_NOT_FOUND
    return Reason.CONTENT_FILTERED if _FILTERED.search(message) else Reason.UPSTREAM_REJECTED


def _plain(kind: Any) -> str:
    """The name alone, of `com.amazon.coral.service#ThrottlingException:http://…`."""
    return kind.partition(":")[0].rpartition("#")[2] if isinstance(kind, str) else ""


def _read(body: bytes) -> Json:
    error = read_body(body)
    return error if isinstance(error, dict) else {}


def _message(error: Json) -> str:
    for name in ("message", "Message", "originalMessage"):
        if isinstance(said := error.get(name), str) and said:
            return said
    return ""
