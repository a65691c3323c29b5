"""Two attempts side by side: the second is made when the first is slow, and the first that answers is the answer.

Where one fails meanwhile, the other is waited for. The one that loses is cancelled and accounted for before its rival's
answer goes on, so no task outlives the race.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import aclosing
from typing import Any, TypeVar

from mesh.errors import TollwayError
from services.router.handlers import calling
from services.router.handlers.attempt import AttemptRun
from services.router.handlers.conversing import Conversation
from services.router.ports import ProviderCalls
from tollway.chat.v1.chat_pb2 import ChatChunk, ChatResponse

T = TypeVar("T")
Opened = tuple[AsyncGenerator[ChatChunk, None], ChatChunk | None]


async def complete(providers: ProviderCalls, operation: Conversation, after: float) -> ChatResponse:
    """The whole answer that is here first; a second is asked for `after` seconds. Raises TollwayError."""
    return await _race(operation, after, lambda attempt: calling.complete(providers, attempt), _keep)


async def stream(providers: ProviderCalls, operation: Conversation, after: float) -> AsyncGenerator[ChatChunk, None]:
    """The answer whose first content is here first; a second is asked for `after` seconds. Raises TollwayError."""

    async def opened(attempt: AttemptRun) -> Opened:
        chunks = calling.stream(providers, attempt)
        return chunks, await anext(chunks, None)

    chunks, first = await _race(operation, after, opened, _close)
    async with aclosing(chunks):
        if first is not None:
            yield first
            async for chunk in chunks:
                yield chunk


async def _keep(answer: ChatResponse) -> None:
    """A whole answer that came second is over and paid for."""


async def _close(opened: Opened) -> None:
    await opened[0].aclose()


async def _race(
    operation: Conversation,
    after: float,
    begin: Callable[[AttemptRun], Coroutine[Any, Any, T]],
    give_up: Callable[[T], Awaitable[None]],
) -> T:
    """What the first attempt brings, or one beside it; `operation.attempt` is the one that did, or failed last."""
    # A task takes its first step before whoever made it can be cancelled, so the account of its attempt is always kept.
    running = {asyncio.create_task(begin(operation.attempt)): operation.attempt}
    try:
        if await _is_slow(operation, after, running):
            second = await operation.open_hedge()
            if second is not None:
                running[asyncio.create_task(begin(second))] = second
        while True:
            await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for task, attempt in list(running.items()):
                if not task.done():
                    continue
                failure = None if task.cancelled() else task.exception()
                if isinstance(failure, TollwayError) and len(running) > 1:
                    del running[task]
                    operation.pass_over(attempt, failure)
                    continue
                del running[task]
                operation.settle_on(attempt)
                for rival in running.values():
                    rival.lost = True
                return task.result()
    finally:
        await _end(operation, running, give_up)


async def _is_slow(operation: Conversation, after: float, running: dict[asyncio.Task[T], AttemptRun]) -> bool:
    """Whether there is no content after so many seconds."""
    (first,) = running
    try:
        async with operation.clock.timeout(after):
            await asyncio.wait(running)
    except TimeoutError:
        answer = operation.attempt.answer
        return not first.done() and (answer is None or not answer.begun)
    return False


async def _end(
    operation: Conversation, running: dict[asyncio.Task[T], AttemptRun], give_up: Callable[[T], Awaitable[None]]
) -> None:
    for task in running:
        task.cancel()
    for task, attempt in running.items():
        (ended,) = await asyncio.gather(task, return_exceptions=True)
        if not isinstance(ended, BaseException):  # it was as fast
            await give_up(ended)
        operation.add_cost(attempt)
