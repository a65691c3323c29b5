"""What to do after a failed attempt: the same deployment again, the next candidate, or nothing more."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mesh.errors import TollwayError
from services.router.domain.failures import TABLE, Then, backoff
from services.router.domain.routes import Candidate, Plan

_SPREAD = 0.25


def _ready(candidate: Candidate) -> float:
    return 0.0


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

    `window` is the largest context window, in tokens, that turned out too small; 0: none did. `spent` are the
    candidates that have had their turn, `resumed` those that were asked to go on with a broken answer.
    """

    index: int = 0
    tries: int = 0
    window: int = 0
    spent: frozenset[int] = frozenset()
    resumed: frozenset[int] = frozenset()

    def note(self, plan: Plan, failure: TollwayError) -> None:
        """Counts a failure of the candidate being asked."""
        self.tries += 1
        if TABLE[failure.reason].then is Then.LARGER_WINDOW:
            self.window = max(self.window, plan.candidates[self.index].deployment.context or 0)

    def move(self, index: int) -> None:
        """From now on the candidate with that index is being asked."""
        if self.tries:
            self.spent |= {self.index}
        self.index, self.tries = index, 0

    def resume(self, index: int) -> None:
        """From now on the candidate with that index is being asked to go on."""
        self.spent |= {self.index, index}
        self.resumed |= {index}
        self.index, self.tries = index, 0


@dataclass(frozen=True, slots=True)
class Schedule:
    """Decides. `jitter` gives numbers in [0, 1); `retry_after_wait` is the longest Retry-After kept, in seconds."""

    retry_after_wait: float
    jitter: Callable[[], float]

    def decide(
        self,
        plan: Plan,
        tried: Tried,
        failure: TollwayError,
        time_left: float | None,
        wait: Callable[[Candidate], float] = _ready,
    ) -> Decision:
        """What follows the `failure` that was noted last.

        `time_left` is in seconds, None: no deadline; `wait` says how many seconds a candidate is to be left alone for.
        """
        meaning = TABLE[failure.reason]
        candidate = plan.candidates[tried.index]
        following = [] if meaning.then is Then.NOBODY else _ready_ones(plan, tried, wait)
        if meaning.again:
            delay = self._delay(candidate, tried.tries, following, failure.retry_after, wait)
            if delay is not None and (time_left is None or delay < time_left):
                return RetryAfter(delay)
        if following and (time_left is None or time_left > 0):
            return NextCandidate(following[0][0])
        return GiveUp()

    def step_aside(
        self, plan: Plan, tried: Tried, time_left: float | None, waited: float, wait: Callable[[Candidate], float]
    ) -> Decision:
        """What to do where the candidate to be asked is to be left alone, though it has not failed this time.

        Where all are, the first that comes back is waited for, but not for longer in all than a Retry-After would be;
        `waited` is how long that was already.
        """
        if following := _ready_ones(plan, tried, wait):
            return NextCandidate(following[0][0])
        left_alone = (plan.candidates[tried.index], *(candidate for _, candidate in remaining(plan, tried)))
        delay = min(wait(candidate) for candidate in left_alone)
        if waited + delay > self.retry_after_wait or (time_left is not None and delay >= time_left):
            return GiveUp()
        return RetryAfter(delay)

    def _delay(
        self,
        candidate: Candidate,
        tries: int,
        following: list[tuple[int, Candidate]],
        retry_after: float | None,
        wait: Callable[[Candidate], float],
    ) -> float | None:
        """Seconds until the candidate is asked again; None: it is not."""
        allowed = min(candidate.deployment.retries, 1) if following else candidate.deployment.retries
        if tries > allowed:
            return None
        shut = wait(candidate)
        if retry_after is None:
            if shut > self.retry_after_wait or (shut and following):
                return None
            return max(shut, backoff(tries) * (1 - _SPREAD + 2 * _SPREAD * self.jitter()))
        sibling = any(other.stands_for == candidate.stands_for for _, other in following)
        delay = max(retry_after, shut)
        return None if sibling or delay > self.retry_after_wait else delay


def remaining(plan: Plan, tried: Tried) -> list[tuple[int, Candidate]]:
    """The candidates that have not had their turn and may have it, with their places in the plan."""
    return [
        (index, candidate)
        for index, candidate in enumerate(plan.candidates)
        if index != tried.index and index not in tried.spent and _fits(candidate.deployment.context, tried.window)
    ]


def _ready_ones(plan: Plan, tried: Tried, wait: Callable[[Candidate], float]) -> list[tuple[int, Candidate]]:
    return [(index, candidate) for index, candidate in remaining(plan, tried) if not wait(candidate)]


def _fits(context: int | None, too_small: int) -> bool:
    return context is None or context > too_small
