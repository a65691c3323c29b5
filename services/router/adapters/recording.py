"""Sending journalled attempts to the ledger, and acting on its answer to each.

A ledger that was gone for an hour has millions of attempts to catch up on, and a batch of them takes the event loop
some milliseconds, or where the ledger is in this process all the time that it needs. So there is one batch at a time,
from whichever journal, and after a full one a rest as long as it took: requests have at least half of the time.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from google.protobuf.message import DecodeError

from mesh.clock import Clock
from mesh.errors import Reason, TollwayError
from mesh.tracing import Kind, TraceContext, Tracer
from services.router.adapters.journal_file import BATCH, Entry, JournalFile, is_full_of_bytes
from services.router.ports import LedgerClient
from tollway.ledger.v1.ledger_pb2 import Attempt, RecordAttemptsRequest, RecordedAttempt, RecordOutcome

log = logging.getLogger(__name__)

LONGEST_REST = 0.1
"""Seconds. A batch that takes longer is waiting for its ledger more than it works."""
_TIMEOUT = 10.0
_MOST_LINKS = 128
_SPAN = "tollway.ledger.v1.LedgerService/RecordAttempts"


class Recorder:
    """Records attempts. Raises TollwayError where the ledger does not answer, sqlite3.Error where a file fails."""

    def __init__(self, ledger: LedgerClient, clock: Clock, tracer: Tracer) -> None:
        self._ledger, self._clock, self._tracer = ledger, clock, tracer
        self._turn = asyncio.Lock()
        self.unbooked: set[str] = set()
        """Leases of attempts that the ledger refused: it does not know all that was spent of them."""

    async def record_ended(
        self,
        file: JournalFile,
        *,
        all_of_it: bool = True,
        hurry: bool = False,
        after_each: Callable[[], Awaitable[None]] | None = None,
    ) -> int:
        """Sends what has ended until nothing of it is left in the file; how many attempts that were.

        Without `all_of_it` it stops where what is left would not fill a batch: under load the file is never empty, and
        many small batches cost the ledger more than one that waits to be full. `hurry`: nobody is to be spared any
        more. `after_each` is called after each batch: all of them may take minutes.
        """
        total = 0
        while True:
            async with self._turn:
                began = self._clock.monotonic()
                if not (entries := file.ended()):
                    return total
                await self._record_and_remove(file, [(entry, entry.attempt) for entry in entries])
                last = not all_of_it and file.pending < BATCH and not is_full_of_bytes(entries)
                await self._rest(0.0 if hurry or last else self._clock.monotonic() - began)
            total += len(entries)
            if after_each is not None:
                await after_each()
            if last:
                return total

    async def record_and_remove(self, file: JournalFile, batch: Sequence[tuple[Entry, bytes]]) -> None:
        """Sends a batch and removes it from the file: what the ledger has, and, as dead letters, what it refuses.

        Beside each entry stands the attempt that is sent for it, serialized.
        """
        async with self._turn:
            began = self._clock.monotonic()
            await self._record_and_remove(file, batch)
            await self._rest(self._clock.monotonic() - began)

    async def _rest(self, took: float) -> None:
        if took > 0:
            await self._clock.sleep(min(took, LONGEST_REST))
        else:
            await asyncio.sleep(0)  # whoever waits for an answer goes first

    async def _record_and_remove(self, file: JournalFile, batch: Sequence[tuple[Entry, bytes]]) -> None:
        request = RecordAttemptsRequest(journal_id=file.id)
        sent: list[Entry] = []
        recorded: list[Entry] = []
        dead: list[tuple[Entry, str]] = []
        for entry, written in batch:
            try:
                request.attempts.add().ParseFromString(written)  # where it is to be, rather than to be copied there
                sent.append(entry)
            except DecodeError:
                del request.attempts[-1]
                dead.append((entry, "cannot be read"))
        attempts = list(request.attempts)
        results = await self.record(request, attempts)
        for entry, attempt, result in zip(sent, attempts, results, strict=True):
            if result.outcome == RecordOutcome.RECORD_OUTCOME_REFUSED:
                dead.append((entry, result.message))
                self.unbooked.update(attempt.lease_ids)
            else:
                recorded.append(entry)
        for entry, message in dead:
            log.error("The ledger refuses attempt %s of journal %s: %s", entry.number, file.id, message)
        file.remove(recorded, dead, self._clock.time())

    async def record(self, request: RecordAttemptsRequest, attempts: Sequence[Attempt]) -> Sequence[RecordedAttempt]:
        """What became of each attempt of the request, in a trace of its own that is linked to theirs."""
        if not attempts:
            return ()
        span = self._tracer.start(_SPAN, Kind.INTERNAL, None, links=_links(attempts))
        try:
            results = await self._ledger.record(request, _TIMEOUT, span.context)
            _check(attempts, results)
        except TollwayError as error:
            span.fail(error.reason, error.message)
            raise
        finally:
            span.end()
        return results


def _check(attempts: Sequence[Attempt], results: Sequence[RecordedAttempt]) -> None:
    """Raises TollwayError INTERNAL where the answer is not about what was sent: nothing may be removed for it."""
    answered = [result.attempt_id for result in results if result.outcome]
    if answered != [attempt.attempt_id for attempt in attempts]:
        raise TollwayError(Reason.INTERNAL, "The ledger answered something else than it was asked.")


def _links(attempts: Sequence[Attempt]) -> list[TraceContext]:
    sampled = [attempt for attempt in attempts if attempt.span_id]
    return [TraceContext(attempt.trace_id, attempt.span_id, True) for attempt in sampled[:_MOST_LINKS]]


def parse(entry: Entry) -> Attempt | None:
    """The attempt in an entry; None where it cannot be read."""
    try:
        return Attempt.FromString(entry.attempt)
    except DecodeError:
        return None
