"""What the client is told when no attempt led to an answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mesh.errors import Reason, TollwayError
from services.router.domain.routes import Candidate


@dataclass(frozen=True, slots=True)
class Showed:
    """What a candidate showed when it was asked."""

    candidate: Candidate
    failure: TollwayError


def verdict(shown: Sequence[Showed]) -> TollwayError:
    """The most useful error: the last failure, or, where every candidate is busy, the one that is free again first.

    The message says what each candidate showed last.
    """
    chosen = _soonest(shown) or shown[-1]
    failure = chosen.failure
    return TollwayError(
        failure.reason,
        _message(shown, chosen),
        {**failure.metadata, "deployment": chosen.candidate.name},
        failure.retry_after,
        failure.violations,
    )


def _soonest(shown: Sequence[Showed]) -> Showed | None:
    if any(each.failure.reason is not Reason.UPSTREAM_RATE_LIMITED for each in shown):
        return None
    told = [each for each in _last_of_each(shown) if each.failure.retry_after is not None]
    return min(told, key=lambda each: each.failure.retry_after or 0.0, default=None)


def _message(shown: Sequence[Showed], chosen: Showed) -> str:
    last = _last_of_each(shown)
    if len(last) == 1:
        return chosen.failure.message
    tries = {each.candidate.name: 0 for each in shown}
    for each in shown:
        tries[each.candidate.name] += 1
    parts = [
        f"{each.candidate.name}: {each.failure.message} ({each.failure.reason}, {_times(tries[each.candidate.name])})"
        for each in last
    ]
    return f"None of {len(last)} deployments could answer. " + "; ".join(parts)


def _last_of_each(shown: Sequence[Showed]) -> list[Showed]:
    return list({each.candidate.name: each for each in shown}.values())


def _times(tries: int) -> str:
    return "once" if tries == 1 else f"{tries} times"
