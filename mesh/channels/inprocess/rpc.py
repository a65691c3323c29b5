"""What the two sides of an in-process call share: its metadata, its messages, and how it ended."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import grpc

from mesh.channels.inprocess.pipe import Pipe

Metadata = tuple[tuple[str, str | bytes], ...]


class Rpc:
    """One call.

    It runs until somebody ends it, and the first ending counts: the handler (`end`), or the caller, the deadline, the
    channel or the server (`break_off`), who do not wait for the handler to notice. While it runs, the server keeps it
    alive, and never the caller.
    """

    # Most calls set few of these, so they are defaults of the class rather than of each call.
    metadata: Metadata = ()
    code: grpc.StatusCode | None = None
    details = ""
    initial: Metadata = ()
    started = False
    trailing: Metadata = ()
    cancelled_here = False
    deadline: float | None = None
    response: Any = None
    requests: Pipe | None = None
    responses: Pipe | None = None
    task: asyncio.Task[None] | None = None
    _timer: asyncio.TimerHandle | None = None
    _waiters: list[asyncio.Future[None]] | None = None
    _callbacks: list[Callable[[], object]] | None = None

    def __init__(self, loop: asyncio.AbstractEventLoop, channel: object, method: str) -> None:
        self.loop = loop
        self.channel = channel
        self.method = method

    def expire_after(self, seconds: float) -> None:
        """Sets the deadline."""
        self.deadline = self.loop.time() + seconds
        if seconds > 0:
            self._timer = self.loop.call_later(seconds, self._expire)
        else:
            self._expire()

    def _expire(self) -> None:
        self.break_off(grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded")

    def start(self, initial: Metadata = ()) -> None:
        """Sends initial metadata. Once."""
        self.started = True
        self.initial = initial
        if self._waiters is not None:
            self._wake()

    def end(self, code: grpc.StatusCode, details: str = "", trailing: Metadata = ()) -> None:
        """The handler's ending: the caller may still read the messages that were written."""
        if self.code is not None:
            return
        self.code = code
        self.details = details
        self.trailing = trailing
        if self._timer is not None:
            self._timer.cancel()
        if self.requests is not None:
            self.requests.discard()
        if self.responses is not None:
            self.responses.close()
        if self._callbacks is not None:
            for callback in self._callbacks:
                self.loop.call_soon(callback)
            self._callbacks = None
        if self._waiters is not None:
            self._wake()

    def break_off(self, code: grpc.StatusCode, details: str) -> bool:
        """Ends the call over the handler's head, and cancels it. False: it had ended."""
        if self.code is not None:
            return False
        self.end(code, details)
        if self.responses is not None:
            self.responses.discard()
        if self.task is not None:
            self.task.cancel()
        return True

    def cancel(self, details: str) -> bool:
        """The caller's own cancellation, which it sees as CancelledError."""
        if self.code is not None:
            return False
        self.cancelled_here = True
        return self.break_off(grpc.StatusCode.CANCELLED, details)

    def when_ended(self, callback: Callable[[], object]) -> None:
        """Has the callback called once the call has ended."""
        if self.code is not None:
            self.loop.call_soon(callback)
        elif self._callbacks is None:
            self._callbacks = [callback]
        else:
            self._callbacks.append(callback)

    def change(self) -> asyncio.Future[None]:
        """Done when the call starts to answer, or ends."""
        waiter: asyncio.Future[None] = self.loop.create_future()
        if self._waiters is None:
            self._waiters = [waiter]
        else:
            self._waiters.append(waiter)
        return waiter

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, None
        for waiter in waiters or ():
            if not waiter.done():
                waiter.set_result(None)

    def time_remaining(self) -> float | None:
        """Seconds until the deadline. None: there is none."""
        return None if self.deadline is None else max(self.deadline - self.loop.time(), 0.0)
