"""What an OpenAI-compatible server's error means, in the error table's words.

OpenAI answers `{"error": {"message", "type", "code", "param"}}`. Those who follow it put a string there, leave the
envelope out, wrap it in a list, answer in their web framework's shape, or let a proxy answer in HTML: all are read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from mesh.errors import Reason, TollwayError
from services.providers.domain.error_bodies import read_body, text_of
from services.providers.domain.headers import request_id, retry_after
from services.providers.domain.json_objects import Json

_CONTEXT = re.compile(
    r"context[ _-]?(length|window|size)|(prompt|input|request) (is )?too long|too many (input |prompt )?tokens"
    r"|maximum (number of )?(input|prompt) tokens|reduce the length",
    re.IGNORECASE,
)
_FILTERED = re.compile(r"content[ _]?(filter|policy|management)|responsible_?ai|flagged", re.IGNORECASE)
_CREDENTIAL = re.compile(
    r"api[ _-]?key|credential|(access|auth\w*|bearer)[ _-]token|unauthori[sz]ed|authenticat", re.IGNORECASE
)
_BAD_KEY = re.compile(r"\b(incorrect|invalid) api[ _-]?key|\bapi[ _-]?key (is )?(not valid|invalid)", re.IGNORECASE)
"""What xAI and Google say with 400 where others say 401."""
_NO_MODEL = re.compile(
    r"\b(model|deployment)\b.{0,100}\b(not (be )?found|not exist|n't exist)"
    r"|no such model|(unknown|invalid) model\b|not a valid model|no endpoints found",
    re.IGNORECASE | re.DOTALL,
)
_NO_MODEL_CODES = {"model_not_found", "deploymentnotfound", "model_not_exist"}
_SPENT_CODES = {"insufficient_quota", "billing_hard_limit_reached", "insufficient_balance"}

_NAMED_STATUS = (
    ("rate_limit", 429),
    ("too_many_requests", 429),
    ("resource_exhausted", 429),
    ("insufficient_quota", 402),
    ("overloaded", 529),
    ("unavailable", 503),
    ("timeout", 504),
    ("authentication", 401),
    ("api_key", 401),
    ("permission", 403),
    ("not_found", 404),
    ("invalid", 400),
    ("bad_request", 400),
    ("context_length", 400),
    ("content_filter", 400),
)
"""Which HTTP status an error that came without one would have had, by a word in its code or type."""


def decode_error(status: int, headers: Mapping[str, str], body: bytes, now: float) -> TollwayError:
    """The error an answer with this status means. `now` is Unix time, for a Retry-After that is a date."""
    error = _read(body)
    failure = _failure(status, error, f"the provider answered {status}")
    if request := request_id(headers):
        failure.metadata = {**failure.metadata, "upstream_request_id": request}
    failure.retry_after = _wait(status, headers, now)
    return failure


def named_error(answer: Json) -> TollwayError | None:
    """The error that a 200's body, or an event of a stream, carries in place of an answer. None: it carries none."""
    if not answer.get("error") and answer.get("object") != "error":
        return None
    return _named(_unwrap(answer))


def choice_error(choice: Json) -> TollwayError:
    """What a choice says that ended for the reason `error`, as OpenRouter's do."""
    return _named(_unwrap(choice) if isinstance(choice.get("error"), dict) else {})


def event_error(data: bytes) -> TollwayError:
    """What a stream's event of the type `error` says."""
    return _named(_read(data))


def _named(error: Json) -> TollwayError:
    return _failure(_named_status(error), error, "the provider reported an error")


def _wait(status: int, headers: Mapping[str, str], now: float) -> float | None:
    # The reset of a limit says when to come back only where a limit was the reason.
    if status == 429 or "retry-after" in headers or "retry-after-ms" in headers:
        return retry_after(headers, now)
    return None


def _failure(status: int, error: Json, otherwise: str) -> TollwayError:
    message = text_of(error.get("message")) or otherwise
    metadata = {"upstream_status": str(status)}
    for key in ("code", "type", "param"):
        if value := text_of(error.get(key)):
            metadata[f"upstream_{key}"] = value
    return TollwayError(_reason(status, error, message), message, metadata)


def _reason(status: int, error: Json, message: str) -> Reason:
    words = " ".join(text_of(error.get(key)) for key in ("code", "type")).lower()
    code = text_of(error.get("code")).lower()
    if status >= 500 or status == 408:
        return Reason.UPSTREAM_FAILED
    if status in (401, 402) or code in _SPENT_CODES or (status == 400 and _BAD_KEY.search(message)):
        return Reason.UPSTREAM_CREDENTIALS
    if status == 429:
        return Reason.UPSTREAM_RATE_LIMITED
    if status < 400:  # a redirect is not followed: it would carry the credential and the question elsewhere
        return Reason.UPSTREAM_FAILED
    if _FILTERED.search(words) or (status in (400, 403) and _FILTERED.search(message)):
        return Reason.CONTENT_FILTERED
    if _CONTEXT.search(words) or (status in (400, 413, 422) and _CONTEXT.search(message)):
        return Reason.CONTEXT_LENGTH_EXCEEDED
    if code in _NO_MODEL_CODES or (status in (400, 404) and _NO_MODEL.search(message)):
        return Reason.UPSTREAM_MODEL_NOT_FOUND
    if status == 403:
        named = _CREDENTIAL.search(f"{words} {message}")
        return Reason.UPSTREAM_CREDENTIALS if named else Reason.UPSTREAM_FORBIDDEN
    return Reason.UPSTREAM_REJECTED


def _named_status(error: Json) -> int:
    for key in ("status", "status_code", "code", "http_code"):
        digits = text_of(error.get(key))
        if len(digits) == 3 and digits.isdigit() and digits >= "400":
            return int(digits)
    words = " ".join(text_of(error.get(key)) for key in ("code", "type", "status")).lower()
    return next((status for word, status in _NAMED_STATUS if word in words), 500)


def _read(body: bytes) -> Json:
    """The error object, whatever it is wrapped in; `message` alone where the body is not JSON."""
    answer = read_body(body)
    if isinstance(answer, list):
        answer = answer[0] if answer else {}
    return _unwrap(answer) if isinstance(answer, dict) else {"message": text_of(answer)}


def _unwrap(answer: Json) -> Json:
    error = answer.get("error", answer)
    if isinstance(error, dict):
        return error if "message" in error else {**error, "message": _detail(answer.get("detail"))}
    return {**answer, "message": text_of(error) or text_of(answer.get("message"))}


def _detail(detail: Any) -> str:
    """FastAPI's list of what is wrong, or its sentence."""
    if isinstance(detail, list):
        return "; ".join(
            f"{'.'.join(map(str, each.get('loc', ())))}: {each.get('msg', '')}" if isinstance(each, dict) else str(each)
            for each in detail
        )
    return text_of(detail)
