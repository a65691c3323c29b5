from __future__ import annotations

from itertools import count

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from services.router.domain.funds import Lease, Name
from services.router.domain.purse import UNUSED_FOR, Hold, Purse, Short, Want
from tollway.ledger.v1.budget_pb2 import BudgetStanding, LeaseAnswer, LeaseWish

DEMO, TEAM = ("project:demo/total", "project:demo"), ("tenant:acme/day", "tenant:acme")
TERM = 60.0


def ids() -> Purse:
    numbers = count()
    return Purse(lambda: f"lease-{next(numbers)}")


def granted(
    purse: Purse, name: Name, nanos: int, now: float = 0.0, limit: int = 1_000_000, window_end: float | None = None
) -> Lease:
    """A purse's lease, once the ledger has granted that much of it in all."""
    lease = purse.lease_for(name, now)
    wish = LeaseWish(budget_id=name[0], subject=name[1], wanted_nanos=1, lease_id=lease.id)
    answer = LeaseAnswer(standing=BudgetStanding(limit_nanos=limit, granted_nanos=nanos))
    answer.lease.lease_id, answer.lease.granted_nanos = lease.id, nanos
    answer.lease.term.FromMilliseconds(round(TERM * 1000))
    if window_end is not None:
        answer.lease.window_end_time.FromMilliseconds(round(window_end * 1000))
    purse.take([wish], [answer], now, now)
    return lease


def held(drawn: Hold | Short) -> Hold:
    assert isinstance(drawn, Hold)
    return drawn


def test_a_call_is_borne_by_all_of_its_budgets_or_by_none() -> None:
    purse = ids()
    demo, team = granted(purse, DEMO, 100), granted(purse, TEAM, 50)
    assert purse.draw((DEMO, TEAM), 60, 1.0) == Short(TEAM)
    assert (demo.idle, team.idle) == (100, 50)
    hold = held(purse.draw((DEMO, TEAM), 50, 1.0))
    assert (demo.idle, team.idle, hold.amount) == (50, 0, 50)


def test_what_is_left_of_a_reservation_is_idle_again_and_what_it_cost_is_spent() -> None:
    purse = ids()
    lease = granted(purse, DEMO, 100)
    hold = held(purse.draw((DEMO,), 80, 1.0))
    purse.settle(hold, 30, 2.0)
    assert (lease.idle, lease.spent, lease.held) == (70, 30, 0)


def test_a_call_that_cost_more_than_was_reserved_takes_it_from_the_rest() -> None:
    purse = ids()
    lease = granted(purse, DEMO, 100)
    one, other = held(purse.draw((DEMO,), 10, 1.0)), held(purse.draw((DEMO,), 20, 1.0))
    purse.settle(one, 95, 2.0)
    assert lease.idle == -15
    assert isinstance(purse.draw((DEMO,), 1, 2.0), Short)
    purse.settle(other, 0, 3.0)
    assert lease.idle == 5


def test_what_no_lease_could_bear_does_not_weigh_on_the_next_grant() -> None:
    purse = ids()
    lease = granted(purse, DEMO, 100)
    purse.settle(held(purse.draw((DEMO,), 100, 1.0)), 250, 2.0)
    assert lease.idle == 0  # the ledger counts the other 150 beside the lease
    granted(purse, DEMO, 140, 3.0)
    assert lease.idle == 40


def test_a_call_grows_and_shrinks_within_what_is_idle() -> None:
    purse = ids()
    lease = granted(purse, DEMO, 100)
    hold = held(purse.draw((DEMO,), 60, 1.0))
    assert purse.grow(hold, 50, 1.0) == Short(DEMO)
    assert purse.grow(hold, 40, 1.0) is None
    assert (hold.amount, lease.idle) == (100, 0)
    purse.shrink(hold, 70)
    assert (hold.amount, lease.idle) == (30, 70)


