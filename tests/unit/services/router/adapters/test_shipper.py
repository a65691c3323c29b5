from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from itertools import pairwise
from pathlib import Path

import pytest

from mesh.clock import VirtualClock
from mesh.errors import Reason
from mesh.tracing import Kind, TraceContext
from services.router.adapters.backoff import CAP, FIRST, wait_after
from services.router.adapters.journal_file import BATCH, Entry
from services.router.adapters.journal_sqlite import SqliteJournal
from services.router.adapters.recording import Recorder
from services.router.adapters.shipper import ANNOUNCED_AFTER, Shipper
from tests.unit.services.router.twins import FakeLedger, SeeingMetrics, SeeingTracer, attempt, ended, error
from tollway.ledger.v1.ledger_pb2 import AttemptState, RecordAttemptsRequest, RecordedAttempt, RecordOutcome

OPENED, SETTLED = AttemptState.ATTEMPT_STATE_OPENED, AttemptState.ATTEMPT_STATE_SETTLED
EVERY = 0.2


class Ships:
    """A journal with a shipper that sends to a ledger."""

    def __init__(self, directory: Path) -> None:
        self.clock, self.ledger = VirtualClock(), FakeLedger()
        self.tracer, self.metrics = SeeingTracer(), SeeingMetrics()
        self.journal = SqliteJournal.create(directory, self.clock, 1.0)
        self.path = self.journal.file.path
        recorder = Recorder(self.ledger, self.clock, self.tracer)
        self.shipper = Shipper(self.journal, recorder, self.clock, self.metrics, EVERY)

    async def make(self, number: int) -> str:
        """An attempt that has come and gone; its id."""
        one = attempt(number)
        self.journal.settled(await self.journal.opened(one), ended(one))
        return one.attempt_id

    async def until_shipped(self) -> None:
        for _ in range(1000):
            await self.clock.advance(EVERY)
            if not self.journal.pending:
                return
        raise AssertionError("nothing is shipped")

    async def close(self) -> None:
        closing = asyncio.get_running_loop().create_task(self.shipper.close(5.0))
        while not closing.done():
            await self.clock.advance(0.5)
        await closing
        await self.journal.close()


@pytest.fixture
async def ships(tmp_path: Path) -> AsyncIterator[Ships]:
    made = Ships(tmp_path)
    yield made
    await made.close()


async def test_what_has_ended_is_shipped_at_the_next_tick_and_removed(ships: Ships) -> None:
    identifier = await ships.make(1)
    await ships.clock.advance(0.6 * EVERY)
    assert ships.ledger.rows == {}
    await ships.clock.advance(0.6 * EVERY)
    assert ships.ledger.rows[identifier].state == SETTLED
    assert ships.journal.file.empty
    assert ships.ledger.requests[0].journal_id == ships.journal.file.id


async def test_a_full_batch_does_not_wait_for_the_tick(ships: Ships) -> None:
    for number in range(BATCH):
        await ships.make(number)
    await ships.clock.advance(EVERY / 100)
    assert len(ships.ledger.rows) == BATCH


async def test_batches_are_bounded(ships: Ships) -> None:
    for number in range(2 * BATCH + 7):
        await ships.make(number)
    await ships.until_shipped()
    assert [len(request.attempts) for request in ships.ledger.requests] == [BATCH, BATCH, 7]


async def test_what_does_not_fill_another_batch_waits_for_the_tick(ships: Ships) -> None:
    for number in range(BATCH + 7):
        await ships.make(number)
    await ships.clock.advance(EVERY / 100)
    assert [len(request.attempts) for request in ships.ledger.requests] == [BATCH]
    await ships.until_shipped()
    assert [len(request.attempts) for request in ships.ledger.requests] == [BATCH, 7]


async def test_nothing_is_sent_where_there_is_nothing_to_send(ships: Ships) -> None:
    await ships.clock.advance(10)
    assert ships.ledger.requests == []
    assert ships.tracer.spans == []


async def test_what_the_ledger_had_already_is_removed_too(ships: Ships) -> None:
    one = attempt(1)
    ships.ledger.rows[one.attempt_id] = ended(one)
    ships.journal.settled(await ships.journal.opened(one), ended(one))
    await ships.until_shipped()
    assert ships.journal.file.empty


