"""What Cohere's errors mean, in the error table's words. Cohere says `{"message"}`, and the status says the rest."""

from __future__ import annotations

import re
from collections.abc import Mapping

from mesh.errors import Reason, TollwayError
from services.providers.domain.error_bodies import read_body
from services.providers.domain.headers import request_id, retry_after
from services.providers.domain.json_objects import Json

_DENIED_WORDS = 498
"""Cohere's own status: the question or the answer holds words that are on a list."""
_CLOSED = 499
_CONTEXT = re.compile(
    r"too many tokens|context (length|window)|(prompt|input|message)s? (is )?too long|maximum (number of )?tokens"
    r"|size limit exceeded",
    re.IGNORECASE,
)
_NO_MODEL = re.compile(r"\bmodel\b.{0,100}\b(not found|not exist|n't exist|was removed)|unknown model", re.IGNORECASE)
_FILTERED = re.compile(r"deny-?listed|blocked|safety|toxic", re.IGNORECASE)
_CREDENTIAL = re.compile(r"api[ _-]?(key|token)|unauthori[sz]ed|authenticat", re.IGNORECASE)
_SPENT = re.compile(r"/ ?month|monthly|billing|payment|balance", re.IGNORECASE)


def decode_error(status: int, headers: Mapping[str, str], body: bytes, now: float) -> TollwayError:
    """The error an answer with this status means. `now` is Unix time, for a Retry-After that is a date."""
    failure = _failure(status, _read(body), f"the provider answered {status}")
    if request := request_id(headers):
        failure.metadata = {**failure.metadata, "upstream_request_id": request}
    if status == 429 or "retry-after" in headers:
        failure.retry_after = retry_after(headers, now)
    return failure


def finish_error(reason: str, around: Json) -> TollwayError:
    """What an answer says that broke off for this reason, ERROR or TIMEOUT."""
    said = around.get("error")
    message = said if isinstance(said, str) and said else f"the provider's answer broke off ({reason})"
    metadata = {"upstream_code": reason}
    return TollwayError(Reason.UPSTREAM_FAILED, message, metadata)


def event_error(data: bytes) -> TollwayError:
    """What a stream's event says that is an error, and none of Cohere's types."""
    error = _read(data)
    status = error.get("status_code") or error.get("status")
    return _failure(status if isinstance(status, int) else 500, error, "the provider reported an error")


def _failure(status: int, error: Json, otherwise: str) -> TollwayError:
    message = _text(error, "message") or _text(error, "error") or otherwise
    metadata = {"upstream_status": str(status)}
    for name in ("code", "type"):
        if value := _text(error, name):
            metadata[f"upstream_{name}"] = value
    if identifier := _text(error, "id"):
        metadata["upstream_request_id"] = identifier
    return TollwayError(_reason(status, message), message, metadata)


def _reason(status: int, message: str) -> Reason:
    if status >= 500 or status in (408, _CLOSED) or status < 400:
        return Reason.UPSTREAM_FAILED
    if status in (401, 402) or (status == 429 and _SPENT.search(message)):
        return Reason.UPSTREAM_CREDENTIALS
    if status == 429:
        return Reason.UPSTREAM_RATE_LIMITED
    if status == _DENIED_WORDS:
        return Reason.CONTENT_FILTERED
    if status == 403:
        named = _CREDENTIAL.search(message)
        return Reason.UPSTREAM_CREDENTIALS if named else Reason.UPSTREAM_FORBIDDEN
    if _CONTEXT.search(message):
        return Reason.CONTEXT_LENGTH_EXCEEDED
    if _NO_MODEL.search(message):
        return Reason.UPSTREAM_MODEL_NOT_FOUND
    return Reason.CONTENT_FILTERED if _FILTERED.search(message) else Reason.UPSTREAM_REJECTED


def _read(body: bytes) -> Json:
    error = read_body(body)
    return error if isinstance(error, dict) else {}


def _text(error: Json, name: str) -> str:
    value = error.get(name)
    return value if isinstance(value, str) else ""
