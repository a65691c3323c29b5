"""How an error is told that ends a stream of OpenAI's Responses: as a response that failed, and as an `error` event.

Some clients look for the one, some for the other: OpenAI's own SDKs raise what the second says.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gateway_http.errors import error_body
from gateway_http.exchange import ErrorShape
from gateway_http.json_output import decode_json
from mesh.errors import TollwayError

_LIMITED = 429


class InBand:
    """The errors of a stream that has begun: its events go on counting. Implements `exchange.ErrorShape`."""

    def __init__(self, errors: ErrorShape, fail: Callable[[TollwayError, str], bytes]) -> None:
        self._errors, self._fail = errors, fail

    def status(self, error: TollwayError) -> int:
        return self._errors.status(error)

    def body(self, error: TollwayError, trace_id: str) -> bytes:
        return self._errors.body(error, trace_id)

    def event(self, error: TollwayError, trace_id: str) -> bytes:
        return self._fail(error, trace_id)


def error_fields(error: TollwayError, trace_id: str) -> dict[str, dict[str, Any]]:
    """What the response and the event say. The response knows few codes; the event, and `error` in it, ours."""
    told = decode_json(error_body(error, trace_id))["error"]
    status = error.row.http_status
    code = "rate_limit_exceeded" if status == _LIMITED else "invalid_prompt" if status < 500 else "server_error"
    event = {name: told[name] for name in ("code", "message", "param")}
    return {"of_response": {"code": code, "message": error.message}, "of_event": {**event, "error": told}}
