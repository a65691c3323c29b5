"""Whatever is lost and whenever: each attempt ends as one row, and that row only ever moves forward."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.clock import VirtualClock
from mesh.errors import Reason
from mesh.metrics import NoMetrics
from mesh.tracing import NoTracer, TraceContext
from services.router.adapters.adoption import SWEEP_EVERY, Adoption
from services.router.adapters.backoff import CAP
from services.router.adapters.journal_sqlite import SqliteJournal
from services.router.adapters.recording import Recorder
from services.router.adapters.shipper import ANNOUNCED_AFTER, Shipper
from tests.unit.services.router.adapters.test_journal_sqlite import turns
from tests.unit.services.router.twins import FakeLedger, attempt, ended, error
from tollway.ledger.v1.ledger_pb2 import Attempt, AttemptState, RecordAttemptsRequest, RecordedAttempt

TICK = 1.0
UNSETTLED, SETTLED = AttemptState.ATTEMPT_STATE_UNSETTLED, AttemptState.ATTEMPT_STATE_SETTLED


class UnreliableLedger(FakeLedger):
    """Books, and may lose its answer on the way back."""

    answers_lost = False

    async def record(
        self, request: RecordAttemptsRequest, timeout: float, trace: TraceContext
    ) -> Sequence[RecordedAttempt]:
        results = await super().record(request, timeout, trace)
        if self.answers_lost:
            raise error(Reason.SERVICE_UNAVAILABLE)
        return results


class World:
    """A router that can be killed, its directory, and a ledger that outlives it."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._clock, self.ledger = VirtualClock(), UnreliableLedger()
        self.opened: list[Attempt] = []
        self.settled: set[str] = set()
        self._in_flight: dict[int, Attempt] = {}
        self._start()

    def _start(self) -> None:
        self._journal = SqliteJournal.create(self._directory, self._clock, 1.0)
        recorder = Recorder(self.ledger, self._clock, NoTracer())
        self._shipper = Shipper(self._journal, recorder, self._clock, NoMetrics(), TICK)
        self._adoption = Adoption(self._journal.file, recorder, self.ledger.give_back, self._clock)

    async def open(self) -> None:
        one = attempt(len(self.opened))
        self.opened.append(one)
        self._in_flight[await self._journal.opened(one)] = one

    def settle(self) -> None:
        if self._in_flight:
            number, one = self._in_flight.popitem()
            self._journal.settled(number, ended(one))
            self.settled.add(one.attempt_id)

    async def kill(self) -> None:
        """The process is gone, and another takes its place."""
        for task in (self._shipper._task, self._adoption._task, self._journal._upkeep_task):
            task.cancel()
        await turns()
        self._journal._upkeep.close()
        self._journal.file._database.close()
        os.close(self._journal._lock._descriptor)
        self._in_flight.clear()
        self._start()

    async def wait(self, seconds: float) -> None:
        await self._clock.advance(seconds)

    async def end(self) -> None:
        """The last router is killed too, and one more comes to clean up, with all the time it needs."""
        self.ledger.gone = self.ledger.answers_lost = False
        await self.kill()
        await self.wait(2 * SWEEP_EVERY + CAP)
        await self._adoption.close()
        await self._shipper.close(5.0)
        await self._journal.close()


async def live(directory: Path, steps: list[str]) -> World:
    world = World(directory)
    for step in steps:
        match step:
            case "open":
                await world.open()
            case "settle":
                world.settle()
            case "ship":
                await world.wait(TICK)
            case "long":
                await world.wait(ANNOUNCED_AFTER + 1)
            case "ledger goes":
                world.ledger.gone = True
            case "answers go":
                world.ledger.answers_lost = True
            case "ledger returns":
                world.ledger.gone = world.ledger.answers_lost = False
            case "kill":
                await world.kill()
    await world.end()
    return world


STEPS = (
    "open",
    "open",
    "open",
    "settle",
    "settle",
    "ship",
    "long",
    "ledger goes",
    "answers go",
    "ledger returns",
    "kill",
)


@settings(max_examples=30, deadline=None)
@given(steps=st.lists(st.sampled_from(STEPS), max_size=25))
def test_every_attempt_ends_as_one_row_that_only_moved_forward(steps: list[str]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        world = asyncio.run(live(Path(directory), steps))
        left = os.listdir(directory)
    assert world.ledger.rows.keys() == {each.attempt_id for each in world.opened}
    for identifier, row in world.ledger.rows.items():
        assert row.state == (SETTLED if identifier in world.settled else UNSETTLED)
        moves = world.ledger.moves[identifier]
        assert moves == sorted(set(moves))
    assert left == []
