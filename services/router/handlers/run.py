"""An answer that is being given whoever listens: to whom asked first, and to everybody who asked the same again.

All that has been said is kept for those who come later, up to a size. Beyond it, an answer is for whom asked first
alone, who is waited for then as if there had been no key, and with whom it ends.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable

from mesh.errors import Reason, TollwayError
from services.router.domain.replay import Record, Response, kept, repeated, told

_UNREAD = 16
"""Responses that may wait for whom asked first, where they are kept for nobody else."""
_COSTS = 64
"""What a response costs beside its bytes, about."""

Wait = Callable[["asyncio.Future[None]"], Awaitable[None]]
"""Waits for something to happen, no longer than a reader wants."""


class Run:
    """A run under way. `name` is its key in the store, `record` what stands there; `most` bytes are kept."""

    def __init__(self, name: str, record: Record, most: int) -> None:
        self.name, self.record = name, record
        self.said: list[Response] = []
        """Everything so far, while it is kept."""
        self.kept = True
        self.ended = False
        self.failure: TollwayError | None = None
        self.readers = 0
        self._most, self._size = most, 0
        self._heard = 0
        """How much of it whom asked first has got."""
        self._rest: deque[Response] = deque()
        """What they have not, where nothing is kept any more."""
        self._left = False
        self._waiting: list[asyncio.Future[None]] = []

    # -- for whom gives the answer ---------------------------------------------------------------------------------

    def add(self, response: Response) -> None:
        """Something more has been said."""
        if self.kept:
            self.said.append(response)
            self._size += response.ByteSize() + _COSTS
            if self._size > self._most:
                self.kept = False
                self._rest.extend(self.said[self._heard :])
                self.said.clear()
        else:
            self._rest.append(response)
        self._wake()

    async def room(self) -> None:
        """Waits until whom asked first has read most of it. Raises TollwayError CANCELLED where they left before."""
        while not self._left and len(self._rest) >= _UNREAD:
            await self._change()
        if self._left and self._rest:
            raise TollwayError(Reason.CANCELLED, "Whoever asked has left, and the answer is too large to be kept.")

    def end(self, failure: TollwayError | None) -> None:
        """All has been said, or no more will be."""
        self.ended, self.failure = True, failure
        self._wake()

    # -- for whom it is given to -----------------------------------------------------------------------------------

    async def first(self) -> AsyncGenerator[Response, None]:
        """The answer, for whom asked first. Raises TollwayError."""
        self.readers += 1
        try:
            while True:
                while self._heard < len(self.said):
                    self._heard += 1
                    yield self.said[self._heard - 1]
                while self._rest:
                    response = self._rest.popleft()
                    self._wake()
                    yield response
                if self._heard >= len(self.said) and not self._rest:
                    if self.ended:
                        break
                    await self._change()
        finally:
            self.readers -= 1
            self._left = True
            self._wake()
        if self.failure is not None:
            raise self.failure

    async def again(self, wait: Wait) -> AsyncGenerator[Response, None]:
        """The answer from its beginning, for whoever asked again. Raises TollwayError."""
        self.readers += 1
        heard = 0
        try:
            while True:
                while heard < len(self.said):
                    heard += 1
                    yield repeated(self.said[heard - 1])
                if not self.kept:
                    raise too_large()
                if self.ended:
                    break
                await wait(self._changing())
        finally:
            self.readers -= 1
        if self.failure is not None:
            raise told(kept(self.failure))

    def _changing(self) -> asyncio.Future[None]:
        change: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(change)
        return change

    async def _change(self) -> None:
        await self._changing()

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for change in waiting:
            if not change.done():
                change.set_result(None)


def too_large() -> TollwayError:
    """What a repeat is told of an answer that is not kept."""
    return TollwayError(
        Reason.IDEMPOTENCY_CONFLICT,
        "The answer under this Idempotency-Key is larger than what is kept of one (idempotency.max_answer), and cannot "
        "be given again. To ask anew, use a new key.",
    )
