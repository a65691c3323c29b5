"""What is wrapped around the ledger's handlers."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any, Protocol, cast, runtime_checkable

from mesh.errors import Reason, TollwayError
from mesh.mediator import Behavior, Command, Next, NextStream
from mesh.prices import unix_seconds
from services.ledger.domain.booking import needs_price
from services.ledger.handlers.learning import Learning
from services.ledger.handlers.record_attempts import RecordAttempts
from services.ledger.ports import Changes, Prices, Transactions

_log = logging.getLogger(__name__)


@runtime_checkable
class Checked(Protocol):
    """A message that can say that it asks for nothing sensible."""

    def check(self) -> None:
        """Raises TollwayError INVALID_REQUEST naming the field."""


class Validation(Behavior):
    """Refuses what is wrong before anything is locked or read for it."""

    async def handle(self, message: Checked, next: Next) -> Any:
        message.check()
        return await next(message)


class Logging(Behavior):
    """Says when the store fails: callers try again, and an operator must be able to see why."""

    async def handle(self, message: Any, next: Next) -> Any:
        try:
            return await next(message)
        except TollwayError as error:
            _note(message, error)
            raise

    async def handle_stream(self, message: Any, next: NextStream) -> AsyncIterator[Any]:
        try:
            async with aclosing(cast(AsyncGenerator[Any], next(message))) as chunks:
                async for chunk in chunks:
                    yield chunk
        except TollwayError as error:
            _note(message, error)
            raise


class Transaction(Behavior):
    """Makes a command one whole."""

    def __init__(self, store: Transactions) -> None:
        self._store = store

    async def handle(self, message: Any, next: Next) -> Any:
        async with self._store.transaction():
            return await next(message)


class Condition(Behavior):
    """Remembers whether what came last could be written: a ledger that cannot must show in health."""

    def __init__(self) -> None:
        self.serving = True

    async def handle(self, message: Any, next: Next) -> Any:
        try:
            answer = await next(message)
        except TollwayError as error:
            if error.reason is Reason.SERVICE_UNAVAILABLE:
                self.serving = False
            raise
        self.serving = True
        return answer


class Pricing(Behavior):
    """Has the catalogue asked about models of which attempts tell that nobody has priced, before anything is locked."""

    def __init__(self, prices: Prices, learning: Learning) -> None:
        self._prices, self._learning = prices, learning

    async def handle(self, message: RecordAttempts, next: Next) -> Any:
        if lacking := [attempt for attempt in message.attempts if needs_price(attempt)]:
            book = await self._prices.book()
            await self._learning.learn(
                {
                    (attempt.provider_name, attempt.model_used)
                    for attempt in lacking
                    if book.find(attempt.provider_name, attempt.model_used, unix_seconds(attempt.start_time)) is None
                }
            )
        return await next(message)


class Announcement(Behavior):
    """Tells those who watch, once what was done is there for them to read."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes

    async def handle(self, message: Any, next: Next) -> Any:
        answer = await next(message)
        self._changes.announce()
        return answer


def is_checked(message: Any) -> bool:
    return isinstance(message, Checked)


def is_command(message: Any) -> bool:
    return isinstance(message, Command)


def _note(message: Any, error: TollwayError) -> None:
    if error.reason is Reason.SERVICE_UNAVAILABLE:
        _log.warning("%s failed: %s", type(message).__name__, error.message)