async def test_what_the_ledger_refuses_goes_to_the_dead_letters_and_holds_nobody_up(
    ships: Ships, caplog: pytest.LogCaptureFixture
) -> None:
    bad, good = attempt(1), attempt(2)
    ships.ledger.refused.add(bad.attempt_id)
    for each in (bad, good):
        ships.journal.settled(await ships.journal.opened(each), ended(each))
    await ships.until_shipped()
    assert list(ships.ledger.rows) == [good.attempt_id]
    assert ships.journal.file.dead_letters() == 1
    assert ships.metrics.values("tollway.journal.dead_letters")[-1] == 1
    assert "tags: are too many" in caplog.text
    await ships.clock.advance(60)
    assert len(ships.ledger.requests) == 1, "a dead letter is not sent again"


async def test_an_entry_that_cannot_be_read_is_a_dead_letter(ships: Ships) -> None:
    ships.journal.file.append(Entry(1000, None, b"\xff"))
    ships.journal.file.append(Entry(1001, 1000, b"\xff"))
    good = await ships.make(1)
    await ships.until_shipped()
    assert list(ships.ledger.rows) == [good]
    assert ships.journal.file.dead_letters() == 1


# -- the ledger is gone ------------------------------------------------------------------------------------------------


async def test_while_the_ledger_is_gone_everything_stays_and_is_shipped_when_it_is_back(
    ships: Ships, caplog: pytest.LogCaptureFixture
) -> None:
    ships.ledger.gone = True
    made = [await ships.make(number) for number in range(3 * BATCH)]
    await ships.clock.advance(300)
    assert ships.journal.pending == 3 * BATCH
    assert ships.metrics.values("tollway.journal.pending")[-1] == 3 * BATCH
    assert [record.levelno for record in caplog.records] == [logging.WARNING], "said once, not at every try"
    ships.ledger.gone = False
    await ships.clock.advance(CAP)
    assert set(ships.ledger.rows) == set(made)
    assert ships.journal.file.empty


async def test_a_ledger_that_is_gone_is_asked_less_and_less_often(ships: Ships) -> None:
    asked: list[float] = []

    async def record(request: RecordAttemptsRequest, timeout: float, trace: TraceContext) -> Sequence[RecordedAttempt]:
        asked.append(ships.clock.monotonic())
        raise error(Reason.SERVICE_UNAVAILABLE)

    ships.ledger.record = record  # type: ignore[method-assign]  # the twin, made worse
    await ships.make(1)
    await ships.clock.advance(120)
    waits = [later - earlier for earlier, later in pairwise(asked)]
    assert waits[0] <= FIRST
    assert 0.7 * CAP <= waits[-1] <= CAP + EVERY
    assert len(asked) < 20
    del ships.ledger.record


def test_waits_never_overflow() -> None:
    assert wait_after(10_000) <= CAP


@pytest.mark.parametrize(
    "results", [[], [RecordedAttempt(attempt_id="another", outcome=RecordOutcome.RECORD_OUTCOME_RECORDED)]]
)
async def test_nothing_is_removed_for_an_answer_about_something_else(
    ships: Ships, results: list[RecordedAttempt]
) -> None:
    async def record(request: RecordAttemptsRequest, timeout: float, trace: TraceContext) -> Sequence[RecordedAttempt]:
        return results

    ships.ledger.record = record  # type: ignore[method-assign]  # the twin, made worse
    await ships.make(1)
    await ships.clock.advance(5)
    assert ships.journal.pending == 1
    assert "INTERNAL" in {span.error for span in ships.tracer.spans}
    del ships.ledger.record


async def test_an_outcome_without_a_name_removes_nothing(ships: Ships) -> None:
    one = attempt(1)

    async def record(request: RecordAttemptsRequest, timeout: float, trace: TraceContext) -> Sequence[RecordedAttempt]:
        return [RecordedAttempt(attempt_id=one.attempt_id)]

    ships.ledger.record = record  # type: ignore[method-assign]  # the twin, made worse
    ships.journal.settled(await ships.journal.opened(one), ended(one))
    await ships.clock.advance(5)
    assert ships.journal.pending == 1
    del ships.ledger.record


# -- calls that take long ----------------------------------------------------------------------------------------------


async def test_a_call_under_way_for_long_is_announced_once_and_its_end_follows(ships: Ships) -> None:
    one = attempt(1)
    opened = await ships.journal.opened(one)
    await ships.clock.advance(ANNOUNCED_AFTER - EVERY)
    assert ships.ledger.moves == {}
    await ships.clock.advance(60)
    assert ships.ledger.moves == {one.attempt_id: [OPENED]}
    assert len(ships.ledger.requests) == 1
    ships.journal.settled(opened, ended(one))
    await ships.until_shipped()
    assert ships.ledger.moves == {one.attempt_id: [OPENED, SETTLED]}
    assert ships.journal.file.empty


