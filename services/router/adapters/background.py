"""Work that goes on beside requests, for as long as the router runs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from contextvars import Context
from typing import Any

log = logging.getLogger(__name__)


def start(name: str, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """Begins work that is not meant to end by itself; should it all the same, the log says so."""
    # In a context of its own: what a request starts is in nobody's trace.
    task = asyncio.get_running_loop().create_task(work, name=name, context=Context())
    task.add_done_callback(_tell)
    return task


async def end(task: asyncio.Task[None]) -> None:
    """Cancels the work and waits until it has come to its end."""
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def _tell(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.critical("%s ended, and goes on only in another process", task.get_name(), exc_info=error)
