from __future__ import annotations

from services.ledger.domain.invoices import Place
from services.ledger.domain.reconciliation import Booked, compare, total
from tollway.ledger.v1.invoice_pb2 import InvoiceSums

DAY, NEXT = "2026-11-01", "2026-11-02"


def booked(tokens: int, **more: int) -> Booked:
    sums = dict.fromkeys(("requests", "cached_input_tokens", "cache_write_tokens", "output_tokens", "cost_nanos"), 0)
    return Booked(InvoiceSums(input_tokens=tokens, **sums), **more)


def invoiced(tokens: int) -> InvoiceSums:
    return InvoiceSums(input_tokens=tokens)


def test_names_that_both_sides_have_are_lines_of_their_own() -> None:
    names = ("gpt-4o-2024-08-06", "gpt-4o-2024-11-20")
    lines = compare(
        {Place(DAY, name): booked(number) for number, name in enumerate(names)},
        {Place(DAY, name): invoiced(number + 5) for number, name in enumerate(names)},
    )
    assert [(line.model, line.booked.input_tokens, line.invoiced.input_tokens) for line in lines] == [
        (names[0], 0, 5),
        (names[1], 1, 6),
    ]


def test_snapshots_that_one_side_alone_tells_apart_are_taken_together() -> None:
    lines = compare(
        {Place(DAY, "gpt-4o"): booked(10), Place(NEXT, "gpt-4o-2024-08-06"): booked(1)},
        {
            Place(DAY, "gpt-4o-2024-08-06"): invoiced(7),
            Place(DAY, "gpt-4o-2024-11-20"): invoiced(3),
            Place(NEXT, "gpt-4o-2024-08-06"): invoiced(1),
        },
    )
    assert [(line.day, line.model) for line in lines] == [(DAY, "gpt-4o"), (NEXT, "gpt-4o")]
    assert list(lines[0].models_booked) == ["gpt-4o"]
    assert list(lines[0].models_invoiced) == ["gpt-4o-2024-08-06", "gpt-4o-2024-11-20"]
    assert [line.booked.input_tokens - line.invoiced.input_tokens for line in lines] == [0, 0]


def test_names_for_people_are_of_the_model_that_was_called() -> None:
    (line,) = compare({Place(DAY, "claude-haiku-4-5"): booked(1)}, {Place(DAY, "Claude Haiku 4.5"): invoiced(1)})
    assert line.model == "claude-haiku-4-5"


def test_what_one_side_alone_has_is_a_line_too() -> None:
    ours, theirs = compare({Place(DAY, "a"): booked(3)}, {Place(DAY, "b"): invoiced(4)})
    assert (ours.booked.input_tokens, ours.invoiced) == (3, InvoiceSums())
    assert theirs.booked == booked(0).sums
    assert theirs.invoiced.input_tokens == 4


def test_what_no_line_was_invoiced_for_is_absent_from_the_total() -> None:
    lines = compare(
        {Place(DAY, "a"): booked(3, unpriced=1), Place(DAY, "b"): booked(4, unsettled=2)},
        {Place(DAY, "a"): invoiced(3)},
    )
    whole = total(lines)
    assert whole.booked.input_tokens == 7
    assert whole.invoiced.input_tokens == 3
    assert not whole.invoiced.HasField("cost_nanos")
    assert (whole.unpriced_attempts, whole.unsettled_attempts) == (1, 2)
