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


@dataclass(frozen=True, slots=True)
class LeftAlone:
    """A candidate that may not be asked, why not, and in how many seconds it may."""

    candidate: Candidate
    reason: str
    wait: float


def verdict(shown: Sequence[Showed], left_alone: Sequence[LeftAlone] = ()) -> TollwayError:
    """The most useful error: the last failure, or, where every candidate is busy, the one that is free again first.

    The message says what each candidate showed last, and who is left alone. Where nobody was asked because all are, it
    says when the first comes back.
    """
    if not shown:
        return _nobody(left_alone)
    chosen = _soonest(shown) or shown[-1]
    failure = chosen.failure
    return TollwayError(
        failure.reason,
        _message(shown, chosen, left_alone),
        {**failure.metadata, "deployment": chosen.candidate.name},
        _retry_after(shown, failure, left_alone),
        failure.violations,
    )


def broken_off(showed: Showed, shown: Sequence[Showed]) -> TollwayError:
    """The error that ends an answer after some of it was delivered: what ended it, and why nobody could go on.

    `shown` is everything that went wrong, in order.
    """
    error = verdict([showed])
    after = shown[max(index for index, each in enumerate(shown) if each.failure is showed.failure) + 1 :]
    if after:
        error.message += ". Nobody could go on: " + "; ".join(_line(each) for each in after)
    return error


def _nobody(left_alone: Sequence[LeftAlone]) -> TollwayError:
    reasons = "; ".join(f"{each.candidate.name} {each.reason}" for each in left_alone)
    soonest = min((each.wait for each in left_alone), default=None)
    alone = {"deployment": left_alone[0].candidate.name} if len(left_alone) == 1 else {}
    return TollwayError(Reason.NO_DEPLOYMENT_READY, f"No deployment can be asked now. {reasons}", alone, soonest)


def _retry_after(shown: Sequence[Showed], failure: TollwayError, left_alone: Sequence[LeftAlone]) -> float | None:
    """What the provider said; else, where everybody who was asked is left alone now, when the first comes back."""
    if failure.retry_after is not None or not failure.row.repeatable:
        return failure.retry_after
    if {each.candidate.name for each in shown} <= {each.candidate.name for each in left_alone}:
        return min(each.wait for each in left_alone)
    return None


def _soonest(shown: Sequence[Showed]) -> Showed | None:
    if any(each.failure.reason is not Reason.UPSTREAM_RATE_LIMITED for each in shown):
        return None
    told = [each for each in _last_of_each(shown) if each.failure.retry_after is not None]
    return min(told, key=lambda each: each.failure.retry_after or 0.0, default=None)


def _message(shown: Sequence[Showed], chosen: Showed, left_alone: Sequence[LeftAlone]) -> str:
    last = _last_of_each(shown)
    asked = {each.candidate.name for each in last}
    others = [each for each in left_alone if each.candidate.name not in asked]
    if len(last) == 1 and not others:
        return chosen.failure.message
    tries = {each.candidate.name: 0 for each in shown}
    for each in shown:
        tries[each.candidate.name] += 1
    parts = [f"{_line(each)[:-1]}, {_times(tries[each.candidate.name])})" for each in last]
    parts += [f"{each.candidate.name} {each.reason}" for each in others]
    return f"None of {len(parts)} deployments could answer. " + "; ".join(parts)


def _line(each: Showed) -> str:
    return f"{each.candidate.name}: {each.failure.message} ({each.failure.reason})"


def _last_of_each(shown: Sequence[Showed]) -> list[Showed]:
    return list({each.candidate.name: each for each in shown}.values())


def _times(tries: int) -> str:
    return "once" if tries == 1 else f"{tries} times"
