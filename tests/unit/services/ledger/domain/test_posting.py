from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.ledger.domain.posting import (
    ADJUSTMENT,
    SETTLEMENT,
    Change,
    Posting,
    adjustment,
    balance_changes,
    payable_account,
    postings,
    spend_account,
)
from tests.unit.services.ledger.samples import opened, priced, unsettled
from tollway.ledger.v1.ledger_pb2 import Attempt

names = st.text(st.characters(codec="utf-8"), max_size=20) | st.sampled_from(["", "/", "%", "%2F", "a/b", "a%2Fb"])


@given(st.tuples(names, names, names), st.tuples(names, names, names))
def test_different_owners_have_different_accounts(one: tuple[str, str, str], other: tuple[str, str, str]) -> None:
    assert (spend_account(*one) == spend_account(*other)) == (one == other)
    assert (payable_account(one[0]) == payable_account(other[0])) == (one[0] == other[0])
    assert spend_account(*one) != payable_account(one[0])


def test_a_new_cost_is_one_entry_and_no_cost_is_none() -> None:
    settled = priced()
    [spend, payable] = postings([Change(None, settled), Change(None, opened(settled))], {})
    assert spend == (settled.attempt_id, 0, "spend:default/default/local", 11_000_000, SETTLEMENT)
    assert payable == (settled.attempt_id, 1, "payable:sim", -11_000_000, SETTLEMENT)


def test_what_becomes_known_after_its_router_was_lost_is_an_adjustment() -> None:
    settled = priced()
    assert {each.kind for each in postings([Change(opened(settled), settled)], {})} == {SETTLEMENT}
    assert {each.kind for each in postings([Change(unsettled(settled), settled)], {})} == {ADJUSTMENT}


def test_a_cost_that_stays_the_same_is_not_posted_again() -> None:
    settled = priced()
    assert postings([Change(settled, settled)], {settled.attempt_id: 2}) == []


def test_balances_change_by_what_is_posted_in_the_order_of_accounts() -> None:
    one, other = priced(), priced(provider_name="a")
    made = [*postings([Change(None, one), Change(None, other)], {}), *adjustment(one, -1, 2)]
    assert list(balance_changes(made).items()) == [
        ("payable:a", -11_000_000),
        ("payable:sim", -10_999_999),
        ("spend:default/default/local", 21_999_999),
    ]


@given(
    st.lists(
        st.tuples(st.sampled_from("xy"), st.sampled_from("pq"), st.integers(0, 3) | st.none()), min_size=1, max_size=6
    )
)
def test_whatever_a_row_said_before_its_postings_come_to_what_it_says_last(
    steps: list[tuple[str, str, int | None]],
) -> None:
    before: Attempt | None = None
    made: list[Posting] = []
    first = priced()
    for tenant, provider, cost in steps:
        after = priced(attempt_id=first.attempt_id, tenant=tenant, provider_name=provider, cost_nanos=cost)
        made += postings([Change(before, after)], {first.attempt_id: len(made)})
        before = after
    assert [each.seq for each in made] == list(range(len(made)))
    for number in range(0, len(made), 2):
        assert made[number].amount_nanos == -made[number + 1].amount_nanos != 0
    sums = {account: nanos for account, nanos in balance_changes(made).items() if nanos}
    tenant, provider, cost = steps[-1]
    owed = {spend_account(tenant, "default", "local"): cost, payable_account(provider): -cost} if cost else {}
    assert sums == owed
