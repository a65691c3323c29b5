"""What a failure means: for the next try, for the breaker, and after the first content. One table, as data."""

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


class Breaks(Enum):
    """What a failure does to a breaker."""

    NOT = "not"
    """It says nothing about the deployment: the question was at fault, or we were."""
    COUNTS = "counts"
    """It counts against the deployment, and where the provider says when to come back, nobody comes sooner."""
    CREDENTIAL = "credential"
    """It opens the breaker of the provider's credential, for all of its deployments."""


class Midway(Enum):
    """What follows after the first content, when another attempt cannot be invisible any more."""

    TELL = "tell"
    """One error, at once."""
    CONTINUE = "continue"
    """By the third law, and the same deployment counts, once."""
    CONTINUE_ELSEWHERE = "continue elsewhere"
    """By the third law, but the same deployment has had its chance."""
    PREFILL = "prefill"
    """By a deployment that is told what was said, the same included; to ask anew would cost it all again."""


@dataclass(frozen=True, slots=True)
class Meaning:
    """What to do about a failure.

    `again` says whether the same deployment may be asked once more, and `then` who may be asked after that; `breaks`
    what it does to the breaker, and `midway` what follows where content has been delivered.
    """

    again: bool
    then: Then
    breaks: Breaks
    midway: Midway


_FAILED = Meaning(True, Then.ANYBODY, Breaks.COUNTS, Midway.CONTINUE)
_OURS = Meaning(True, Then.ANYBODY, Breaks.NOT, Midway.CONTINUE)
_SILENT = Meaning(False, Then.ANYBODY, Breaks.COUNTS, Midway.CONTINUE_ELSEWHERE)
_NEXT = Meaning(False, Then.ANYBODY, Breaks.NOT, Midway.CONTINUE_ELSEWHERE)
_CREDENTIAL = Meaning(False, Then.ANYBODY, Breaks.CREDENTIAL, Midway.CONTINUE_ELSEWHERE)
_LARGER = Meaning(False, Then.LARGER_WINDOW, Breaks.NOT, Midway.CONTINUE_ELSEWHERE)
_TOO_LITTLE = Meaning(True, Then.NOBODY, Breaks.NOT, Midway.PREFILL)
_STOP = Meaning(False, Then.NOBODY, Breaks.NOT, Midway.TELL)

TABLE: Mapping[Reason, Meaning] = {
    Reason.UPSTREAM_RATE_LIMITED: _FAILED,
    Reason.UPSTREAM_FAILED: _FAILED,
    Reason.UPSTREAM_UNREACHABLE: _FAILED,
    Reason.UPSTREAM_CUT: _FAILED,
    Reason.UPSTREAM_MALFORMED: _FAILED,
    # The provider service itself did not answer: it is restarting, or gone. Were that to open breakers, it would be
    # left alone for a while once it is back, with everybody behind it.
    Reason.SERVICE_UNAVAILABLE: _OURS,
    Reason.CANCELLED: _OURS,
    Reason.UPSTREAM_SILENT: _SILENT,
    # The call's own limit; the client's deadline ends an attempt without an outcome.
    Reason.DEADLINE_EXCEEDED: _SILENT,
    Reason.UPSTREAM_MODEL_NOT_FOUND: _NEXT,
    Reason.UPSTREAM_CREDENTIALS: _CREDENTIAL,
    Reason.UPSTREAM_FORBIDDEN: _NEXT,
    Reason.PROVIDER_NOT_CONFIGURED: _NEXT,
    # Another provider's dialect may be able to say it.
    Reason.UNSUPPORTED_FEATURE: _NEXT,
    # A bug of ours that one client's question shows must not take a deployment away from the others.
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
    # We ended the answer, where what was reserved for it did. There may be more to reserve for another try.
    Reason.RESERVATION_EXCEEDED: _TOO_LITTLE,
    Reason.MODEL_UNPRICED: _STOP,
    Reason.IDEMPOTENCY_CONFLICT: _STOP,
    Reason.PRICE_CONFLICT: _STOP,
    Reason.BUDGET_CONFLICT: _STOP,
    Reason.BUDGET_NOT_FOUND: _STOP,
    Reason.BUDGET_CONFIGURED: _STOP,
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
    return TABLE[failure.reason].breaks is not Breaks.NOT
