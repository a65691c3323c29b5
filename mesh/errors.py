"""The error table: one row per reason, and what it is called in every protocol Tollway speaks.

A `TollwayError` is raised by domain and handlers, travels over gRPC as `google.rpc.Status` with an `ErrorInfo` whose
reason is the row's name (`mesh.status`), and reaches an HTTP client as the row's status and type. Nothing here
knows gRPC or HTTP beyond those names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

DOMAIN = "tollway.dev"


class Reason(StrEnum):
    """Why something failed: `ErrorInfo.reason`, and the text in the ledger's `error_reason`."""

    # What the client sent.
    INVALID_REQUEST = "INVALID_REQUEST"
    MODEL_NOT_FOUND = "MODEL_NOT_FOUND"
    ROUTE_NOT_FOUND = "ROUTE_NOT_FOUND"
    METHOD_NOT_ALLOWED = "METHOD_NOT_ALLOWED"
    BODY_TOO_LARGE = "BODY_TOO_LARGE"
    BODY_TOO_SLOW = "BODY_TOO_SLOW"
    UNSUPPORTED_MEDIA_TYPE = "UNSUPPORTED_MEDIA_TYPE"
    UNSUPPORTED_FEATURE = "UNSUPPORTED_FEATURE"
    CONTEXT_LENGTH_EXCEEDED = "CONTEXT_LENGTH_EXCEEDED"
    CONTENT_FILTERED = "CONTENT_FILTERED"
    # Who the client is, and what it may.
    UNAUTHENTICATED = "UNAUTHENTICATED"
    PERMISSION_DENIED = "PERMISSION_DENIED"
    DENIED_BY_RULE = "DENIED_BY_RULE"
    RATE_LIMITED = "RATE_LIMITED"
    BUDGET_EXCEEDED = "BUDGET_EXCEEDED"
    RESERVATION_EXCEEDED = "RESERVATION_EXCEEDED"
    MODEL_UNPRICED = "MODEL_UNPRICED"
    IDEMPOTENCY_CONFLICT = "IDEMPOTENCY_CONFLICT"
    PRICE_CONFLICT = "PRICE_CONFLICT"
    BUDGET_CONFLICT = "BUDGET_CONFLICT"
    BUDGET_NOT_FOUND = "BUDGET_NOT_FOUND"
    BUDGET_CONFIGURED = "BUDGET_CONFIGURED"
    # What a provider showed.
    UPSTREAM_RATE_LIMITED = "UPSTREAM_RATE_LIMITED"
    UPSTREAM_FAILED = "UPSTREAM_FAILED"
    UPSTREAM_UNREACHABLE = "UPSTREAM_UNREACHABLE"
    UPSTREAM_SILENT = "UPSTREAM_SILENT"
    UPSTREAM_CUT = "UPSTREAM_CUT"
    UPSTREAM_MALFORMED = "UPSTREAM_MALFORMED"
    UPSTREAM_REJECTED = "UPSTREAM_REJECTED"
    UPSTREAM_MODEL_NOT_FOUND = "UPSTREAM_MODEL_NOT_FOUND"
    UPSTREAM_CREDENTIALS = "UPSTREAM_CREDENTIALS"
    UPSTREAM_FORBIDDEN = "UPSTREAM_FORBIDDEN"
    # What became of the request here.
    NO_DEPLOYMENT_READY = "NO_DEPLOYMENT_READY"
    PROVIDER_NOT_CONFIGURED = "PROVIDER_NOT_CONFIGURED"
    DEADLINE_EXCEEDED = "DEADLINE_EXCEEDED"
    CANCELLED = "CANCELLED"
    SERVICE_UNAVAILABLE = "SERVICE_UNAVAILABLE"
    INTERNAL = "INTERNAL"


@dataclass(frozen=True, slots=True)
class Row:
    """What a reason is called elsewhere.

    `grpc_code` names a `grpc.StatusCode`. `repeatable` is false where a client that repeats the request unchanged can
    only fail again, or pay twice: it is answered with `x-should-retry: false`.
    """

    grpc_code: str
    http_status: int
    openai_type: str
    openai_code: str | None
    anthropic_type: str
    repeatable: bool = False