def test_nothing_is_begun_on_a_lease_that_expired_but_what_was_begun_goes_on() -> None:
    purse = ids()
    granted(purse, DEMO, 100)
    hold = held(purse.draw((DEMO,), 10, 1.0))
    assert isinstance(purse.draw((DEMO,), 10, TERM), Short)
    assert purse.grow(hold, 10, TERM) is None


def test_a_lease_in_use_is_renewed_at_half_its_term_even_where_the_budget_is_used_up() -> None:
    purse = ids()
    lease = granted(purse, DEMO, 100)
    assert purse.wishes(TERM / 2 - 1, {}) == []
    (wish,) = purse.wishes(TERM / 2, {})
    assert (wish.lease_id, wish.wanted_nanos, wish.least_nanos) == (lease.id, 0, 0)
    refused = LeaseWish(budget_id=DEMO[0], subject=DEMO[1], least_nanos=5, wanted_nanos=5, lease_id=lease.id)
    purse.take([refused], [LeaseAnswer(reserved=True, standing=BudgetStanding(limit_nanos=100))], 1.0, 1.0)
    wishes = purse.wishes(TERM / 2, {lease: Want(200, 200)})
    assert [wish.wanted_nanos for wish in wishes] == [100, 0]


def test_more_is_asked_for_when_less_is_idle_than_was_drawn_lately() -> None:
    purse = ids()
    granted(purse, DEMO, 1000)
    for _ in range(8):
        purse.note((DEMO,), 100, 1.0)
        purse.draw((DEMO,), 100, 1.0)
    assert purse.pressed
    (wish,) = purse.wishes(1.0, {})
    assert (wish.least_nanos, wish.wanted_nanos) == (1, 1000)  # one and a half times 800, less the 200 that are idle
    assert not purse.pressed


def test_a_budget_that_had_nothing_is_not_asked_ahead_of_need() -> None:
    purse = ids()
    lease = granted(purse, DEMO, 100)
    refused = LeaseWish(budget_id=DEMO[0], subject=DEMO[1], least_nanos=5, wanted_nanos=5, lease_id=lease.id)
    purse.take([refused], [LeaseAnswer(standing=BudgetStanding(limit_nanos=100, spent_nanos=100))], 1.0, 1.0)
    purse.note((DEMO,), 90, 1.0)
    purse.draw((DEMO,), 90, 1.0)
    assert purse.pressed
    assert purse.wishes(1.0, {}) == []


def test_in_the_next_window_calls_are_charged_to_another_lease_and_those_under_way_to_theirs() -> None:
    purse = ids()
    old = granted(purse, DEMO, 100, window_end=50.0)
    hold = held(purse.draw((DEMO,), 10, 1.0))
    new = granted(purse, DEMO, 100, 50.0)
    assert new is not old
    assert held(purse.draw((DEMO,), 10, 51.0)).leases == (new,)
    assert purse.grow(hold, 90, 51.0) is None
    assert (old.idle, new.idle) == (0, 90)


def test_what_a_window_that_has_ended_says_of_itself_says_nothing_of_the_next() -> None:
    purse = ids()
    old = granted(purse, DEMO, 100, window_end=50.0)
    granted(purse, DEMO, 100, 50.0)
    wish = LeaseWish(budget_id=DEMO[0], subject=DEMO[1], least_nanos=5, wanted_nanos=5, lease_id=old.id)
    purse.take([wish], [LeaseAnswer(standing=BudgetStanding(limit_nanos=7))], 51.0, 51.0)
    assert not purse.fund(DEMO).refused
    assert purse.fund(DEMO).unspent == 1_000_000


def test_a_lost_answer_is_made_up_for_by_the_next() -> None:
    purse = ids()
    first = purse.wishes(0.0, {purse.lease_for(DEMO, 0.0): Want(5, 10)})
    again = purse.wishes(1.0, {purse.lease_for(DEMO, 1.0): Want(5, 10)})
    assert first[0].lease_id == again[0].lease_id
    assert granted(purse, DEMO, 20, 1.0).idle == 20


