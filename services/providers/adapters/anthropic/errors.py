"""What Anthropic's errors mean, in the error table's words.

They are `{"type": "error", "error": {"type", "message", "details": {"error_code"}}, "request_id"}`, as a body with a
status of its own or as an event of a stream. A proxy on the way may answer with something else.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from mesh.errors import Reason, TollwayError
from services.providers.domain.error_bodies import read_body, text_of
from services.providers.domain.headers import request_id, retry_after
from services.providers.domain.json_objects import Json

_STATUSES = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "conflict_error": 409,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}
"""Which status an error has that came without one."""
_CONTEXT = re.compile(
    r"prompt is too long|input is too long|exceeds? (the )?context (limit|window)|context (limit|window) exceeded",
    re.IGNORECASE,
)
_UNPAID = re.compile(
    r"credit balance|API usage limits|spend(ing)? limit"
    r"|(organization|workspace|account) (is|has been) (disabled|on hold)",
    re.IGNORECASE,
)
"""Who pays cannot, or may no more: it comes as a bad request."""
_FILTERED = re.compile(r"content[ _]filter", re.IGNORECASE)
_CREDENTIAL = re.compile(r"api[ _-]?key (is|has|was)|oauth|authenticat|credential", re.IGNORECASE)
_NO_MODEL = re.compile(r"\bmodel\b", re.IGNORECASE)


def decode_error(status: int, headers: Mapping[str, str], body: bytes, now: float) -> TollwayError:
    """The error an answer with this status means. `now` is Unix time, for a Retry-After that is a date."""
    answer = _read(body)
    failure = _failure(status, answer, f"the provider answered {status}")
    if request := request_id(headers):
        failure.metadata = {**failure.metadata, "upstream_request_id": request}
    # The reset of a limit says when to come back only where a limit was the reason.
    if status == 429 or "retry-after" in headers or "retry-after-ms" in headers:
        failure.retry_after = retry_after(headers, now)
    return failure


def named_error(answer: Json) -> TollwayError:
    """The error that a 200's body, or an event of a stream, carries in place of an answer."""
    kind = text_of(_inner(answer).get("type"))
    return _failure(_STATUSES.get(kind, 500), answer, "the provider reported an error")


def _failure(status: int, answer: Json, otherwise: str) -> TollwayError:
    error = _inner(answer)
    message = text_of(error.get("message")) or otherwise
    metadata = {"upstream_status": str(status)}
    details = error.get("details")
    code = text_of(details.get("error_code")) if isinstance(details, dict) else ""
    told = {
        "code": code,
        "type": text_of(error.get("type")),
        "request_id": text_of(answer.get("request_id")),
    }
    metadata |= {f"upstream_{name}": value for name, value in told.items() if value}
    return TollwayError(_reason(status, told["type"], message), message, metadata)


def _reason(status: int, kind: str, message: str) -> Reason:
    if _FILTERED.search(message):
        return Reason.CONTENT_FILTERED
    if status in (401, 402) or (status in (400, 403) and _UNPAID.search(message)):
        return Reason.UPSTREAM_CREDENTIALS
    if status == 429:
        return Reason.UPSTREAM_RATE_LIMITED
    if status >= 500 or status == 408 or status < 400:
        # A redirect is not followed: it would carry the credential and the question elsewhere.
        return Reason.UPSTREAM_FAILED
    if _CONTEXT.search(message):
        return Reason.CONTEXT_LENGTH_EXCEEDED
    if status == 404 and kind == "not_found_error" and _NO_MODEL.search(message):
        return Reason.UPSTREAM_MODEL_NOT_FOUND
    if status == 403:
        return Reason.UPSTREAM_CREDENTIALS if _CREDENTIAL.search(message) else Reason.UPSTREAM_FORBIDDEN
    return Reason.UPSTREAM_REJECTED


def _inner(answer: Json) -> Json:
    error = answer.get("error")
    return error if isinstance(error, dict) else answer


def _read(body: bytes) -> Json:
    """The error's object; `message` alone where the body is not JSON."""
    answer = read_body(body)
    return answer if isinstance(answer, dict) else {"message": text_of(answer)}
