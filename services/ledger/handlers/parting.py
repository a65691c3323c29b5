"""Parting a batch that cannot be booked as a whole, so that one attempt holds up no other."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

from mesh.mediator import Behavior, Next
from mesh.metrics import Metrics
from services.ledger.handlers.record_attempts import RecordAttempts
from services.ledger.ports import SumTooLarge
from tollway.ledger.v1.ledger_pb2 import RECORD_OUTCOME_REFUSED, RecordAttemptsResponse

_WHY = "cost_nanos: takes what its account or its day comes to beyond 2^63 - 1"
_log = logging.getLogger(__name__)


class Parting(Behavior):
    """Around a transaction: where a sum would be too large, books the halves of the batch, and refuses what is alone.

    Whose sum it is shows when it is tried, each part in a transaction of its own: batches that are well pay nothing for
    it. An account at its end costs a few transactions for each of its attempts, and has nine billion dollars in it.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    async def handle(self, message: RecordAttempts, next: Next) -> Any:
        try:
            return await next(message)
        except SumTooLarge:
            if len(message.attempts) == 1:
                return self._refuse(message)
        half = len(message.attempts) // 2
        answer = RecordAttemptsResponse()
        for attempts in (message.attempts[:half], message.attempts[half:]):
            answer.results.extend((await self.handle(replace(message, attempts=attempts), next)).results)
        return answer

    def _refuse(self, message: RecordAttempts) -> RecordAttemptsResponse:
        (attempt,) = message.attempts
        _log.warning("attempt %s of journal %s: %s", attempt.attempt_id, message.journal_id, _WHY)
        self._metrics.count("tollway.ledger.rows", 1, {"outcome": "refused"})
        answer = RecordAttemptsResponse()
        answer.results.add(attempt_id=attempt.attempt_id, outcome=RECORD_OUTCOME_REFUSED, message=_WHY)
        return answer
