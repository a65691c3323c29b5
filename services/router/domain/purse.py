"""The slices of budgets that this router holds, and what is reserved and spent of them.

A call is charged to one lease of each budget it falls under: all of them bear its reservation, or none does. What is
neither spent, reserved nor returned of a lease is idle, and the only thing that a reservation is drawn from. So what is
reserved and spent never comes to more than what was granted; only a provider that reports more than could be foreseen
takes more, and what is drawn afterwards makes up for it.

Times are monotonic, in seconds; amounts are nano-USD.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from mesh.prices import unix_seconds
from services.router.domain.funds import Fund, Lease, Name
from tollway.ledger.v1.budget_pb2 import LeaseAnswer, LeaseWish, ReturnedLease

UNUSED_FOR = 10.0
"""Seconds without a draw after which a lease is given back whole."""

_MOST_NANOS = 10**18
"""What the ledger can be asked for at once: a billion dollars."""


class Hold:
    """What is reserved for a call: the same amount of each lease."""

    __slots__ = ("amount", "leases")

    def __init__(self, amount: int, leases: tuple[Lease, ...]) -> None:
        self.amount, self.leases = amount, leases


@dataclass(frozen=True, slots=True)
class Short:
    """A budget that cannot bear what is wanted. `lost`: and the ledger is not there to be asked."""

    name: Name
    lost: bool = False


@dataclass(frozen=True, slots=True)
class Want:
    """What a lease is needed for by calls that wait: what the first needs at least, and what all would take."""

    least: int
    wanted: int


class Purse:
    """All leases. `new_id` makes ids for them: UUIDv7."""

    def __init__(self, new_id: Callable[[], str]) -> None:
        self._new_id = new_id
        self._funds: dict[Name, Fund] = {}
        self._leases: dict[str, Lease] = {}
        self._pressed: set[Name] = set()
        """Whose idle part is getting small."""

    def fund(self, name: Name) -> Fund:
        fund = self._funds.get(name)
        if fund is None:
            fund = self._funds[name] = Fund(name)
        return fund

    @property
    def pressed(self) -> bool:
        """Whether there is something to ask the ledger for."""
        return bool(self._pressed)

    # -- calls -----------------------------------------------------------------------------------------------------

    def has_plenty(self, names: Iterable[Name], amount: int) -> bool:
        """Whether all of the budgets would still have plenty once that much is reserved."""
        return all(self.fund(name).has_plenty(amount) for name in names)

    def note(self, names: Iterable[Name], amount: int, now: float) -> None:
        """A call would draw so much. What is asked for ahead of need goes by it."""
        for name in names:
            self.fund(name).note(amount, now)

    def draw(self, names: Sequence[Name], amount: int, now: float) -> Hold | Short:
        """Reserves an amount of all budgets, or of none."""
        leases: list[Lease] = []
        short: Short | None = None
        for name in names:
            fund = self.fund(name)
            if fund.waived:
                continue
            lease = fund.lease
            if lease is None or now >= lease.until or lease.idle < amount:
                self._pressed.add(name)
                short = short or Short(name)
            else:
                leases.append(lease)
                if 2 * (lease.idle - amount) < fund.demand(now):
                    self._pressed.add(name)
        if short is not None:
            return short
        for lease in leases:
            lease.held += amount
        return Hold(amount, tuple(leases))

    def grow(self, hold: Hold, amount: int, now: float) -> Short | None:
        """Reserves more for a call under way, of all its leases or of none; the budget that has not got it."""
        for lease in hold.leases:
            if lease.idle < amount:
                self._pressed.add(lease.name)
                return Short(lease.name)
            if 2 * (lease.idle - amount) < self.fund(lease.name).demand(now):
                self._pressed.add(lease.name)
        for lease in hold.leases:
            lease.held += amount
        hold.amount += amount
        return None

    def shrink(self, hold: Hold, amount: int) -> None:
        """What is certain not to be needed any more."""
        for lease in hold.leases:
            lease.held -= amount
        hold.amount -= amount

    def settle(self, hold: Hold, cost: int, now: float) -> None:
        """The call has ended and cost that much, be it more than was reserved."""
        for lease in hold.leases:
            lease.held -= hold.amount
            lease.spent += cost
            lease.settled_at = now
            if not lease.held and lease.idle < 0:
                # The ledger charges a lease with no more than is in it; the rest it counts to the budget beside it.
                lease.spent += lease.idle
        hold.amount = 0
        hold.leases = ()

    # -- asking ----------------------------------------------------------------------------------------------------

    def lease_for(self, name: Name, now: float) -> Lease:
        """The lease that new calls under a budget are charged to, be it still to be granted."""
        fund = self.fund(name)
        lease = fund.lease
        if lease is not None and now >= lease.window_until:
            self._retire(fund)
            lease = None
        if lease is None:
            lease = fund.lease = Lease(self._new_id(), name)
            self._leases[lease.id] = lease
        return lease

    def wishes(self, now: float, wants: Mapping[Lease, Want]) -> list[LeaseWish]:
        """What to ask the ledger for: for calls that wait, ahead of need, and to keep what is in use."""
        wishes = [_wish(lease, max(want.least - lease.idle, 1), want.wanted - lease.idle + self._ahead(lease, now))
                  for lease, want in wants.items()]  # fmt: skip
        asked = {lease.id for lease in wants}
        for name in tuple(self._pressed):
            lease = self.lease_for(name, now)
            if lease.id not in asked and not self.fund(name).refused and (ahead := self._ahead(lease, now)) > 0:
                wishes.append(_wish(lease, 1, ahead))
                asked.add(lease.id)
        self._pressed.clear()
        for lease in self._leases.values():
            due = lease.granted and lease.renew_at <= now < lease.window_until
            # One that is not granted more is not renewed either, unless that is all that is asked.
            if due and (lease.id not in asked or self.fund(lease.name).refused):
                wishes.append(_wish(lease, 0, 0))
        return wishes

    def _ahead(self, lease: Lease, now: float) -> int:
        """What should be idle beside what is wanted now: what a second and a half of the present demand draw."""
        fund = self.fund(lease.name)
        return max(3 * fund.demand(now) // 2 - max(lease.idle, 0), 0) if lease is fund.lease else 0

    def take(self, wishes: Sequence[LeaseWish], answers: Sequence[LeaseAnswer], asked_at: float, unix: float) -> None:
        """What became of wishes that were asked at that monotonic time, which was `unix` of the Unix epoch."""
        for wish, answer in zip(wishes, answers, strict=True):
            fund = self.fund((wish.budget_id, wish.subject))
            if answer.not_needed:
                self._waive(fund)
                continue
            if fund.lease is None or fund.lease.id == wish.lease_id:  # else it is of a window that has ended
                fund.standing = answer.standing
                if wish.wanted_nanos:
                    fund.refused, fund.reserved = not answer.HasField("lease"), answer.reserved
            if answer.HasField("lease"):
                self._grant(fund, wish, answer, asked_at, unix)

    def _grant(self, fund: Fund, wish: LeaseWish, answer: LeaseAnswer, asked_at: float, unix: float) -> None:
        told = answer.lease
        lease = self._leases.get(told.lease_id)
        if lease is None:  # the one that was to grow is closed there
            if fund.lease is not None and fund.lease.id == wish.lease_id:
                self._retire(fund)
            lease = self._leases[told.lease_id] = Lease(told.lease_id, fund.name)
            if fund.lease is None:
                fund.lease = lease
            else:
                fund.past.append(lease)
        lease.granted = told.granted_nanos
        term = told.term.seconds + told.term.nanos / 1e9
        lease.until, lease.renew_at = asked_at + term, asked_at + term / 2
        if told.HasField("window_end_time"):
            lease.window_until = asked_at + unix_seconds(told.window_end_time) - unix

    def _waive(self, fund: Fund) -> None:
        fund.waived = True
        fund.standing = None
        if fund.lease is not None:
            self._retire(fund)

    def reconsider(self) -> None:
        """The budgets have changed: what the ledger knew nothing of, it may know now."""
        for fund in self._funds.values():
            fund.waived = fund.refused = False

    def _retire(self, fund: Fund) -> None:
        """No new call is charged to the fund's lease any more."""
        if fund.lease is not None:
            fund.past.append(fund.lease)
            fund.lease = None

    # -- giving back -----------------------------------------------------------------------------------------------

    def recall(self, lease_ids: Iterable[str]) -> list[ReturnedLease]:
        """Gives back what is idle of the leases that others are in need of, and asks for no more ahead of need.

        Those not known here are closed.
        """
        returned: list[ReturnedLease] = []
        for lease_id in lease_ids:
            lease = self._leases.get(lease_id)
            if lease is None:
                returned.append(ReturnedLease(lease_id=lease_id, closed=True))
                continue
            fund = self.fund(lease.name)
            fund.refused = fund.reserved = True
            returned.append(self._give_back(lease))
        return returned

    def _give_back(self, lease: Lease) -> ReturnedLease:
        lease.returned += max(lease.idle, 0)
        return ReturnedLease(lease_id=lease.id, nanos=lease.returned)

    def leftovers(self, now: float, recorded_until: float) -> list[ReturnedLease]:
        """What to give back of leases that are of no more use; closed are those of which everything is recorded.

        `recorded_until`: the ledger has every attempt that was settled before then.
        """
        for fund in self._funds.values():
            lease = fund.lease
            unused = lease is not None and not lease.held and now - fund.drawn_at >= UNUSED_FOR
            if unused or (lease is not None and now >= lease.window_until):
                self._retire(fund)
        return [
            returned
            for fund in self._funds.values()
            for lease in fund.past
            if (returned := self._leftover(lease, recorded_until)) is not None
        ]

    def _leftover(self, lease: Lease, recorded_until: float) -> ReturnedLease | None:
        if lease.held:
            return None  # calls under way may need more
        returned = self._give_back(lease)
        returned.closed = recorded_until > lease.settled_at
        return returned if returned.closed or lease.returned > lease.told else None

    def everything(self) -> list[ReturnedLease]:
        """Gives back what is idle of every lease."""
        return [self._give_back(lease) for lease in self._leases.values() if lease.idle > 0]

    def given_back(self, returned: Sequence[ReturnedLease]) -> None:
        """The ledger has those back."""
        for each in returned:
            lease = self._leases.get(each.lease_id)
            if lease is None:
                continue
            lease.told = max(lease.told, each.nanos)
            if each.closed:
                self._forget(lease)

    def _forget(self, lease: Lease) -> None:
        del self._leases[lease.id]
        fund = self._funds[lease.name]
        fund.past.remove(lease)
        if fund.lease is None and not fund.past and not fund.waived:
            del self._funds[lease.name]
            self._pressed.discard(lease.name)


def _wish(lease: Lease, least: int, wanted: int) -> LeaseWish:
    budget_id, subject = lease.name
    least, wanted = min(least, _MOST_NANOS), min(max(wanted, least), _MOST_NANOS)
    return LeaseWish(budget_id=budget_id, subject=subject, least_nanos=least, wanted_nanos=wanted, lease_id=lease.id)
