"""Sending journalled attempts to the ledger, and acting on its answer to each."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from google.protobuf.message import DecodeError

from mesh.clock import Clock
from mesh.errors import Reason, TollwayError
from mesh.tracing import Kind, TraceContext, Tracer
from services.router.adapters.journal_file import BATCH, Entry, JournalFile, is_full_of_bytes
from services.router.ports import LedgerClient
from tollway.ledger.v1.ledger_pb2 import Attempt, RecordAttemptsRequest, RecordedAttempt, RecordOutcome

log = logging.getLogger(__name__)

_TIMEOUT = 10.0
_MOST_LINKS = 128
_SPAN = "tollway.ledger.v1.LedgerService/RecordAttempts"


class Recorder:
    """Records attempts. Raises TollwayError where the ledger does not answer, sqlite3.Error where a file fails."""

    def __init__(self, ledger: LedgerClient, clock: Clock, tracer: Tracer) -> None:
        self._ledger, self._clock, self._tracer = ledger, clock, tracer
        self.unbooked: set[str] = set()
        """Leases of attempts that the ledger refused: it does not know all that was spent of them."""

    async def record_ended(self, file: JournalFile, *, all_of_it: bool = True) -> int:
        """Sends what has ended until nothing of it is left in the file; how many attempts that were.

        Without `all_of_it` it stops where what is left would not fill a batch: under load the file is never empty, and
        many small batches cost the ledger more than one that waits to be full.
        """
        total = 0
        while entries := file.ended():
            await self.record_and_remove(file, [(entry, parse(entry)) for entry in entries])
            total += len(entries)
            if not all_of_it and file.pending < BATCH and not is_full_of_bytes(entries):
                break
            await asyncio.sleep(0)  # whoever waits for an answer goes first
        return total

    async def record_and_remove(self, file: JournalFile, batch: Sequence[tuple[Entry, Attempt | None]]) -> None:
        """Sends a batch and removes it from the file: what the ledger has, and, as dead letters, what it refuses."""
        dead = [(entry, "cannot be read") for entry, attempt in batch if attempt is None]
        sent = [(entry, attempt) for entry, attempt in batch if attempt is not None]
        recorded: list[Entry] = []
        results = await self.record(file.id, [attempt for _, attempt in sent])
        for (entry, attempt), result in zip(sent, results, strict=True):
            if result.outcome == RecordOutcome.RECORD_OUTCOME_REFUSED:
                dead.append((entry, result.message))
                self.unbooked.update(attempt.lease_ids)
            else:
                recorded.append(entry)
        for entry, message in dead:
            log.error("The ledger refuses attempt %s of journal %s: %s", entry.number, file.id, message)
        file.remove(recorded, dead, self._clock.time())

    async def record(self, journal_id: str, attempts: Sequence[Attempt]) -> Sequence[RecordedAttempt]:
        """What became of each attempt, in a trace of its own that is linked to theirs."""
        if not attempts:
            return ()
        span = self._tracer.start(_SPAN, Kind.INTERNAL, None, links=_links(attempts))
        try:
            request = RecordAttemptsRequest(attempts=attempts, journal_id=journal_id)
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