_BAD, _SERVER, _API = "invalid_request_error", "server_error", "api_error"

TABLE: Mapping[Reason, Row] = {
    Reason.INVALID_REQUEST: Row("INVALID_ARGUMENT", 400, _BAD, None, _BAD),
    Reason.MODEL_NOT_FOUND: Row("NOT_FOUND", 404, _BAD, "model_not_found", "not_found_error"),
    Reason.ROUTE_NOT_FOUND: Row("UNIMPLEMENTED", 404, _BAD, "unknown_url", "not_found_error"),
    Reason.METHOD_NOT_ALLOWED: Row("UNIMPLEMENTED", 405, _BAD, "method_not_allowed", _BAD),
    Reason.BODY_TOO_LARGE: Row("RESOURCE_EXHAUSTED", 413, _BAD, "request_too_large", "request_too_large"),
    Reason.BODY_TOO_SLOW: Row("DEADLINE_EXCEEDED", 408, _BAD, "request_timeout", _BAD),
    Reason.UNSUPPORTED_MEDIA_TYPE: Row("INVALID_ARGUMENT", 415, _BAD, "unsupported_media_type", _BAD),
    Reason.UNSUPPORTED_FEATURE: Row("INVALID_ARGUMENT", 400, _BAD, "unsupported_feature", _BAD),
    Reason.CONTEXT_LENGTH_EXCEEDED: Row("INVALID_ARGUMENT", 400, _BAD, "context_length_exceeded", _BAD),
    Reason.CONTENT_FILTERED: Row("INVALID_ARGUMENT", 400, _BAD, "content_filter", _BAD),
    Reason.UNAUTHENTICATED: Row("UNAUTHENTICATED", 401, "authentication_error", "invalid_api_key",
                                "authentication_error"),
    Reason.PERMISSION_DENIED: Row("PERMISSION_DENIED", 403, "permission_error", "permission_denied",
                                  "permission_error"),
    Reason.DENIED_BY_RULE: Row("PERMISSION_DENIED", 403, "permission_error", "denied_by_rule", "permission_error"),
    Reason.RATE_LIMITED: Row("RESOURCE_EXHAUSTED", 429, "rate_limit_error", "rate_limit_exceeded",
                             "rate_limit_error", repeatable=True),
    Reason.BUDGET_EXCEEDED: Row("RESOURCE_EXHAUSTED", 429, "insufficient_quota", "budget_exceeded",
                                "rate_limit_error"),
    Reason.RESERVATION_EXCEEDED: Row("RESOURCE_EXHAUSTED", 429, "insufficient_quota", "budget_exceeded",
                                     "rate_limit_error"),
    Reason.MODEL_UNPRICED: Row("PERMISSION_DENIED", 403, "permission_error", "model_unpriced", "permission_error"),
    Reason.IDEMPOTENCY_CONFLICT: Row("ABORTED", 409, _BAD, "idempotency_conflict", _BAD),
    Reason.PRICE_CONFLICT: Row("ALREADY_EXISTS", 409, _BAD, "price_conflict", _BAD),
    Reason.BUDGET_CONFLICT: Row("ALREADY_EXISTS", 409, _BAD, "budget_conflict", _BAD),
    Reason.BUDGET_NOT_FOUND: Row("NOT_FOUND", 404, _BAD, "budget_not_found", "not_found_error"),
    Reason.BUDGET_CONFIGURED: Row("FAILED_PRECONDITION", 409, _BAD, "budget_configured", _BAD),
    Reason.UPSTREAM_RATE_LIMITED: Row("RESOURCE_EXHAUSTED", 429, "rate_limit_error", "upstream_rate_limited",
                                      "rate_limit_error", repeatable=True),
    Reason.UPSTREAM_FAILED: Row("UNAVAILABLE", 503, _SERVER, "upstream_failed", _API, repeatable=True),
    Reason.UPSTREAM_UNREACHABLE: Row("UNAVAILABLE", 503, _SERVER, "upstream_unreachable", _API, repeatable=True),
    Reason.UPSTREAM_SILENT: Row("DEADLINE_EXCEEDED", 504, _SERVER, "upstream_silent", _API, repeatable=True),
    Reason.UPSTREAM_CUT: Row("UNAVAILABLE", 502, _SERVER, "upstream_cut", _API, repeatable=True),
    Reason.UPSTREAM_MALFORMED: Row("UNAVAILABLE", 502, _SERVER, "upstream_malformed", _API, repeatable=True),
    Reason.UPSTREAM_REJECTED: Row("INVALID_ARGUMENT", 400, _BAD, "upstream_rejected", _BAD),
    Reason.UPSTREAM_MODEL_NOT_FOUND: Row("NOT_FOUND", 404, _BAD, "model_not_found", "not_found_error"),
    Reason.UPSTREAM_CREDENTIALS: Row("FAILED_PRECONDITION", 502, _SERVER, "upstream_credentials", _API),
    Reason.UPSTREAM_FORBIDDEN: Row("PERMISSION_DENIED", 403, "permission_error", "upstream_forbidden",
                                   "permission_error"),
    Reason.NO_DEPLOYMENT_READY: Row("UNAVAILABLE", 503, _SERVER, "no_deployment_ready", _API, repeatable=True),
    Reason.PROVIDER_NOT_CONFIGURED: Row("NOT_FOUND", 500, _SERVER, "provider_not_configured", _API),
    Reason.DEADLINE_EXCEEDED: Row("DEADLINE_EXCEEDED", 504, _SERVER, "deadline_exceeded", _API, repeatable=True),
    Reason.CANCELLED: Row("CANCELLED", 499, _BAD, "cancelled", _BAD),
    Reason.SERVICE_UNAVAILABLE: Row("UNAVAILABLE", 503, _SERVER, "service_unavailable", _API, repeatable=True),
    Reason.INTERNAL: Row("INTERNAL", 500, _SERVER, None, _API, repeatable=True),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class AnthropicName:
    """What Anthropic's clients are told: the status, and the type."""

    http_status: int
    type: str


BY_PROVIDERS_STATUS: Mapping[tuple[Reason, str], AnthropicName] = {
    (Reason.UPSTREAM_FAILED, "529"): AnthropicName(529, "overloaded_error"),
    (Reason.UPSTREAM_REJECTED, "404"): AnthropicName(404, "not_found_error"),
    (Reason.UPSTREAM_REJECTED, "413"): AnthropicName(413, "request_too_large"),
}
"""Where the provider's own status (`upstream_status`) says more than the row, and Anthropic has a name for it."""


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """One thing wrong with a request: `field` is its path (`messages[2].content`), `description` what to do."""

    field: str
    description: str


@dataclass(eq=False)
class TollwayError(Exception):
    """A failure with a reason of the table.

    `message` is for people, `metadata` for programs (short values only), `retry_after` in seconds.
    """

    reason: Reason
    message: str
    metadata: Mapping[str, str] = field(default_factory=dict)
    retry_after: float | None = None
    violations: tuple[FieldViolation, ...] = ()

    def __str__(self) -> str:
        return f"{self.reason}: {self.message}"

    @property
    def row(self) -> Row:
        return TABLE[self.reason]

    @property
    def anthropic(self) -> AnthropicName:
        named = BY_PROVIDERS_STATUS.get((self.reason, self.metadata.get("upstream_status", "")))
        return named or AnthropicName(self.row.http_status, self.row.anthropic_type)


def invalid(field: str, description: str) -> TollwayError:
    """The error for one field that cannot be accepted."""
    return TollwayError(
        Reason.INVALID_REQUEST, f"{field}: {description}", violations=(FieldViolation(field, description),)
    )
