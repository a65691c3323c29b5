"""A bounded stream of messages from one task to another."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

import grpc

_HIGH, _LOW = 16, 8
"""A writer waits when so many messages are unread, until no more than so many are: fewer switches between tasks."""


class Pipe:
    """Messages in order, from a writer to a reader."""

    __slots__ = ("_closed", "_loop", "_reader", "_writer", "messages")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._closed = False
        self._reader: asyncio.Future[None] | None = None
        self._writer: asyncio.Future[None] | None = None
        self.messages: deque[Any] = deque()

    def put(self, message: Any) -> bool:
        """Takes a message, and says whether there is room for another. Where there is not, wait for `room` first."""
        self.messages.append(message)
        reader = self._reader
        if reader is not None:
            self._reader = None
            if not reader.done():
                reader.set_result(None)
        return len(self.messages) < _HIGH

    async def room(self) -> None:
        """Waits until the reader has caught up, or the pipe is closed."""
        while len(self.messages) >= _HIGH and not self._closed:
            if self._writer is not None and not self._writer.done():
                raise grpc.aio.InternalError("Another task is writing to this call.")  # as gRPC itself
            self._writer = self._loop.create_future()
            await self._writer

    async def ready(self) -> bool:
        """Waits until there is a message to `take`; False: there will be none."""
        while not self.messages:
            if self._closed:
                return False
            if self._reader is not None and not self._reader.done():
                await asyncio.wait((self._reader,))  # after whoever waits already
            else:
                self._reader = self._loop.create_future()
                await self._reader
        return True

    def take(self) -> Any:
        """The next message. Only where `messages` has one."""
        message = self.messages.popleft()
        if self._writer is not None and len(self.messages) <= _LOW:
            self._wake_writer()
        return message

    def close(self) -> None:
        """No more messages will come; those that are here may still be taken."""
        self._closed = True
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)
        self._wake_writer()

    def discard(self) -> None:
        """Closes the pipe and drops what was not taken."""
        self.messages.clear()
        self.close()

    def _wake_writer(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None and not writer.done():
            writer.set_result(None)
