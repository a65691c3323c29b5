from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.ledger.domain.spans import Span, day_before, split
from services.ledger.domain.totals import DAY

D = DAY * 1_000_000
moments = st.none() | st.integers(0, 5 * D) | st.integers(0, 5).map(lambda day: day * D)


def inside(span: Span, moment: int) -> bool:
    return (span.start is None or span.start <= moment) and (span.end is None or moment < span.end)


@given(moments, moments, st.integers(0, 6 * D))
def test_every_moment_of_a_span_is_in_exactly_one_part_and_no_other_is(
    start: int | None, end: int | None, moment: int
) -> None:
    span = Span(start, end)
    days, edges = split(span)
    parts = [*([days] if days else []), *edges]
    assert sum(inside(part, moment) for part in parts) == (inside(span, moment) and not span.empty)


@given(moments, moments)
def test_the_middle_is_of_whole_days_and_what_is_left_of_less_than_one_each(start: int | None, end: int | None) -> None:
    days, edges = split(Span(start, end))
    if days:
        assert (days.start or 0) % D == (days.end or 0) % D == 0
    assert len(edges) <= 2
    for edge in edges:
        assert edge.start is not None
        assert edge.end is not None
        assert edge.end - edge.start < (D if days or len(edges) > 1 else 2 * D)


def test_a_span_without_ends_is_all_days() -> None:
    assert split(Span()) == (Span(), [])
    assert split(Span(3, 5)) == (None, [Span(3, 5)])
    assert split(Span(None, D + 1)) == (Span(None, D), [Span(D, D + 1)])
    assert split(Span(D - 1, None)) == (Span(D, None), [Span(D - 1, D)])


def test_details_are_kept_until_the_end_of_their_day_at_least() -> None:
    assert day_before(10 * DAY + 5, 2 * DAY) == 8 * D
    assert day_before(10 * DAY, 2 * DAY) == 8 * D
