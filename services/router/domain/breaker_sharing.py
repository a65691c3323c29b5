"""What replicas tell each other about breakers: which are open and until when, and who may make the probes.

An opening is a record under the breaker's name, written by whoever saw it first and removed by whose probe went well.
Everybody reads all records about once a second and acts on what has changed; no question ever waits for that. Once an
opening is known to others, probes are not made unless they were claimed, so that a deployment that may be well again is
not tried by every replica at once. Without the records each replica has its own breakers, and that is all that is lost.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import orjson

from services.router.domain.breaker import Breaker
from services.router.domain.fleet import Fleet

PREFIX = "breaker:"
_CLAIMS = "breaker-probe:"
_OUTLIVES = 600.0
"""Seconds that a record stays once its breaker could be tried: that nobody asks is no sign of a deployment's health."""


@dataclass(frozen=True, slots=True)
class Opening:
    """A breaker's opening, as others read it. `until` is Unix time, in seconds; `id` tells it from any other."""

    id: str
    until: float
    reason: str
    probes: int
    open_for: float
    held: bool = False

    def encode(self) -> bytes:
        return orjson.dumps(asdict(self))


def decode(record: bytes | None) -> Opening | None:
    """The opening; None where there is none, or none that this version understands."""
    if record is None:
        return None
    try:
        return Opening(**orjson.loads(record))
    except (ValueError, TypeError):
        return None


@dataclass(frozen=True, slots=True)
class Publish:
    """Write the record."""

    key: str
    value: bytes
    ttl: float


@dataclass(frozen=True, slots=True)
class Withdraw:
    """Remove the record."""

    key: str


@dataclass(frozen=True, slots=True)
class Claim:
    """Claim a probe by writing a record where there is none. Where there was none, `Sharing.claimed` is told."""

    key: str
    ttl: float
    name: str
    opening: int


Step = Publish | Withdraw | Claim


@dataclass(slots=True)
class _Known:
    """The opening that others know of: its id, which of the breaker's openings it is, and since when it is claimed."""

    id: str
    opening: int
    claimed_at: float = 0.0


class Sharing:
    """One replica's part in it. `replica` is its name, which no other has."""

    def __init__(self, fleet: Fleet, replica: str) -> None:
        self._fleet, self._replica = fleet, replica
        self._known: dict[str, _Known] = {}

    def reconcile(self, records: Mapping[str, bytes], now: float, time: float) -> list[Step]:
        """Does as the records say, and says what has to be written. `now` is monotonic, `time` Unix time."""
        openings = {key.removeprefix(PREFIX): decode(record) for key, record in records.items()}
        breakers = dict(self._fleet.breakers())
        steps: list[Step] = []
        for name in (*breakers, *(name for name in openings if name not in breakers)):
            opening = openings.get(name)
            if name in breakers or opening is not None:
                breaker = breakers.get(name) or self._fleet.breaker(name)
                steps += self._reconcile(name, breaker, opening, now, time)
        return steps

    def claimed(self, claim: Claim, now: float) -> None:
        """The probe may be made here."""
        breaker, known = self._fleet.breaker(claim.name), self._known.get(claim.name)
        if known is not None and breaker.claims is not None and breaker.opening == claim.opening:
            breaker.claims += 1
            known.claimed_at = now

    def lose(self) -> None:
        """Others cannot be told anything, nor anything be learnt of them."""
        self._known.clear()
        for _, breaker in self._fleet.breakers():
            breaker.claims = None

    def _reconcile(self, name: str, breaker: Breaker, opening: Opening | None, now: float, time: float) -> list[Step]:
        known = self._known.get(name)
        if breaker.until is None:
            self._known.pop(name, None)
            if opening is None:
                return []
            if known is not None and known.id == opening.id:
                return [Withdraw(PREFIX + name)]
            self._adopt(name, breaker, opening, now, time)
        elif known is None or known.opening != breaker.opening:
            # It was opened here; somebody else may have opened it too, and for longer.
            news = opening is not None and (known is None or known.id != opening.id)
            if opening is not None and news and opening.until - time >= breaker.until - now:
                self._adopt(name, breaker, opening, now, time)
            else:
                return [self._publish(name, breaker, breaker.until - now, time)]
        elif opening is None:
            del self._known[name]
            breaker.close()
        elif opening.id != known.id:
            self._adopt(name, breaker, opening, now, time)
        elif now >= breaker.until:
            return self._claim(name, breaker, known, now)
        return []

    def _adopt(self, name: str, breaker: Breaker, opening: Opening, now: float, time: float) -> None:
        breaker.adopt(now + opening.until - time, opening.reason, opening.probes, opening.open_for, held=opening.held)
        self._known[name] = _Known(opening.id, breaker.opening)

    def _publish(self, name: str, breaker: Breaker, left: float, time: float) -> Publish:
        opening = Opening(
            f"{self._replica}-{name}-{breaker.opening}",
            time + left,
            breaker.reason,
            breaker.probes,
            breaker.open_for,
            breaker.held,
        )
        self._known[name] = _Known(opening.id, breaker.opening)
        breaker.claims = 0
        return Publish(PREFIX + name, opening.encode(), max(left, 0.0) + _OUTLIVES)

    def _claim(self, name: str, breaker: Breaker, known: _Known, now: float) -> list[Step]:
        if breaker.claims and not breaker.probing and now - known.claimed_at >= breaker.open_for:
            breaker.claims = 0  # what was claimed so long ago others may claim by now
        if breaker.claims or breaker.probing:
            return []
        return [
            Claim(f"{_CLAIMS}{known.id}:{number}", breaker.open_for, name, breaker.opening)
            for number in range(breaker.probes)
        ]
