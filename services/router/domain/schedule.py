"""What to do after a failed attempt: the same deployment again, the next candidate, or nothing more."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mesh.errors import TollwayError
from services.router.domain.failures import TABLE, Meaning, Then, backoff
from services.router.domain.routes import Candidate, Plan

_SPREAD = 0.25


@dataclass(frozen=True, slots=True)
class RetryAfter:
    """Ask the same candidate again, after that many seconds."""

    delay: float


@dataclass(frozen=True, slots=True)
class NextCandidate:
    """Ask the plan's candidate with that index, at once."""

    index: int


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Tell the client."""


Decision = RetryAfter | NextCandidate | GiveUp


@dataclass(slots=True)
class Tried:
    """How far a plan has been followed: which candidate is being asked, and how often it has failed.

    `window` is the largest context window, in tokens, that turned out too small; 0: none did.
    """

    index: int = 0
    tries: int = 0
    window: int = 0

    def note(self, plan: Plan, failure: TollwayError) -> None:
        """Counts a failure of the candidate being asked."""
        self.tries += 1
        if TABLE[failure.reason].then is Then.LARGER_WINDOW:
            self.window = max(self.window, plan.candidates[self.index].deployment.context or 0)

    def move(self, index: int) -> None:
        """From now on the candidate with that index is being asked."""
        self.index, self.tries = index, 0


@dataclass(frozen=True, slots=True)
class Schedule:
    """Decides. `jitter` gives numbers in [0, 1); `retry_after_wait` is the longest Retry-After kept, in seconds."""

    retry_after_wait: float
    jitter: Callable[[], float]

    def decide(self, plan: Plan, tried: Tried, failure: TollwayError, time_left: float | None) -> Decision:
        """What follows the `failure` that was noted last. `time_left` in seconds, None: no deadline."""
        meaning = TABLE[failure.reason]
        candidate = plan.candidates[tried.index]
        following = _following(plan, tried, meaning)
        if meaning.again:
            delay = self._delay(candidate, tried.tries, following, failure.retry_after)
            if delay is not None and (time_left is None or delay < time_left):
                return RetryAfter(delay)
        if following and (time_left is None or time_left > 0):
            return NextCandidate(following[0][0])
        return GiveUp()

    def _delay(
        self, candidate: Candidate, tries: int, following: list[tuple[int, Candidate]], retry_after: float | None
    ) -> float | None:
        """Seconds until the candidate is asked again; None: it is not."""
        allowed = min(candidate.deployment.retries, 1) if following else candidate.deployment.retries
        if tries > allowed:
            return None
        if retry_after is None:
            return backoff(tries) * (1 - _SPREAD + 2 * _SPREAD * self.jitter())
        sibling = any(other.stands_for == candidate.stands_for for _, other in following)
        return None if sibling or retry_after > self.retry_after_wait else retry_after


def _following(plan: Plan, tried: Tried, meaning: Meaning) -> list[tuple[int, Candidate]]:
    """The candidates that may still be asked after this one, with their places in the plan."""
    if meaning.then is Then.NOBODY:
        return []
    return [
        (index, candidate)
        for index, candidate in enumerate(plan.candidates)
        if index > tried.index and _fits(candidate.deployment.context, tried.window)
    ]


def _fits(context: int | None, too_small: int) -> bool:
    return context is None or context > too_small
