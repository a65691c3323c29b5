from __future__ import annotations

from services.ledger.domain.posting import Change
from services.ledger.domain.totals import Sums, changes_to_totals, key_of, sums_of
from tests.unit.services.ledger.samples import NOW, opened, priced
from tollway.chat.v1.chat_pb2 import Usage
from tollway.ledger.v1.ledger_pb2 import ATTEMPT_KIND_CACHE_HIT


def test_an_attempt_adds_what_it_says_to_the_day_it_started_on() -> None:
    usage = Usage(input_tokens=9, cached_input_tokens=4, cache_write_tokens=2, output_tokens=5, reasoning_tokens=3)
    settled = priced(NOW, usage=usage, tags=["b", "a"], kind=ATTEMPT_KIND_CACHE_HIT)
    assert key_of(settled) == (
        "2023-11-14", "default", "default", "local", ("b", "a"), "gpt-4o", "echo", "sim", "sim/echo",
    )  # fmt: skip
    assert Sums(*sums_of(settled, -7)) == Sums(
        requests=1, attempts=1, input_tokens=9, cached_input_tokens=4, cache_write_tokens=2, output_tokens=5,
        reasoning_tokens=3, cost_nanos=11_000_000 - 7, adjusted_nanos=-7, cache_hits=1,
    )  # fmt: skip


def test_only_usage_without_a_cost_is_unpriced_and_only_a_first_attempt_is_a_request() -> None:
    unpriced = priced(cost_nanos=None, attempt_number=2)
    assert Sums(*sums_of(unpriced))[:2] == (0, 1)
    assert Sums(*sums_of(unpriced)).unpriced_attempts == 1
    assert Sums(*sums_of(priced(cost_nanos=0))).unpriced_attempts == 0
    assert Sums(*sums_of(priced(usage=None, cost_nanos=None))).unpriced_attempts == 0


def test_a_row_that_moved_takes_what_it_had_added_with_it() -> None:
    settled, elsewhere = priced(), priced(deployment="sim/other")
    assert changes_to_totals([Change(opened(settled), settled)]) == {
        key_of(settled): [0, 0, 3, 0, 0, 4, 0, 11_000_000, 0, 0, -1, 0]
    }
    moved = changes_to_totals([Change(opened(settled), elsewhere)])
    assert moved[key_of(settled)] == [-1, -1, 0, 0, 0, 0, 0, 0, 0, 0, -1, 0]
    assert moved[key_of(elsewhere)] == list(sums_of(elsewhere))
