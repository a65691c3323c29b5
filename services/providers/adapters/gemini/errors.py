"""What an error of Google's means, in the error table's words.

It is a google.rpc.Status in JSON, `{"error": {"code", "message", "status", "details"}}`, sometimes in a list: `code` is
the HTTP status, `status` the name of the gRPC code, and `details` may hold an ErrorInfo with a `reason` and a RetryInfo
with a `retryDelay`. A key that is not valid is a 400, as is a question that is too long.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from mesh.errors import Reason, TollwayError
from services.providers.domain.error_bodies import read_body, text_of
from services.providers.domain.headers import request_id, retry_after
from services.providers.domain.json_objects import Json

_CONTEXT = re.compile(
    r"token count.{0,60}(exceed|only supports|up to)|exceeds the maximum number of tokens", re.I | re.S
)
_FILTERED = re.compile(r"responsible ai|safety (filter|polic)|sensitive words|model armor|prohibited content", re.I)
_CREDENTIAL = re.compile(r"api[ _-]?key|credential|access[ _-]token|unregistered caller|authenticat", re.I)
_CREDENTIAL_REASONS = (
    "API_KEY_",
    "ACCESS_TOKEN_",
    "CREDENTIALS_",
    "ACCOUNT_STATE_",
    "BILLING_",
    "CONSUMER_",
    "SERVICE_DISABLED",
)
"""How an ErrorInfo's reason begins that is about who asks: their key, token, account, project or bill."""
_SPENT = re.compile(r"credits? (is|are|have been) depleted|prepay", re.I)
_INVALID_KEY = re.compile(r"api key (not valid|expired|not found)", re.I)
_PLACE = re.compile(r"location is not supported|not available in your country|enable billing", re.I)
_NO_MODEL = re.compile(r"\bmodels?\b.{0,200}\b(not found|not exist|not supported for)|publisher model", re.I | re.S)
_NO_NAME = re.compile(r"unexpected model name|model.{0,200} is not found for API version", re.I | re.S)
_DELAY = re.compile(r"(\d+(?:\.\d+)?)s")

_STATUSES = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "OUT_OF_RANGE": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "ABORTED": 409,
    "ALREADY_EXISTS": 409,
    "RESOURCE_EXHAUSTED": 429,
    "CANCELLED": 499,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}
"""Which HTTP status stands for the name of a gRPC code, where an error came without one."""


def decode_error(status: int, headers: Mapping[str, str], body: bytes, now: float) -> TollwayError:
    """The error an answer with this status means. `now` is Unix time, for a Retry-After that is a date."""
    failure = _failure(status, _read(body), f"the provider answered {status}")
    if request := request_id(headers):
        failure.metadata = {**failure.metadata, "upstream_request_id": request}
    if "retry-after" in headers:
        failure.retry_after = retry_after(headers, now)
    return failure


def named_error(answer: Json) -> TollwayError | None:
    """The error that a 200's body, or an event of a stream, carries in place of an answer. None: it carries none."""
    error = answer.get("error")
    if not error:
        return None
    error = error if isinstance(error, dict) else {"message": str(error)}
    code = error.get("code")
    status = code if isinstance(code, int) and code >= 400 else _STATUSES.get(str(error.get("status")), 500)
    return _failure(status, error, "the provider reported an error")


def blocked(answer: Json) -> TollwayError | None:
    """What an answer without candidates says about a question that was not let through. None: nothing."""
    feedback = answer.get("promptFeedback")
    if not isinstance(feedback, dict) or not (why := text_of(feedback.get("blockReason"))):
        return None
    message = text_of(feedback.get("blockReasonMessage")) or f"the provider blocked the prompt: {why}"
    return TollwayError(Reason.CONTENT_FILTERED, message, {"upstream_code": why, "upstream_type": "blockReason"})


def _failure(status: int, error: Json, otherwise: str) -> TollwayError:
    message = text_of(error.get("message")) or otherwise
    given = error.get("details")
    details = [each for each in given if isinstance(each, dict)] if isinstance(given, list) else []
    why = next((text_of(each["reason"]) for each in details if each.get("reason")), "")
    metadata = {"upstream_status": str(status)}
    if code := why or text_of(error.get("code")):
        metadata["upstream_code"] = code
    if kind := text_of(error.get("status")):
        metadata["upstream_type"] = kind
    return TollwayError(_reason(status, why, message), message, metadata, _delay(details))


def _delay(details: list[Json]) -> float | None:
    """What a RetryInfo says, in seconds."""
    given = next((text_of(each["retryDelay"]) for each in details if each.get("retryDelay")), "")
    delay = _DELAY.fullmatch(given)
    return float(delay[1]) if delay else None


def _reason(status: int, why: str, message: str) -> Reason:
    if status >= 500 or status in (408, 499) or status < 400:  # a redirect is not followed
        return Reason.UPSTREAM_FAILED
    if status in (401, 402) or why.startswith(_CREDENTIAL_REASONS):
        return Reason.UPSTREAM_CREDENTIALS
    if status == 429:
        return Reason.UPSTREAM_CREDENTIALS if _SPENT.search(message) else Reason.UPSTREAM_RATE_LIMITED
    if status == 403:
        return Reason.UPSTREAM_CREDENTIALS if _CREDENTIAL.search(message) else Reason.UPSTREAM_FORBIDDEN
    if status == 404:
        return Reason.UPSTREAM_MODEL_NOT_FOUND if _NO_MODEL.search(message) else Reason.UPSTREAM_REJECTED
    return _rejection(message) if status == 400 else Reason.UPSTREAM_REJECTED


def _rejection(message: str) -> Reason:
    """What a 400 is about, of all that Google answers with it."""
    if _CONTEXT.search(message):
        return Reason.CONTEXT_LENGTH_EXCEEDED
    if _INVALID_KEY.search(message):
        return Reason.UPSTREAM_CREDENTIALS
    if _PLACE.search(message):
        return Reason.UPSTREAM_FORBIDDEN
    if _FILTERED.search(message):
        return Reason.CONTENT_FILTERED
    return Reason.UPSTREAM_MODEL_NOT_FOUND if _NO_NAME.search(message) else Reason.UPSTREAM_REJECTED


def _read(body: bytes) -> Json:
    """The error object; its `message` alone where the body is not Google's JSON."""
    answer = read_body(body)
    if isinstance(answer, list):
        answer = answer[0] if answer else {}
    if not isinstance(answer, dict):
        return {"message": text_of(answer)}
    error = answer.get("error", answer)
    return error if isinstance(error, dict) else {**answer, "message": text_of(error)}
