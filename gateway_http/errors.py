"""Errors as clients expect them: a JSON body in their dialect's shape, a status, and headers that say whether to try
again."""

from __future__ import annotations

import logging
import math
import re
from typing import Any

import grpc
from aiohttp import web

from gateway_http.exchange import ErrorShape
from gateway_http.header_text import header_text
from gateway_http.json_output import encode_json
from gateway_http.rate_limits import refusal_headers
from mesh.errors import Reason, TollwayError
from mesh.status import from_service

_log = logging.getLogger(__name__)
_WORD = re.compile(r"[A-Za-z][\w.-]{0,63}", re.ASCII)


def explain(raised: Exception, trace_id: str) -> TollwayError:
    """What an exception is called where clients see it. One that nobody foresaw is logged, and tells nothing."""
    if isinstance(raised, TollwayError):
        return raised
    if isinstance(raised, grpc.aio.AioRpcError):
        return from_service(raised, "the router")
    _log.error("request failed unexpectedly, trace %s", trace_id, exc_info=raised)
    return TollwayError(Reason.INTERNAL, "something went wrong inside the gateway; its log says what")


def error_body(error: TollwayError, trace_id: str) -> bytes:
    """`{"error": {message, type, param, code, trace_id}}`.

    Where nobody could be asked, `candidates` says of each why not. Where a budget is used up, `budget` says which, how
    much it is, what was spent of it and when it begins anew.
    """
    fields: dict[str, Any] = {
        "message": error.message,
        "type": error.row.openai_type,
        "param": param_of(error) or None,
        "code": code_of(error),
        "trace_id": trace_id,
    }
    fields.update(details(error))
    return encode_json({"error": fields})


def param_of(error: TollwayError) -> str:
    """The path of the first field at fault, or what the provider calls it. Empty: none was named."""
    return error.violations[0].field if error.violations else error.metadata.get("upstream_param", "")


def code_of(error: TollwayError) -> str | None:
    """What programs know the error by: the table's word, or the provider's where the table's is that it said no.

    Some providers put a number there, or a sentence: neither is a word.
    """
    theirs = error.metadata.get("upstream_code", "")
    if error.reason is Reason.UPSTREAM_REJECTED and _WORD.fullmatch(theirs):
        return theirs
    return error.row.openai_code


def details(error: TollwayError) -> dict[str, Any]:
    """What an error says in any shape: of each candidate why not, and of the budget what it is."""
    told: dict[str, Any] = {}
    if "candidate_1" in error.metadata:
        numbers = range(1, len(error.metadata) + 1)
        names = (f"candidate_{number}" for number in numbers)
        told["candidates"] = [error.metadata[name] for name in names if name in error.metadata]
    if "budget" in error.metadata:
        told["budget"] = {name: error.metadata[name] for name in _OF_A_BUDGET if name in error.metadata}
    return told


def error_event(error: TollwayError, trace_id: str) -> bytes:
    """The event that ends a stream whose headers have gone out. No `[DONE]` may follow it."""
    return b"data: " + error_body(error, trace_id) + b"\n\n"


def error_headers(error: TollwayError) -> dict[str, str]:
    """Whether and when to repeat the request and what to show then, which methods there are, and how far it came."""
    headers = {"content-type": "application/json"}
    if not error.row.repeatable or error.metadata.get("repeat") == "never":
        headers["x-should-retry"] = "false"
    if error.retry_after is not None:
        headers["retry-after"] = str(math.ceil(error.retry_after))
        headers["retry-after-ms"] = str(math.ceil(error.retry_after * 1000))
    if error.reason is Reason.UNAUTHENTICATED:
        headers["www-authenticate"] = "Bearer"
    for key, name in _SHOWN_METADATA.items():
        if key in error.metadata:
            headers[name] = header_text(error.metadata[key])
    if error.reason is Reason.RATE_LIMITED:
        headers.update(refusal_headers(error.metadata))
    return headers


_OF_A_BUDGET = ("budget", "scope", "limit_usd", "spent_usd", "window_ends")
_SHOWN_METADATA = {
    "budget": "x-tollway-budget",
    "allow": "allow",
    "deployment": "x-tollway-deployment",
    "attempts": "x-tollway-attempts",
    "replayed": "x-tollway-replayed",
}


class OpenAiErrors:
    """OpenAI's shape, which is everybody's whose own is not known. Implements `exchange.ErrorShape`."""

    def status(self, error: TollwayError) -> int:
        return error.row.http_status

    def body(self, error: TollwayError, trace_id: str) -> bytes:
        return error_body(error, trace_id)

    def event(self, error: TollwayError, trace_id: str) -> bytes:
        return error_event(error, trace_id)


OPENAI = OpenAiErrors()


def error_response(error: TollwayError, trace_id: str, errors: ErrorShape = OPENAI) -> web.Response:
    response = web.Response(
        status=errors.status(error), body=errors.body(error, trace_id), headers=error_headers(error)
    )
    if error.reason in _LEAVES_BODY_UNREAD:
        response.force_close()
    return response


# The rest of the body would have to be read before another request could follow on the connection.
_LEAVES_BODY_UNREAD = {Reason.BODY_TOO_LARGE, Reason.BODY_TOO_SLOW}
