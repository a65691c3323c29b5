"""Reading on for a while after the client left, where a provider bills for the whole answer anyway.

A read that is under way when its reader is cancelled would end the provider's call, so for such providers each read is
a task of its own, which outlives its reader and is handed to whoever reads on.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

from mesh.clock import Clock
from mesh.errors import TollwayError
from services.router.ports import CompletionStream
from tollway.providers.v1.providers_pb2 import StreamCompletionResponse

_MOST = 256


class Drains:
    """The answers that are being read on, at most `most` at a time."""

    def __init__(self, clock: Clock, most: int = _MOST) -> None:
        self._clock, self._most = clock, most
        self._tasks: set[asyncio.Task[None]] = set()

    def take_over(self, rest: Coroutine[Any, Any, None], seconds: float, settle: Callable[[], None]) -> bool:
        """Reads the rest in the background, for that long at most, and settles then. False where too many are read."""
        if len(self._tasks) >= self._most:
            rest.close()
            return False
        task = asyncio.get_running_loop().create_task(self._read(rest, seconds, settle))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    async def _read(self, rest: Coroutine[Any, Any, None], seconds: float, settle: Callable[[], None]) -> None:
        try:
            async with self._clock.timeout(seconds):
                await rest
        except (TimeoutError, TollwayError):
            pass  # nobody is waiting for the answer; what is known of it by now is what gets settled
        finally:
            settle()

    async def close(self) -> None:
        """Ends them all, as if their time were up."""
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Outliving:
    """A stream whose reads outlive their readers."""

    def __init__(self, stream: CompletionStream) -> None:
        self._stream = stream
        self._reading: asyncio.Task[StreamCompletionResponse | None] | None = None

    def __aiter__(self) -> AsyncIterator[StreamCompletionResponse]:
        return self

    async def __anext__(self) -> StreamCompletionResponse:
        if self._reading is None:
            self._reading = asyncio.get_running_loop().create_task(self._read())
        response = await asyncio.shield(self._reading)
        self._reading = None
        if response is None:
            raise StopAsyncIteration
        return response

    async def _read(self) -> StreamCompletionResponse | None:
        return await anext(aiter(self._stream), None)

    def cancel(self) -> None:
        self._stream.cancel()
        if self._reading is not None:
            self._reading.cancel()