def test_a_recalled_lease_gives_back_what_is_idle_and_tells_all_that_it_gave_back() -> None:
    purse = ids()
    lease = granted(purse, DEMO, 100)
    hold = held(purse.draw((DEMO,), 40, 1.0))
    assert [returned.nanos for returned in purse.recall([lease.id])] == [60]
    assert lease.idle == 0
    purse.settle(hold, 10, 2.0)
    assert [returned.nanos for returned in purse.recall([lease.id])] == [90]


def test_a_lease_that_nobody_here_knows_is_closed() -> None:
    (returned,) = ids().recall(["unheard-of"])
    assert (returned.lease_id, returned.closed) == ("unheard-of", True)


def test_an_unused_lease_goes_back_and_is_closed_once_all_of_it_is_recorded() -> None:
    purse = ids()
    lease = granted(purse, DEMO, 100)
    purse.note((DEMO,), 10, 1.0)
    purse.settle(held(purse.draw((DEMO,), 10, 1.0)), 7, 2.0)
    assert purse.leftovers(5.0, 5.0) == []
    (returned,) = purse.leftovers(1.0 + UNUSED_FOR, recorded_until=2.0)
    assert (returned.nanos, returned.closed) == (93, False)
    purse.given_back([returned])
    assert purse.leftovers(20.0, recorded_until=2.0) == []
    (closed,) = purse.leftovers(20.0, recorded_until=2.1)
    assert (closed.lease_id, closed.closed) == (lease.id, True)
    purse.given_back([closed])
    assert purse.leftovers(21.0, recorded_until=30.0) == []
    assert purse.lease_for(DEMO, 22.0) is not lease


def test_a_lease_with_calls_under_way_is_kept() -> None:
    purse = ids()
    granted(purse, DEMO, 100, window_end=50.0)
    held(purse.draw((DEMO,), 10, 1.0))
    assert purse.leftovers(60.0, recorded_until=60.0) == []


def test_a_budget_that_is_no_more_holds_nobody_until_budgets_change() -> None:
    purse = ids()
    lease = granted(purse, DEMO, 100)
    wish = LeaseWish(budget_id=DEMO[0], subject=DEMO[1], least_nanos=5, wanted_nanos=5, lease_id=lease.id)
    purse.take([wish], [LeaseAnswer(not_needed=True)], 1.0, 1.0)
    assert held(purse.draw((DEMO,), 10**9, 1.0)).leases == ()
    purse.reconsider()
    assert isinstance(purse.draw((DEMO,), 10**9, 1.0), Short)


def test_a_lease_that_is_closed_at_the_ledger_is_followed_by_the_one_that_it_gives() -> None:
    purse = ids()
    old = granted(purse, DEMO, 100)
    hold = held(purse.draw((DEMO,), 40, 1.0))
    answer = LeaseAnswer(standing=BudgetStanding(limit_nanos=1000))
    answer.lease.lease_id, answer.lease.granted_nanos = "another", 50
    answer.lease.term.FromMilliseconds(1000)
    wish = LeaseWish(budget_id=DEMO[0], subject=DEMO[1], least_nanos=5, wanted_nanos=50, lease_id=old.id)
    purse.take([wish], [answer], 1.0, 1.0)
    (lease,) = held(purse.draw((DEMO,), 50, 1.5)).leases
    assert lease.id == "another"
    purse.settle(hold, 40, 2.0)


@given(st.integers(0, 100), st.integers(0, 100), st.integers(1, 100))
def test_there_is_plenty_while_half_of_what_is_unspent_stays_free(spent: int, others: int, amount: int) -> None:
    purse = ids()
    lease = granted(purse, DEMO, 10, limit=200)
    standing = BudgetStanding(limit_nanos=200, spent_nanos=spent, granted_nanos=10 + others)
    wish = LeaseWish(budget_id=DEMO[0], subject=DEMO[1], lease_id=lease.id)
    purse.take([wish], [LeaseAnswer(standing=standing)], 0.0, 0.0)
    free_afterwards = 200 - spent - others - amount
    assert purse.has_plenty((DEMO,), amount) == (2 * free_afterwards >= 200 - spent)


