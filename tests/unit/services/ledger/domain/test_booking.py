from __future__ import annotations

from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.prices import PriceBook
from services.ledger.domain.booking import book, complete, contradictions
from tests.unit.services.ledger.samples import NOW, attempt, opened, unsettled
from tollway.chat.v1.chat_pb2 import Usage
from tollway.ledger.v1.ledger_pb2 import (
    PROVENANCE_UNSETTLED,
    RECORD_OUTCOME_DUPLICATE,
    RECORD_OUTCOME_RECORDED,
    RECORD_OUTCOME_REFUSED,
    Attempt,
    Price,
)

RECORDED, DUPLICATE, REFUSED = RECORD_OUTCOME_RECORDED, RECORD_OUTCOME_DUPLICATE, RECORD_OUTCOME_REFUSED
NO_PRICES = PriceBook()


def booked(*sent: Attempt, rows: dict[str, Attempt] | None = None) -> tuple[list[Attempt], list[int]]:
    changes, _, answer = book(sent, [""] * len(sent), rows or {}, NO_PRICES)
    assert all(before == (rows or {}).get(after.attempt_id) for before, after in changes)
    return [after for _, after in changes], [result.outcome for result in answer.results]


def test_a_row_moves_forward_and_never_back() -> None:
    settled = attempt()
    steps = [complete(opened(settled), NO_PRICES), complete(unsettled(settled), NO_PRICES), settled]
    for before, row in enumerate(steps):
        for after, sent in enumerate(steps):
            forward = after > before
            assert booked(sent, rows={row.attempt_id: row}) == (([sent], [RECORDED]) if forward else ([], [DUPLICATE]))


def test_one_batch_may_tell_of_an_attempt_several_times() -> None:
    settled = attempt()
    written, outcomes = booked(opened(settled), settled, opened(settled), settled)
    assert written == [settled]
    assert outcomes == [RECORDED, RECORDED, DUPLICATE, DUPLICATE]


def test_a_refused_attempt_does_not_hold_up_the_others() -> None:
    good, bad = attempt(), attempt(attempt_id="x")
    changes, conflicts, answer = book([bad, good], ["attempt_id: is wrong", ""], {}, NO_PRICES)
    assert (changes, conflicts) == ([(None, good)], [])
    assert [(result.outcome, result.message) for result in answer.results] == [
        (REFUSED, "attempt_id: is wrong"),
        (RECORDED, ""),
    ]


def test_the_same_attempt_again_contradicts_nothing() -> None:
    settled = attempt()
    again = Attempt.FromString(settled.SerializeToString())
    again.start_time.nanos += 1  # less than rows keep
    assert contradictions(settled, again) == ()
    assert contradictions(settled, opened(settled)) == ()


def test_an_attempt_that_comes_again_with_other_content_names_what_differs() -> None:
    settled = attempt()
    other = attempt(attempt_id=settled.attempt_id, usage=Usage(input_tokens=7), tags=["other"], finish_reason="length")
    assert contradictions(settled, other) == ("tags", "usage", "finish_reason")
    _, [(sent, differs)], answer = book([other], [""], {settled.attempt_id: settled}, NO_PRICES)
    assert (sent, differs) == (other, ("tags", "usage", "finish_reason"))
    assert answer.results[0].message.endswith("differs in tags, usage, finish_reason")


def test_what_the_ledger_filled_in_is_no_contradictions() -> None:
    sent = attempt(cost_nanos=None, price_version=None)
    price = Price(version="v", provider_name="openai", model_name="*", input_nanos_per_1m=10**6)
    row = complete(sent, PriceBook([price]))
    assert row.cost_nanos == 100
    assert contradictions(row, sent) == ()
    waiting = opened(attempt())
    assert contradictions(complete(waiting, NO_PRICES), waiting) == ()


def test_usage_without_a_cost_is_priced_with_the_price_in_force_at_the_attempts_start() -> None:
    before = Price(version="old", provider_name="openai", model_name="gpt-4o-2024-08-06", output_nanos_per_1m=10**6)
    after = Price(version="new", provider_name="openai", model_name="gpt-4o-2024-08-06", output_nanos_per_1m=10**9)
    after.effective_time.FromSeconds(int(NOW) + 1)
    sent = attempt(cost_nanos=None, price_version=None)
    row = complete(sent, PriceBook([before, after]))
    assert (row.cost_nanos, row.price_version) == (20, "old")
    assert not sent.HasField("cost_nanos"), "a message that was sent is never written to"


def test_an_unknown_price_leaves_an_attempt_unpriced() -> None:
    assert not complete(attempt(cost_nanos=None, price_version=None), NO_PRICES).HasField("cost_nanos")


def test_counts_that_would_cost_less_than_nothing_stay_unpriced() -> None:
    price = Price(version="v", provider_name="openai", model_name="*", input_nanos_per_1m=10**6)
    price.cached_input_nanos_per_1m = 0
    sent = attempt(cost_nanos=None, price_version=None, usage=Usage(input_tokens=1, cached_input_tokens=5))
    assert not complete(sent, PriceBook([price])).HasField("cost_nanos")


def test_a_cost_that_was_sent_is_kept_whatever_the_ledgers_prices() -> None:
    price = Price(version="v", provider_name="openai", model_name="*", input_nanos_per_1m=10**9)
    settled = attempt()
    assert complete(settled, PriceBook([price])) is settled


def test_where_nothing_is_known_of_the_usage_the_row_says_so() -> None:
    assert complete(opened(attempt()), NO_PRICES).provenance == PROVENANCE_UNSETTLED


@settings(deadline=None)
@given(st.lists(st.sampled_from([opened, unsettled, lambda settled: settled]), min_size=1), st.data())
def test_any_order_and_repetition_of_deliveries_ends_in_the_same_row(
    stages: list[Callable[[Attempt], Attempt]], data: st.DataObject
) -> None:
    settled = attempt()
    rows: dict[str, Attempt] = {}
    deliveries = [stage(settled) for stage in stages]
    while deliveries:
        size = data.draw(st.integers(1, len(deliveries)))
        written, _ = booked(*deliveries[:size], rows=rows)
        rows.update((row.attempt_id, row) for row in written)
        deliveries = deliveries[size:]
    furthest = max((stage(settled) for stage in stages), key=lambda known: known.state)
    assert rows == {settled.attempt_id: complete(furthest, NO_PRICES)}
