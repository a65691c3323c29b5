"""How deployments stand, by what this router saw of them: what strategies weigh, and why one is left alone."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from mesh.config.values import format_duration
from services.router.domain.breaker import ORDINARY, Breaker, BreakerPolicy
from services.router.domain.outages import Outages
from services.router.domain.pace import Pace
from services.router.domain.quota import Quota
from services.router.domain.waits import Waits

_MOST = 4096
"""Deployments remembered. Pass-through names are as many as clients make up."""


class Pass(NamedTuple):
    """The tickets of one call: its deployment's breaker's, and its credential's."""

    deployment: int
    credential: int


UNHINDERED = Pass(ORDINARY, ORDINARY)


class Shut(NamedTuple):
    """Why a deployment is not asked, and in how many seconds it may be."""

    reason: str
    wait: float


@dataclass(slots=True)
class Standing:
    """How one deployment stands."""

    in_flight: int = 0
    """Calls under way."""
    begun: int = 0
    """Calls that left: the number of the last one."""
    pace: Pace = field(default_factory=Pace)
    quota: Quota = field(default_factory=Quota)
    breaker: Breaker = field(default_factory=Breaker)
    credential: Breaker = field(default_factory=Breaker)
    """Of what its provider is called with, shared by all deployments of the provider."""
    waits: tuple[Waits, Waits] = field(default_factory=lambda: (Waits(), Waits()))
    """How long whole answers, and the first content of streamed ones, have been waited for."""

    def closed_to(self, now: float) -> Shut | None:
        """Why no call may be made now; None: one may."""
        if self.breaker.until is None and self.credential.until is None:
            return None
        waits = ((breaker.wait(now), breaker) for breaker in (self.breaker, self.credential))
        wait, slowest = max(waits, key=lambda each: each[0])
        if not wait:
            return None
        when = "is being tried again" if now >= (slowest.until or 0.0) else f"is left alone for {_in_words(wait)}"
        return Shut(f"{when}: {slowest.reason}", wait)

    def enter(self, now: float) -> Pass | None:
        """Lets a call pass that leaves now; None: it must not leave. A pass is given back by one of the next four."""
        if self.breaker.until is None and self.credential.until is None:
            return UNHINDERED
        if self.breaker.wait(now) or self.credential.wait(now):
            return None
        passed = Pass(self.breaker.enter(now) or ORDINARY, self.credential.enter(now) or ORDINARY)
        return UNHINDERED if passed == UNHINDERED else passed  # a hold that is over leaves no probe to be made

    def succeed(self, passed: Pass, now: float, policy: BreakerPolicy) -> bool:
        """The call went well. Whether a breaker closed."""
        closed = self.breaker.succeed(passed.deployment, now, policy)
        if passed.credential == ORDINARY:
            return closed
        return self.credential.succeed(passed.credential, now, policy) or closed

    def fail(
        self, passed: Pass, now: float, policy: BreakerPolicy, shown: str, retry_after: float | None = None
    ) -> bool:
        """The call failed as it counts against the deployment. Whether that opened its breaker."""
        self.credential.give_back(passed.credential)
        return self.breaker.fail(passed.deployment, now, policy, shown, retry_after)

    def refuse(
        self, passed: Pass, now: float, policy: BreakerPolicy, shown: str, *, has_credential: bool = True
    ) -> bool:
        """The provider did not take its credential. Whether that opened the credential's breaker.

        Where it was called with none, others of its deployments may want none: it is the deployment that is left alone.
        """
        if not has_credential:
            self.credential.give_back(passed.credential)
            return self.breaker.trip(passed.deployment, now, policy, f"it wants a credential ({shown})")
        self.breaker.give_back(passed.deployment)
        return self.credential.trip(passed.credential, now, policy, f"its provider's credential was refused ({shown})")

    def give_back(self, passed: Pass) -> None:
        """The call told nothing about the deployment."""
        self.breaker.give_back(passed.deployment)
        self.credential.give_back(passed.credential)


class Fleet:
    """The standing of every deployment that was asked, by its name (`provider/model`).

    The least recently used are forgotten, but none with calls under way, and before all others those that nothing is
    held against.
    """

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._standings: OrderedDict[str, Standing] = OrderedDict()
        self.outages = Outages()
        """Of whole providers."""
        self._credentials: dict[str, Breaker] = {}

    def standing(self, name: str) -> Standing:
        """The deployment's standing, a new one where nothing is known."""
        found = self._standings.get(name)
        if found is not None:
            self._standings.move_to_end(name)
            return found
        if len(self._standings) >= self._most:
            self._forget()
        # Providers are as many as the configuration names, and their names have no slash.
        credential = self.credential(name.partition("/")[0])
        return self._standings.setdefault(name, Standing(credential=credential))

    def credential(self, provider: str) -> Breaker:
        """The breaker of what the provider is called with."""
        return self._credentials.setdefault(provider, Breaker())

    def breakers(self) -> Iterator[tuple[str, Breaker]]:
        """Every breaker there is: deployments' by `provider/model`, credentials' by `provider`."""
        yield from ((name, standing.breaker) for name, standing in self._standings.items())
        yield from self._credentials.items()

    def breaker(self, name: str) -> Breaker:
        """The one of that name, as `breakers` names them."""
        return self.standing(name).breaker if "/" in name else self.credential(name)

    def seen(self, name: str) -> Standing | None:
        """The deployment's standing; None, and nothing is remembered, where it was never asked."""
        return self._standings.get(name)

    def __iter__(self) -> Iterator[str]:
        """The names of those that were asked."""
        return iter(self._standings)

    def _forget(self) -> None:
        idle = None
        for name, standing in self._standings.items():
            if standing.in_flight:
                continue
            if standing.breaker.closed:
                idle = name
                break
            idle = idle or name
        if idle is not None:
            del self._standings[idle]


def _in_words(seconds: float) -> str:
    return format_duration(float(max(round(seconds), 1)))
