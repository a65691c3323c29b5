"""When a deployment is left alone, and when it is asked again.

A breaker counts the failures of recent calls. Enough of them open it, and nobody is let through. After a while it is
half-open: a few probes are let through, and what becomes of them closes it or opens it anew. Successes do not erase
failures, age does.

Who says when to come back is taken at their word: once that time is over the breaker is closed, with the counts that it
had, and everybody who waited is let through.

Counts are kept in slices of the window, so that a breaker costs a few numbers however many calls there are; an outcome
is forgotten when it is a window old, or at most a slice sooner.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

_SLICES = 12
_LONGEST_HOLD = 3600.0
"""Seconds that a provider is taken at its word for. Then it is asked with one call, which costs nobody anything."""
_AT_ONCE = 0.001
"""Seconds that are not worth waiting for: a timer may go off so much early."""
PROBE_WAIT = 1.0
"""Seconds after which it is worth looking again whether a probe that is under way has told anything."""

ORDINARY = 0
"""The ticket of a call that went through a closed breaker."""


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    """When a breaker opens, and for how long. Times are in seconds.

    `failures` within `window` open it if they came one after the other, or if there were fewer than `calls` calls, or
    if they are at least the share `rate` of all calls. It stays open for `open_for`, and closes once `probes` calls,
    which may be under way together, went well.
    """

    failures: int = 5
    rate: float = 0.1
    calls: int = 20
    window: float = 60.0
    open_for: float = 30.0
    probes: int = 1


class Breaker:
    """A breaker. All times are on one clock, in seconds.

    A call needs a ticket and gives it back with what became of it: `succeed`, `fail` or, where that says nothing about
    the deployment, `give_back`. Tickets of an opening that is over have no say.
    """

    __slots__ = (
        "_run", "_slices", "_succeeded", "_taken", "calls", "claims", "failures", "held", "open_for", "opening",
        "probes", "reason", "until",
    )  # fmt: skip

    def __init__(self) -> None:
        self.until: float | None = None
        """None: closed. Else it is open until then, and half-open from then on."""
        self.held = False
        """Whether it is open until its provider said to come back: then it closes by itself."""
        self.opening = 0
        """Counts openings, so that one is not taken for another."""
        self.reason = ""
        """Why it opened, in a few words."""
        self.probes, self.open_for = 1, 30.0
        """As its policy was when it opened."""
        self.calls = self.failures = 0
        """Within the window."""
        self._slices: deque[list[float]] = deque()
        self._run = 0
        self._taken = self._succeeded = 0
        self.claims: int | None = None
        """Probes that this replica may make; None: as many as the policy says, for nobody else is asked."""

    # -- may a call be made ----------------------------------------------------------------------------------------

    @property
    def closed(self) -> bool:
        return self.until is None

    def wait(self, now: float) -> float:
        """Seconds until it is worth asking for a ticket; 0 where one would be given now."""
        if self._is_closed(now):
            return 0.0
        until = self.until or 0.0
        if until - now > _AT_ONCE:
            return until - now
        return 0.0 if self._free() > 0 else PROBE_WAIT

    def enter(self, now: float) -> int | None:
        """A ticket for a call that leaves now; None: it must not."""
        if self._is_closed(now):
            return ORDINARY
        if self.wait(now):
            return None
        self._taken += 1
        return self.opening

    def _is_closed(self, now: float) -> bool:
        if self.held and self.until is not None and self.until - now <= _AT_ONCE:
            self.until, self.reason, self.held, self.claims = None, "", False, None
        return self.until is None

    def _free(self) -> int:
        return self._allowed() - self._taken - self._succeeded

    def _allowed(self) -> int:
        return self.probes if self.claims is None else min(self.claims, self.probes)

    # -- what became of it -----------------------------------------------------------------------------------------

    def succeed(self, ticket: int, now: float, policy: BreakerPolicy) -> bool:
        """Whether that closed it."""
        if self._is_closed(now):
            self._count(now, policy, failed=False)
            return False
        if ticket != self.opening:
            return False
        self._taken -= 1
        self._succeeded += 1
        if self._succeeded < self._allowed():
            return False
        self.close()
        return True

    def fail(
        self, ticket: int, now: float, policy: BreakerPolicy, shown: str = "", retry_after: float | None = None
    ) -> bool:
        """Whether that opened it. `shown` names the failure; until `retry_after` seconds from now nobody is wanted."""
        hold = now + min(retry_after, _LONGEST_HOLD) if retry_after else None
        if self._is_closed(now):
            self._count(now, policy, failed=True)
            if hold is None and not self._enough(policy):
                return False
            self._open(hold or now + policy.open_for, policy, self._because(shown, hold), held=hold is not None)
            return True
        until = self.until or 0.0
        if ticket == self.opening:
            self._open(max(until, hold or now + policy.open_for), policy, f"it was tried again, and showed {shown}")
        elif hold is not None and hold > until:
            self._open(hold, policy, self._because(shown, hold), held=self.held)
        else:
            return False
        return True

    def trip(self, ticket: int, now: float, policy: BreakerPolicy, reason: str) -> bool:
        """Opens it whatever went before. Whether it was closed, or half-open and this was a probe."""
        if self.until is not None and ticket != self.opening:
            return False
        self._open(max(self.until or 0.0, now + policy.open_for), policy, reason)
        return True

    def give_back(self, ticket: int) -> None:
        """The call told nothing; another may be made in its place."""
        if self.until is not None and ticket == self.opening:
            self._taken -= 1

    def close(self) -> None:
        """Starts anew."""
        self.until, self.reason, self.held = None, "", False
        self.calls = self.failures = self._run = self._taken = self._succeeded = 0
        self.claims = None
        self._slices.clear()

    def _open(self, until: float, policy: BreakerPolicy, reason: str, *, held: bool = False) -> None:
        self.until, self.reason, self.held = until, reason, held
        self.opening += 1
        self.probes, self.open_for = policy.probes, policy.open_for
        self._taken = self._succeeded = 0
        self.claims = None

    def _because(self, shown: str, hold: float | None) -> str:
        if hold is not None:
            return f"it showed {shown} and said when to come back"
        return f"{self.failures} of its last {self.calls} calls failed, the last with {shown}"

    # -- what other replicas know (`breaker_sharing`) ----------------------------------------------------------------

    def adopt(self, until: float, reason: str, probes: int, open_for: float, *, held: bool = False) -> None:
        """It was opened elsewhere. It stays open as long as either side says, and probes have to be claimed."""
        held = held and (self.until is None or self.held)
        policy = BreakerPolicy(probes=probes, open_for=open_for)
        self._open(max(self.until or 0.0, until), policy, reason, held=held)
        self.claims = 0

    @property
    def probing(self) -> bool:
        """Whether a probe is under way, or went well already."""
        return self._taken + self._succeeded > 0

    # -- counting --------------------------------------------------------------------------------------------------

    def _count(self, now: float, policy: BreakerPolicy, *, failed: bool) -> None:
        self.forget(now, policy)
        slices = self._slices
        if not slices or now - slices[-1][0] >= policy.window / _SLICES:
            slices.append([now, 0, 0])
        last = slices[-1]
        last[1] += 1
        self.calls += 1
        if failed:
            last[2] += 1
            self.failures += 1
            self._run += 1
        else:
            self._run = 0

    def forget(self, now: float, policy: BreakerPolicy) -> None:
        """Drops the counts of what is a window old."""
        slices = self._slices
        while slices and now - slices[0][0] >= policy.window:
            _, calls, failures = slices.popleft()
            self.calls -= int(calls)
            self.failures -= int(failures)

    def _enough(self, policy: BreakerPolicy) -> bool:
        if self.failures < policy.failures:
            return False
        return self._run >= policy.failures or self.calls < policy.calls or self.failures >= policy.rate * self.calls