LIMITS = {DEMO: 10_000, TEAM: 5_000}


class Spending(RuleBasedStateMachine):
    """Whatever happens, what is spent and reserved is within what was granted, unless a call cost more than it said."""

    @initialize()
    def begin(self) -> None:
        self.purse, self.now = ids(), 0.0
        self.granted = dict.fromkeys(LIMITS, 0)
        self.spent = dict.fromkeys(LIMITS, 0)
        self.holds: list[Hold] = []
        self.leases: dict[str, tuple[Name, int]] = {}
        self.returned: dict[str, int] = {}

    def left(self, name: Name) -> int:
        out = sum(granted - self.returned.get(known, 0) for known, (of, granted) in self.leases.items() if of == name)
        return LIMITS[name] - out

    @rule(name=st.sampled_from([DEMO, TEAM]), least=st.integers(1, 500), more=st.integers(0, 2_000))
    def ask(self, name: Name, least: int, more: int) -> None:
        """The ledger grants what there is, and its answer may be about any of the leases that it knows."""
        lease = self.purse.lease_for(name, self.now)
        wishes = self.purse.wishes(self.now, {lease: Want(least, least + more)})
        answers = []
        for wish in wishes:
            answer = LeaseAnswer(standing=BudgetStanding(limit_nanos=LIMITS[name]))
            of = (wish.budget_id, wish.subject)
            before = self.leases.get(wish.lease_id, (of, 0))[1]
            free = self.left(of)
            if free >= wish.least_nanos:
                total = before + min(wish.wanted_nanos, free)
                self.leases[wish.lease_id] = (of, total)
                answer.lease.lease_id, answer.lease.granted_nanos = wish.lease_id, total
                answer.lease.term.FromMilliseconds(30_000)
            answers.append(answer)
        self.purse.take(wishes, answers, self.now, self.now)

    @rule(names=st.sampled_from([(DEMO,), (TEAM,), (DEMO, TEAM)]), amount=st.integers(1, 800))
    def draw(self, names: tuple[Name, ...], amount: int) -> None:
        drawn = self.purse.draw(names, amount, self.now)
        if isinstance(drawn, Hold):
            assert len(drawn.leases) == len(names)
            self.holds.append(drawn)

    @rule(data=st.data(), amount=st.integers(1, 500))
    def grow(self, data: st.DataObject, amount: int) -> None:
        if self.holds:
            self.purse.grow(data.draw(st.sampled_from(self.holds)), amount, self.now)

    @rule(data=st.data(), share=st.floats(0, 1))
    def shrink(self, data: st.DataObject, share: float) -> None:
        if self.holds:
            hold = data.draw(st.sampled_from(self.holds))
            self.purse.shrink(hold, int(hold.amount * share))

    @rule(data=st.data(), share=st.floats(0, 1))
    def settle(self, data: st.DataObject, share: float) -> None:
        if self.holds:
            hold = data.draw(st.sampled_from(self.holds))
            self.holds.remove(hold)
            cost = int(hold.amount * share)
            for lease in hold.leases:
                self.spent[lease.name] += cost
            self.purse.settle(hold, cost, self.now)

    @rule()
    def recall(self) -> None:
        for each in self.purse.recall([known for known in self.leases if known not in self.returned]):
            self.returned[each.lease_id] = each.nanos

    @rule(seconds=st.floats(0, 40))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        returned = self.purse.leftovers(self.now, self.now)
        for each in returned:
            self.returned[each.lease_id] = max(each.nanos, self.returned.get(each.lease_id, 0))
        self.purse.given_back(returned)

    @invariant()
    def nothing_is_overspent(self) -> None:
        for name, limit in LIMITS.items():
            reserved = sum(hold.amount for hold in self.holds for lease in hold.leases if lease.name == name)
            assert self.spent[name] + reserved <= limit
            fund = self.purse.fund(name)
            assert all(lease.idle >= 0 and lease.held >= 0 for lease in fund.leases)


TestSpending = Spending.TestCase
