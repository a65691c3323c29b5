"""Where the sums over a time span are: whole days in the daily totals, what remains in the rows."""

from __future__ import annotations

from dataclasses import dataclass

from services.ledger.domain.totals import DAY

_DAY_MICROS = DAY * 1_000_000


@dataclass(frozen=True, slots=True)
class Span:
    """From a moment on and before another, in microseconds since the epoch. None: open at that end."""

    start: int | None = None
    end: int | None = None

    @property
    def empty(self) -> bool:
        return self.start is not None and self.end is not None and self.start >= self.end


def split(span: Span) -> tuple[Span | None, list[Span]]:
    """The whole days in a span, and what is left of it before and after them."""
    start, end = span.start, span.end
    first = None if start is None else -(-start // _DAY_MICROS) * _DAY_MICROS
    last = None if end is None else end // _DAY_MICROS * _DAY_MICROS
    if first is not None and last is not None and first > last:  # within a day
        return None, [] if span.empty else [span]
    days = Span(first, last)
    edges = [Span(start, first), Span(last, end)]
    return (None if days.empty else days), [
        edge for edge in edges if edge.start is not None and edge.end is not None and not edge.empty
    ]


def day_before(now: float, keep: float) -> int:
    """The first moment, in microseconds, of the oldest day whose details are kept for `keep` seconds at least."""
    return int((now - keep) // DAY) * _DAY_MICROS
