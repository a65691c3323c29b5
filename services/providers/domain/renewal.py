"""A secret that holds for a time: fetched once for however many calls, and anew before it runs out."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from mesh.clock import Clock
from mesh.errors import Reason, TollwayError

_log = logging.getLogger(__name__)

_EARLY = 0.1
"""The last part of a secret's life, in which a new one is fetched while the old one is still shown."""
_PAUSE = 5.0
"""Seconds in which nothing is fetched after a failure, while there is a secret that still holds; and in which one that
was just fetched is not fetched again, though it was refused: what is wrong is not its age."""


class Secret(NamedTuple):
    """What is shown, and for how many seconds from now it holds."""

    text: str
    seconds: float


class Renewal:
    """Keeps a secret. Not shown in its text form, nor in what it logs.

    One fetch serves every call that waits. It is a task of its own: a call that is cancelled leaves it to the others.
    While the secret still holds, no call waits for the next one, and a failure to fetch it is no call's.
    """

    def __init__(self, fetch: Callable[[], Awaitable[Secret]], clock: Clock, *, what: str) -> None:
        """`what` says in logs what is fetched. `fetch` raises TollwayError."""
        self._fetch, self._clock, self._what = fetch, clock, what
        self._text = ""
        self._began = self._early = self._until = self._pause = float("-inf")
        self._task: asyncio.Task[str] | None = None

    async def get(self) -> str:
        """The secret that holds now. Raises what fetching it raises."""
        now = self._clock.monotonic()
        if now < self._until:
            if now >= self._early and now >= self._pause and self._task is None:
                self._start()
            return self._text
        return await asyncio.shield(self._task or self._start())

    def refused(self) -> None:
        """The provider did not take it: the next call has a new one."""
        if self._clock.monotonic() >= self._began + _PAUSE:
            self._until = float("-inf")

    def _start(self) -> asyncio.Task[str]:
        self._task = asyncio.get_running_loop().create_task(self._renew())
        self._task.add_done_callback(self._ended)
        return self._task

    async def _renew(self) -> str:
        began = self._clock.monotonic()
        secret = await self._fetch()
        self._text, self._began, self._until = secret.text, began, began + secret.seconds
        self._early = self._until - secret.seconds * _EARLY
        return secret.text

    def _ended(self, task: asyncio.Task[str]) -> None:
        self._task = None
        if task.cancelled() or (error := task.exception()) is None:
            return
        now = self._clock.monotonic()
        self._pause = now + _PAUSE
        if now < self._until:  # else the calls that waited have the error
            why = error.message if isinstance(error, TollwayError) else type(error).__name__
            _log.warning("%s could not be renewed: %s", self._what, why)


def unavailable(why: str) -> TollwayError:
    """The error of a call that cannot show who pays. `why` quotes nothing that a secret could be in."""
    return TollwayError(Reason.UPSTREAM_CREDENTIALS, why)
