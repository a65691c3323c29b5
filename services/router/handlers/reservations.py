"""Reserving for calls: out of the leases that are here, or after a short wait.

Who finds too little waits in line, while the ledger is asked and calls under way end. They wait for as long as what is
missing is reserved and not spent, and no longer than they may; then they take what there is, if it is of any use. A
call that is being answered and needs more goes before those that have not begun.

The line is served whenever something comes in: a grant, or what an ended call did not need. Each time only its head is
tried, so a long line costs no more than a short one.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence

from mesh.clock import Clock
from services.router.domain.funds import Lease, Name
from services.router.domain.purse import Hold, Purse, Short, Want
from services.router.domain.reservation import Amounts


class _Waiting:
    """A call in line: a new one, or one under way (`hold`) that needs more."""

    def __init__(self, names: Sequence[Name], amounts: Amounts, hold: Hold | None) -> None:
        self.names, self.amounts, self.hold = names, amounts, hold
        self.answer: asyncio.Future[Hold | Short] = asyncio.get_running_loop().create_future()

    def draw(self, purse: Purse, now: float, *, least: bool) -> Hold | Short:
        amounts = self.amounts
        if self.hold is not None:
            return purse.grow(self.hold, amounts.least if least else amounts.usual, now) or self.hold
        if not least and purse.has_plenty(self.names, amounts.at_ease):
            held = purse.draw(self.names, amounts.at_ease, now)
            if isinstance(held, Hold):
                return held
        return purse.draw(self.names, amounts.least if least else amounts.usual, now)

    def wanted(self, purse: Purse) -> int:
        """What it would take, if it were there."""
        unknown = any(purse.fund(name).standing is None for name in self.names)
        at_ease = unknown or purse.has_plenty(self.names, self.amounts.at_ease)
        return self.amounts.at_ease if at_ease else self.amounts.usual

    def lease(self, purse: Purse, name: Name, now: float) -> Lease | None:
        """Which lease of a budget's has to grow for it."""
        if self.hold is None:
            return purse.lease_for(name, now)
        return next((lease for lease in self.hold.leases if lease.name == name), None)