async def test_a_call_that_ended_in_time_is_not_announced(ships: Ships) -> None:
    await ships.make(1)
    await ships.clock.advance(60)
    assert list(ships.ledger.moves.values()) == [[SETTLED]]


async def test_more_long_calls_than_a_batch_holds_are_all_announced(ships: Ships) -> None:
    for number in range(BATCH + 1):
        await ships.journal.opened(attempt(number))
    await ships.clock.advance(ANNOUNCED_AFTER + 3 * EVERY)
    assert len(ships.ledger.rows) == BATCH + 1
    assert max(len(request.attempts) for request in ships.ledger.requests) <= BATCH


async def test_calls_that_were_announced_while_the_ledger_was_gone_are_announced_later(ships: Ships) -> None:
    ships.ledger.gone = True
    await ships.journal.opened(attempt(1))
    await ships.clock.advance(30)
    ships.ledger.gone = False
    await ships.clock.advance(CAP)
    assert len(ships.ledger.rows) == 1


# -- its trace ---------------------------------------------------------------------------------------------------------


async def test_recording_is_a_trace_of_its_own_linked_to_the_requests(ships: Ships) -> None:
    await ships.make(1)
    unsampled = attempt(2, span_id="")
    ships.journal.settled(await ships.journal.opened(unsampled), ended(unsampled))
    await ships.until_shipped()
    (span,) = ships.tracer.spans
    assert (span.name, span.kind, span.parent) == (
        "tollway.ledger.v1.LedgerService/RecordAttempts",
        Kind.INTERNAL,
        None,
    )
    assert [(link.trace_id, link.span_id) for link in span.links] == [(f"{2:032x}", f"{2:016x}")]
    assert ships.ledger.traces == [span.context]
    assert span.ended == 1


async def test_links_are_bounded(ships: Ships) -> None:
    for number in range(BATCH):
        await ships.make(number)
    await ships.until_shipped()
    assert len(ships.tracer.spans[0].links) <= 128


# -- the end -----------------------------------------------------------------------------------------------------------


async def test_at_the_end_everything_is_shipped_and_the_journal_goes(tmp_path: Path) -> None:
    ships = Ships(tmp_path)
    made = [await ships.make(number) for number in range(BATCH + 1)]
    await ships.close()
    assert set(ships.ledger.rows) == set(made)
    assert not ships.path.exists()


async def test_at_the_end_nothing_waits_long_for_a_ledger_that_is_gone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ships = Ships(tmp_path)
    await ships.make(1)
    ships.ledger.gone = True
    await ships.close()
    assert ships.path.exists()
    assert "1 attempts stay in the journal" in caplog.text


async def test_at_the_end_nothing_waits_long_for_a_ledger_that_does_not_answer(tmp_path: Path) -> None:
    ships = Ships(tmp_path)
    await ships.make(1)

    async def record(request: RecordAttemptsRequest, timeout: float, trace: TraceContext) -> Sequence[RecordedAttempt]:
        await asyncio.Event().wait()
        return []

    ships.ledger.record = record  # type: ignore[method-assign]  # the twin, made worse
    start = ships.clock.monotonic()
    await ships.close()
    assert ships.clock.monotonic() - start <= 6
    assert ships.path.exists()


async def test_a_shipper_that_dies_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    ships = Ships(tmp_path)

    async def record(request: RecordAttemptsRequest, timeout: float, trace: TraceContext) -> Sequence[RecordedAttempt]:
        raise AttributeError("a bug")

    ships.ledger.record = record  # type: ignore[method-assign]  # the twin, made worse
    await ships.make(1)
    await ships.clock.advance(1)
    assert "Shipping attempts ended" in caplog.text
    del ships.ledger.record
    await ships.close()


async def test_what_ends_while_a_small_batch_is_on_its_way_waits_for_the_next(
    ships: Ships, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = iter(range(1, 100))
    record = ships.ledger.record

    async def more_ends_meanwhile(
        request: RecordAttemptsRequest, timeout: float, trace: TraceContext
    ) -> Sequence[RecordedAttempt]:
        await ships.make(next(numbers))
        return await record(request, timeout, trace)

    monkeypatch.setattr(ships.ledger, "record", more_ends_meanwhile)
    await ships.make(0)
    await ships.clock.advance(EVERY)
    assert len(ships.ledger.requests) == 1
    assert ships.journal.pending == 1
    await ships.clock.advance(EVERY)
    assert len(ships.ledger.requests) == 2
    monkeypatch.undo()
