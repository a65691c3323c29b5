"""What a failure before the first content means for the next try: one table, as data.

After the first content there is no next try: the failure is what the client is told.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from mesh.errors import Reason, TollwayError


class Then(Enum):
    """Which of the remaining candidates may be asked."""

    NOBODY = "nobody"
    ANYBODY = "anybody"
    LARGER_WINDOW = "larger window"
    """Those whose context window is larger than the one that was too small, or not known."""


@dataclass(frozen=True, slots=True)
class Meaning:
    """What to do about a failure: whether the same deployment may be asked again, and who may be asked then."""

    again: bool
    then: Then


_RETRY = Meaning(again=True, then=Then.ANYBODY)
_NEXT = Meaning(again=False, then=Then.ANYBODY)
_LARGER = Meaning(again=False, then=Then.LARGER_WINDOW)
_STOP = Meaning(again=False, then=Then.NOBODY)

TABLE: Mapping[Reason, Meaning] = {
    Reason.UPSTREAM_RATE_LIMITED: _RETRY,
    Reason.UPSTREAM_FAILED: _RETRY,
    Reason.UPSTREAM_UNREACHABLE: _RETRY,
    Reason.UPSTREAM_CUT: _RETRY,
    Reason.UPSTREAM_MALFORMED: _RETRY,
    # The provider service itself did not answer: it is restarting, or gone.
    Reason.SERVICE_UNAVAILABLE: _RETRY,
    Reason.CANCELLED: _RETRY,
    Reason.UPSTREAM_SILENT: _NEXT,
    Reason.DEADLINE_EXCEEDED: _NEXT,
    Reason.UPSTREAM_MODEL_NOT_FOUND: _NEXT,
    Reason.UPSTREAM_CREDENTIALS: _NEXT,
    Reason.UPSTREAM_FORBIDDEN: _NEXT,
    Reason.PROVIDER_NOT_CONFIGURED: _NEXT,
    # Another provider's dialect may be able to say it.
    Reason.UNSUPPORTED_FEATURE: _NEXT,
    Reason.INTERNAL: _NEXT,
    Reason.CONTEXT_LENGTH_EXCEEDED: _LARGER,
    Reason.CONTENT_FILTERED: _STOP,
    Reason.UPSTREAM_REJECTED: _STOP,
    Reason.INVALID_REQUEST: _STOP,
    Reason.BODY_TOO_LARGE: _STOP,
    # No provider shows these; should one ever come from beyond the provider service, it is the client's answer.
    Reason.MODEL_NOT_FOUND: _STOP,
    Reason.ROUTE_NOT_FOUND: _STOP,
    Reason.METHOD_NOT_ALLOWED: _STOP,
    Reason.BODY_TOO_SLOW: _STOP,
    Reason.UNSUPPORTED_MEDIA_TYPE: _STOP,
    Reason.UNAUTHENTICATED: _STOP,
    Reason.PERMISSION_DENIED: _STOP,
    Reason.DENIED_BY_RULE: _STOP,
    Reason.NO_DEPLOYMENT_READY: _STOP,
    Reason.RATE_LIMITED: _STOP,
    Reason.BUDGET_EXCEEDED: _STOP,
    Reason.IDEMPOTENCY_CONFLICT: _STOP,
    Reason.PRICE_CONFLICT: _STOP,
}


def backoff(tries: int) -> float:
    """Seconds to wait after that many failed tries, before jitter: 1, 2, 4, and so on up to 30."""
    return min(2.0 ** (tries - 1), 30.0)


def heard_upstream(failure: TollwayError) -> bool:
    """Whether the failure carries an answer of the provider itself, so that the call is known to have arrived."""
    return failure.metadata.get("upstream_status", "0") != "0"


def no_connection(failure: TollwayError) -> bool:
    """Whether there was nobody to talk to: no connection stood, for whatever reason."""
    return failure.reason is Reason.UPSTREAM_UNREACHABLE and failure.metadata.get("phase") == "connect"


def is_the_deployments(failure: TollwayError) -> bool:
    """Whether the failure says something about the deployment, rather than about the question."""
    return TABLE[failure.reason].then is Then.ANYBODY
