"""Errors in Anthropic's shape.

Source: Anthropic's documentation of errors, and of the code that its clients read (`error.details.error_code`).
"""

from __future__ import annotations

from typing import Any

from gateway_http.errors import code_of, details, param_of
from gateway_http.json_output import encode_json
from mesh.errors import TollwayError


class AnthropicErrors:
    """Of one request. Implements `exchange.ErrorShape`."""

    def __init__(self, request_id: str) -> None:
        self._request_id = request_id

    def status(self, error: TollwayError) -> int:
        return error.anthropic.http_status

    def body(self, error: TollwayError, trace_id: str) -> bytes:
        """`{"type": "error", "error": {type, message, details}, "request_id", "trace_id"}`.

        In `details`: `error_code`, which is what other dialects call the code; `param`, the first field at fault;
        and what there is to say of candidates and budgets.
        """
        kind = error.anthropic.type
        told: dict[str, Any] = {"error_code": code_of(error) or kind}
        if param := param_of(error):
            told["param"] = param
        told.update(details(error))
        fields = {"type": kind, "message": error.message, "details": told}
        return encode_json({"type": "error", "error": fields, "request_id": self._request_id, "trace_id": trace_id})

    def event(self, error: TollwayError, trace_id: str) -> bytes:
        return b"event: error\ndata: " + self.body(error, trace_id) + b"\n\n"
