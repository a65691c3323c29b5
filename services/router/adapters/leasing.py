"""Leases of budgets, asked for and given back in the background, so that hardly any call waits for one.

The ledger is asked when a call waits in line, when what is idle gets small beside what calls drew in the last second,
and to renew what is in use; all that is wanted goes into one request. Where it has nothing to give, those who wait are
asked for again every so often. What others are in need of is given back at once, what nobody draws from any more soon.
A lease is closed once the ledger has every attempt that was charged to it.

The budgets themselves are watched, and kept in a file, so that a router that starts without its ledger knows of them.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Sequence
from contextlib import aclosing, suppress
from pathlib import Path

from google.protobuf.message import DecodeError

from mesh.budgets import BudgetBook
from mesh.clock import Clock
from mesh.errors import TollwayError
from mesh.metrics import Metrics
from services.router.adapters import background
from services.router.adapters.backoff import wait_after
from services.router.handlers.budgets import Budgeting
from services.router.ports import BudgetKeeper
from tollway.ledger.v1.budget_pb2 import (
    Budget,
    LeaseAnswer,
    LeaseBudgetRequest,
    ReturnedLease,
    ReturnLeaseRequest,
    WatchBudgetsResponse,
)

log = logging.getLogger(__name__)

ASK_AGAIN = 0.05
"""Seconds until the ledger is asked again for those who wait, where it had nothing to give."""
TICK = 0.5
"""Seconds between two looks at what is to be renewed or given back."""
_LOST_FOR = 1.0
"""Seconds at most until a ledger that is lost is asked again."""
_TIMEOUT = 2.0
_MOST_WISHES = 1_000
"""In one request."""


class Leasing:
    """For the router whose journal is `journal_id`. `recorded_until` tells up to when the ledger has every attempt that
    was settled, `unbooked` the leases of attempts that it refused. `kept` is the file that budgets are kept in."""

    def __init__(
        self,
        keeper: BudgetKeeper,
        budgeting: Budgeting,
        journal_id: str,
        kept: Path,
        clock: Clock,
        metrics: Metrics,
        *,
        recorded_until: Callable[[], float],
        unbooked: set[str],
    ) -> None:
        self._keeper, self._budgeting, self._journal_id = keeper, budgeting, journal_id
        self._reservations, self._purse = budgeting.reservations, budgeting.reservations.purse
        self._kept, self._clock, self._metrics = kept, clock, metrics
        self._recorded_until, self._unbooked = recorded_until, unbooked
        self._seen = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._leased = False

    async def start(self, patience: float) -> None:
        """Begins; waits for the budgets, but not longer than `patience` seconds."""
        self._recall_what_is_kept()
        self._tasks.append(background.start("Watching budgets", self._watch_budgets()))
        try:
            async with self._clock.timeout(patience):
                await self._seen.wait()
        except TimeoutError:
            self._reservations.lose()
            log.info("The ledger has not sent its budgets yet; until it does, those that were known last hold.")

    async def drain(self) -> None:
        """Asks for nothing any more, and gives back what is idle."""
        for task in self._tasks:
            await background.end(task)
        if self._leased:
            with suppress(TollwayError):  # it is told again at the end
                await self._give_back(self._purse.everything())

    async def close(self, *, recorded: bool) -> bool:
        """Closes all leases, if everything is `recorded`; whether that is done, and nobody has to do it later."""
        if not self._leased:
            return True
        if not recorded or self._unbooked:
            return False
        try:
            await self._keeper.give_back(ReturnLeaseRequest(journal_id=self._journal_id, journal_closed=True), _TIMEOUT)
        except TollwayError as error:
            log.warning("The leases of this router stay charged, for the next router here to close: %s", error)
            return False
        return True

    # -- leases ----------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        failures = 0
        while True:
            await self._wait(failures)
            try:
                await self.ask()
                await self.tidy()
                failures = 0
            except TollwayError as error:
                if not failures:
                    log.warning("The ledger cannot be asked for leases of budgets, and will be again: %s", error)
                failures += 1
                self._reservations.lose()
            self._metrics.gauge("tollway.budgets.lost", int(self._reservations.lost), {})

    async def _wait(self, failures: int) -> None:
        ask = self._reservations.ask
        if failures:
            await self._clock.sleep(min(wait_after(failures), _LOST_FOR))
        elif self._reservations.waiting:
            await self._clock.sleep(ASK_AGAIN)
        else:
            with suppress(TimeoutError):
                async with self._clock.timeout(TICK):
                    await ask.wait()
        ask.clear()

    async def ask(self) -> None:
        """Asks for what is wanted. Raises TollwayError where the ledger does not answer."""
        asked_at, unix = self._clock.monotonic(), self._clock.time()
        wishes = self._purse.wishes(asked_at, self._reservations.wants())
        if not wishes and not self._reservations.lost:
            return
        self._leased = True
        answers: list[LeaseAnswer] = []
        for first in range(0, max(len(wishes), 1), _MOST_WISHES):
            request = LeaseBudgetRequest(journal_id=self._journal_id, wishes=wishes[first : first + _MOST_WISHES])
            answers += await self._keeper.lease(request, _TIMEOUT)
        self._purse.take(wishes, answers, asked_at, unix)
        self._reservations.answered()

    async def tidy(self) -> None:
        """Gives back what is of no more use. Raises TollwayError where the ledger does not answer."""
        returned = self._purse.leftovers(self._clock.monotonic(), self._recorded_until())
        for each in returned:
            each.closed = each.closed and each.lease_id not in self._unbooked
        await self._give_back(returned)

    async def _give_back(self, returned: Sequence[ReturnedLease]) -> None:
        for first in range(0, len(returned), _MOST_WISHES):
            part = returned[first : first + _MOST_WISHES]
            await self._keeper.give_back(ReturnLeaseRequest(journal_id=self._journal_id, leases=part), _TIMEOUT)
            self._purse.given_back(part)

    async def _watch_recalls(self) -> None:
        failures = 0
        while True:
            try:
                async with aclosing(self._keeper.watch_recalls(self._journal_id)) as recalls:
                    async for lease_ids in recalls:
                        failures = 0
                        await self._give_back(self._purse.recall(lease_ids))
            except TollwayError as error:
                if not failures:
                    log.warning("Watching for recalled leases ended, and will be tried again: %s", error)
            failures += 1
            await self._clock.sleep(wait_after(failures))

    # -- budgets ---------------------------------------------------------------------------------------------------

    async def _watch_budgets(self) -> None:
        failures = 0
        while True:
            try:
                async with aclosing(self._keeper.watch_budgets()) as lists:
                    async for budgets in lists:
                        self._adopt(budgets)
                        self._keep(budgets)
                        self._seen.set()
                        failures = 0
            except TollwayError as error:
                if not failures:
                    log.warning("Watching budgets ended, and will be tried again: %s", error)
            failures += 1
            await self._clock.sleep(wait_after(failures))

    def _adopt(self, budgets: Sequence[Budget]) -> None:
        self._budgeting.adopt(BudgetBook(budgets))
        if self._budgeting.any and len(self._tasks) < 2:
            self._reservations.ask.set()  # look at once whether there is a ledger to lease from
            self._tasks.append(background.start("Leasing budgets", self._run()))
            self._tasks.append(background.start("Watching for recalls", self._watch_recalls()))

    def _keep(self, budgets: Sequence[Budget]) -> None:
        content = WatchBudgetsResponse(budgets=budgets).SerializeToString(deterministic=True)
        try:
            if self._kept.exists() and self._kept.read_bytes() == content:
                return
            new = self._kept.with_name(f"{self._kept.name}.{os.getpid()}")
            new.write_bytes(content)
            new.replace(self._kept)
        except OSError as error:
            log.warning("Budgets cannot be kept for a start without the ledger: %s", error)

    def _recall_what_is_kept(self) -> None:
        try:
            self._adopt(WatchBudgetsResponse.FromString(self._kept.read_bytes()).budgets)
        except FileNotFoundError:
            pass  # nobody has seen any here yet
        except (OSError, DecodeError) as error:
            log.warning("The budgets that were kept in %s cannot be read: %s", self._kept, error)
