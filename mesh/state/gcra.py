"""The generic cell rate algorithm: what a rate lets through, told from one moment a key.

That moment is when all of the rate is there again (the *theoretical arrival time*). Drawing moves it on by the draw's
share of the period; a draw passes while it stays within one period of now. So a rate nobody has drawn from lets its
whole limit through at once, then one each `period / limit`.

Moments are whole numbers of *ticks*, `limit` of them to a microsecond: one of a limit then takes exactly as many ticks
as the period has microseconds, and nothing is ever rounded. Where a moment is kept, it is kept as microseconds and a
rest in ticks (`divmod` by the limit), which means nearly the same after the limit has been changed.
"""

from __future__ import annotations

from collections.abc import Sequence

from mesh.state.store import Decision, Draw, Left, Rate

MICROS = 1_000_000
"""To a second."""


def micros(seconds: float) -> int:
    """Whole microseconds of a span of time, which is not negative."""
    return int(seconds * MICROS + 0.5)


def wait(full: int, now: int, draw: Draw) -> int | None:
    """Microseconds until the draw passes, 0 where it does now; None where it never can, being more than the limit.

    `full` in ticks, `now` in microseconds.
    """
    rate = draw.rate
    if draw.amount > rate.limit:
        return None
    there = now * rate.limit
    taken = full - there if full > there else 0
    over = taken + (draw.amount - rate.limit) * micros(rate.period)
    return 0 if over <= 0 else -(-over // rate.limit)


def after(full: int, now: int, draw: Draw) -> int:
    """When all is there again, in ticks, once the amount has been taken; a negative one is given back."""
    rate = draw.rate
    there = now * rate.limit
    moved = (full if full > there else there) + draw.amount * micros(rate.period)
    return moved if moved > there else there


def left(full: int, now: int, rate: Rate) -> Left:
    """What a rate has left."""
    limit = rate.limit
    taken = full - now * limit
    if taken <= 0:
        return Left(limit, 0.0)
    gone = -(-taken // micros(rate.period))
    return Left(limit - gone if gone < limit else 0, -(-taken // limit) / MICROS)


def _drawn(fulls: Sequence[int], now: int, draws: Sequence[Draw]) -> tuple[Decision, Sequence[int]] | None:
    """The decision where all draws pass, in one go, because nearly all do; None where one does not."""
    moments, lefts = [], []
    for full, (_, rate, amount) in zip(fulls, draws, strict=True):
        limit, period = rate.limit, int(rate.period * MICROS + 0.5)
        there = now * limit
        taken = (full - there if full > there else 0) + amount * period
        if taken > limit * period or amount > limit:
            return None
        if taken < 0:
            taken = 0
        moments.append(there + taken)
        lefts.append(Left(limit + -taken // period, -(-taken // limit) / MICROS))
    return Decision(tuple(lefts)), moments


def decide(fulls: Sequence[int], now: int, draws: Sequence[Draw], taken: str) -> tuple[Decision, Sequence[int]]:
    """Whether all draws pass, and when all is there again of each after that.

    `fulls` are the draws' moments before, in ticks; `taken` is the key of a slot that has no place left, if one has.
    """
    if not taken and (drawn := _drawn(fulls, now, draws)) is not None:
        return drawn
    longest, refused = 0, taken
    for draw, full in zip(draws, fulls, strict=True):
        waits = wait(full, now, draw)
        if waits is None:
            return Decision(_left(fulls, now, draws), draw.key), fulls
        if waits > longest:
            longest, refused = waits, draw.key
    return Decision(_left(fulls, now, draws), refused, longest / MICROS if longest else None), fulls


def _left(fulls: Sequence[int], now: int, draws: Sequence[Draw]) -> tuple[Left, ...]:
    return tuple([left(full, now, draw.rate) for draw, full in zip(draws, fulls, strict=True)])
