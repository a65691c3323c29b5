"""Ending the calls that would never end by themselves, so that a server can."""

from __future__ import annotations

import asyncio
import re
from functools import partial
from typing import Any

from mesh.channels.inprocess.context import InProcessContext
from mesh.interceptors.around import AroundCalls, Context, OnStart

_WATCH = re.compile(r"/[^/]+/Watch[A-Z]")
"""RPCs of the form WatchThings send what changes for as long as someone listens (Health's `Watch` ends by itself)."""


class Draining(AroundCalls):
    """Knows the calls that run. Once draining, watches end with OK, and a new one ends at once.

    Of calls inside the process it knows the watches alone: the in-process server knows what it runs itself.
    """

    def __init__(self) -> None:
        self._running: set[asyncio.Task[Any]] = set()
        self._watches: set[asyncio.Task[Any]] = set()
        self.begun = False

    def around(self, method: str) -> OnStart:
        if _WATCH.match(method):
            return partial(_Running, self, (self._running, self._watches))
        return self._enter

    def _enter(self, context: Context) -> _Running | None:
        return None if isinstance(context, InProcessContext) else _Running(self, (self._running,), context)

    def begin(self) -> None:
        """Ends the watches."""
        self.begun = True
        for task in self._watches:
            task.cancel()

    async def settled(self, seconds: float) -> None:
        """Waits for the handlers that run to come to their end, at most that long."""
        if self._running:
            await asyncio.wait(self._running, timeout=seconds)


class _Running:
    __slots__ = ("_draining", "_sets", "_task")

    def __init__(self, draining: Draining, sets: tuple[set[asyncio.Task[Any]], ...], context: Context) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._draining, self._sets, self._task = draining, sets, task
        for each in sets:
            each.add(task)
        if self._is_watch and draining.begun:
            task.cancel()

    @property
    def _is_watch(self) -> bool:
        return len(self._sets) == 2

    def on_end(self) -> None:
        for each in self._sets:
            each.discard(self._task)

    async def on_error(self, error: BaseException, context: Context) -> bool:
        self.on_end()
        ended = self._is_watch and self._draining.begun and isinstance(error, asyncio.CancelledError)
        return ended and self._task.uncancel() == 0  # unless its caller has cancelled it as well
