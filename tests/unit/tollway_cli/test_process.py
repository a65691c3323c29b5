"""What a process of ours does with its event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import uvloop

from tollway_cli.process import _spare_the_loop


def test_an_answer_that_is_dropped_half_read_is_still_closed() -> None:
    closed = asyncio.Event()

    async def answer() -> AsyncGenerator[int, None]:
        try:
            yield 1
            yield 2
        finally:
            await asyncio.sleep(0)  # what is closed by a plain `close` comes to an end here
            closed.set()

    async def drop_one() -> None:
        _spare_the_loop()
        async for _ in answer():
            break
        async with asyncio.timeout(5):
            await closed.wait()

    uvloop.run(drop_one())