class Reservations:
    """What calls reserve. `ask` is set where the ledger should be asked for something."""

    def __init__(self, purse: Purse, clock: Clock) -> None:
        self.purse = purse
        self.ask = asyncio.Event()
        self._clock = clock
        self._lines: dict[Name, deque[_Waiting]] = {}
        self._lost = False

    @property
    def lost(self) -> bool:
        """Whether the ledger cannot be asked for leases at the moment."""
        return self._lost

    # -- for calls -------------------------------------------------------------------------------------------------

    async def reserve(self, names: Sequence[Name], amounts: Amounts, patience: float) -> Hold | Short:
        """Reserves for a call what its budgets can bear, within `patience` seconds; the budget that cannot."""
        held = self._draw(names, amounts, content_with_less=False)
        if isinstance(held, Hold):
            return held
        return await self._wait(held.name, _Waiting(names, amounts, None), patience)

    def reserve_now(self, names: Sequence[Name], amounts: Amounts) -> Hold | Short:
        """The same for a call that is not worth waiting for."""
        return self._draw(names, amounts, content_with_less=True)

    def _draw(self, names: Sequence[Name], amounts: Amounts, *, content_with_less: bool) -> Hold | Short:
        """What is here. Where there is plenty, and only not here yet, one that is not content with less waits for it:
        for as long as it takes to ask."""
        if not amounts.at_ease:
            return Hold(0, ())  # it costs nothing
        if self._lines and (name := next((name for name in names if name in self._lines), None)) is not None:
            return Short(name)
        purse, now = self.purse, self._clock.monotonic()
        at_ease = purse.has_plenty(names, amounts.at_ease)
        amount = amounts.at_ease if at_ease else amounts.usual
        purse.note(names, amount, now)
        held = purse.draw(names, amount, now)
        if at_ease and isinstance(held, Short) and content_with_less:
            held = purse.draw(names, amounts.usual, now)
        if purse.pressed:
            self.ask.set()
        return held

    def grow_now(self, hold: Hold, amount: int) -> Short | None:
        """Reserves more for a call under way, if it is here."""
        now = self._clock.monotonic()
        self.purse.note((lease.name for lease in hold.leases), amount, now)
        short = self.purse.grow(hold, amount, now)
        if self.purse.pressed:
            self.ask.set()
        return short

    def grow_soon(self, hold: Hold, amount: int, name: Name) -> asyncio.Future[Hold | Short]:
        """Stands in the line of the budget that is short, while the call goes on; whoever is not interested any more
        cancels the future."""
        waiting = _Waiting((), Amounts(amount, amount, amount), hold)
        if self._lost:
            waiting.answer.set_result(Short(name, lost=True))
        else:
            self._stand(name, waiting)
            self.ask.set()
        return waiting.answer

    async def grow(self, hold: Hold, amounts: Amounts, patience: float) -> Short | None:
        """Reserves more for a call that cannot go on without it, within `patience` seconds; the budget that cannot bear
        it."""
        short = self.purse.grow(hold, amounts.usual, self._clock.monotonic())
        if short is None:
            return None
        held = await self._wait(short.name, _Waiting((), amounts, hold), patience)
        return held if isinstance(held, Short) else None

    def shrink(self, hold: Hold, amount: int) -> None:
        self.purse.shrink(hold, amount)
        self._serve_all(hold.leases)

    def settle(self, hold: Hold, cost: int) -> None:
        """The call has ended, and cost that much."""
        leases = hold.leases
        self.purse.settle(hold, cost, self._clock.monotonic())
        self._serve_all(leases)

    # -- the line --------------------------------------------------------------------------------------------------

    async def _wait(self, name: Name, waiting: _Waiting, patience: float) -> Hold | Short:
        if self._lost:
            held = waiting.draw(self.purse, self._clock.monotonic(), least=True)
            return Short(held.name, lost=True) if isinstance(held, Short) else held
        self._stand(name, waiting)
        self.ask.set()
        timer = self._clock.call_later(max(patience, 0.0), lambda: self._end(waiting, name))
        try:
            return await waiting.answer
        except asyncio.CancelledError:
            # It may have been given something in the same moment.
            if waiting.answer.done() and not waiting.answer.cancelled() and waiting.hold is None:
                held = waiting.answer.result()
                if isinstance(held, Hold):
                    self.settle(held, 0)
            raise
        finally:
            timer.cancel()

    def _stand(self, name: Name, waiting: _Waiting) -> None:
        line = self._lines.setdefault(name, deque())
        if waiting.hold is None:
            line.append(waiting)
        else:
            line.appendleft(waiting)

    def _serve_all(self, leases: Sequence[Lease]) -> None:
        if self._lines:
            for lease in leases:
                if lease.name in self._lines:
                    self._serve(lease.name)

    def _serve(self, name: Name) -> None:
        """Lets through those at the head of the line that there is enough for now."""
        now = self._clock.monotonic()
        line = self._lines[name]
        while line:
            waiting = line[0]
            if not waiting.answer.done():
                held = waiting.draw(self.purse, now, least=False)
                if isinstance(held, Hold):
                    waiting.answer.set_result(held)
                elif held.name == name:
                    return
                else:
                    self._stand(held.name, waiting)  # there is enough here, and too little there
                    self.ask.set()
            line.popleft()
        del self._lines[name]

    def _end(self, waiting: _Waiting, name: Name, *, lost: bool = False) -> None:
        """Gives a call what there is, or nothing."""
        if waiting.answer.done():
            return
        held = waiting.draw(self.purse, self._clock.monotonic(), least=True)
        waiting.answer.set_result(Short(held.name, lost) if isinstance(held, Short) else held)

    # -- for whom asks the ledger --------------------------------------------------------------------------------------

    @property
    def waiting(self) -> bool:
        return bool(self._lines)

    def wants(self) -> dict[Lease, Want]:
        """What those in line need."""
        now = self._clock.monotonic()
        wants: dict[Lease, Want] = {}
        for name, line in self._lines.items():
            for waiting in line:
                if waiting.answer.done() or (lease := waiting.lease(self.purse, name, now)) is None:
                    continue
                before = wants.get(lease) or Want(waiting.amounts.least, 0)
                wants[lease] = Want(before.least, before.wanted + waiting.wanted(self.purse))
        return wants

    def answered(self) -> None:
        """The ledger has said what it gives."""
        self._lost = False
        for name in tuple(self._lines):
            if name in self._lines:
                self._serve(name)
        for name in tuple(self._lines):
            self._refuse(name)

    def _refuse(self, name: Name) -> None:
        """Ends the wait of those for whom there will be nothing, however long they wait."""
        fund = self.purse.fund(name)
        if not fund.refused:
            return
        spent = not fund.reserved and not fund.held
        for waiting in tuple(self._lines[name]):
            if spent or fund.unspent < waiting.amounts.least:
                self._end(waiting, name)
        self._clear(name)

    def lose(self) -> None:
        """The ledger does not answer."""
        self._lost = True
        for name, line in self._lines.items():
            for waiting in line:
                self._end(waiting, name, lost=True)
        self._lines.clear()

    def _clear(self, name: Name) -> None:
        line = self._lines.get(name)
        if line is not None and all(waiting.answer.done() for waiting in line):
            del self._lines[name]
