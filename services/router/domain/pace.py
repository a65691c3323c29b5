"""How fast a deployment answers, by what it did lately: peak-EWMA.

A slower answer than expected is believed at once, a faster one little by little, and what is not seen again fades, so
that a deployment which was slow gets another chance. Streams are measured to their first content, whole answers to
their end: the one says little about the other, so both are kept.

Three things keep the chance from becoming a stampede. A call that is still waiting shows at least its own age. A figure
that has faded is good for one question: while that one waits, the old figure stands. And a deployment of which nothing
is known costs nothing while nobody waits for it, and much once somebody does.
"""

from __future__ import annotations

from math import exp

DECAY = 10.0
"""Seconds after which a figure that is not seen again has faded to a third."""
UNKNOWN = 5.0
"""Seconds that a deployment is taken to need which is being asked for the first time."""
PRICE_OF_FAILURE = 5.0
"""Seconds that asking in vain is taken to cost."""
_NEWEST = 0.2
"""What the last call counts for in the share of calls that fail."""


class PeakEwma:
    """A moving average that follows peaks at once. Values and times are in seconds."""

    __slots__ = ("_seen", "recent")

    def __init__(self) -> None:
        self.recent: float | None = None
        """By the last observations, however long ago they were; None before the first."""
        self._seen = 0.0

    def observe(self, value: float, now: float) -> None:
        recent = self.recent
        if recent is None or value >= recent:
            self.recent = value
        else:
            old = _faded(now - self._seen)
            self.recent = recent * old + value * (1 - old)
        self._seen = now

    def at(self, now: float) -> float | None:
        """What is left of it by now."""
        return None if self.recent is None else self.recent * _faded(now - self._seen)


class Pace:
    """Of one deployment. A call is known by the number it was given when it began."""

    __slots__ = ("_failing", "_failing_at", "_waiting", "first_content", "whole_answer")

    def __init__(self) -> None:
        self.first_content = PeakEwma()
        self.whole_answer = PeakEwma()
        self._waiting: dict[bool, dict[int, float]] = {True: {}, False: {}}
        self._failing = 0.0
        self._failing_at = 0.0

    def began(self, call: int, now: float, *, streamed: bool) -> None:
        """A call leaves."""
        self._waiting[streamed][call] = now

    def answered(self, call: int, now: float, *, streamed: bool) -> None:
        """It shows its first content, or, not streamed, all there is. A second time does nothing."""
        began = self._waiting[streamed].pop(call, None)
        if began is not None:
            self._of(streamed).observe(now - began, now)
            self._count(0.0, now)

    def failed(self, call: int, now: float, *, streamed: bool) -> None:
        """It ends in a failure of the deployment's."""
        self._waiting[streamed].pop(call, None)
        self._count(1.0, now)

    def left(self, call: int, now: float, *, streamed: bool) -> None:
        """It is given up, or ends for a reason that is none of the deployment's: it took at least that long."""
        began = self._waiting[streamed].pop(call, None)
        known = self._of(streamed)
        if began is not None and known.recent is not None and now - began > known.recent:
            known.observe(now - began, now)

    def expected(self, now: float, *, streamed: bool) -> float | None:
        """Seconds until an answer; None where nothing is known."""
        known, waiting = self._of(streamed), self._waiting[streamed]
        if not waiting:
            return known.at(now)
        oldest = now - next(iter(waiting.values()))
        return None if known.recent is None else max(known.recent, oldest)

    def cost(self, now: float, in_flight: int, *, streamed: bool) -> float:
        """What asking it is expected to cost, in seconds, with so many calls under way: the lower, the better."""
        expected = self.expected(now, streamed=streamed)
        if expected is None:
            expected = UNKNOWN if self._waiting[streamed] else 0.0
        return (expected + self.failing(now) * PRICE_OF_FAILURE) * (in_flight + 1)

    def failing(self, now: float) -> float:
        """The share of calls that fail lately."""
        return self._failing * _faded(now - self._failing_at)

    def _count(self, failed: float, now: float) -> None:
        if failed or self._failing:
            faded = self.failing(now)
            self._failing, self._failing_at = faded + (failed - faded) * _NEWEST, now

    def _of(self, streamed: bool) -> PeakEwma:
        return self.first_content if streamed else self.whole_answer


def _faded(seconds: float) -> float:
    return exp(-max(seconds, 0.0) / DECAY)
