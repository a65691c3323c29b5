"""The mediator: finds, for a message, what was composed for it."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from typing import Any, TypeVar, overload

from mesh.mediator.messages import Command, Event, Query, StreamCommand, StreamQuery
from mesh.mediator.pipeline import Behavior, Next, wrap, wrap_stream

R = TypeVar("R")
C = TypeVar("C")


class CompositionError(Exception):
    """A message has no handler, or two, or one of the wrong kind. Raised at bootstrap, never later."""


class Mediator:
    """Sends each message to its one handler, and each event to all its reactions.

    `handlers` and `reactions` pair a message type with a callable that takes the message alone (dependencies are bound
    with `functools.partial`). `behaviors` are wrapped around every handler, the first outermost. `expected` are the
    message types that must have a handler (`messages_in`).
    """

    def __init__(
        self,
        handlers: Iterable[tuple[type, Callable[[Any], Any]]],
        *,
        reactions: Iterable[tuple[type[Event], Callable[[Any], Awaitable[None]]]] = (),
        behaviors: Sequence[Behavior] = (),
        expected: Iterable[type] = (),
    ) -> None:
        self._send: dict[type, Next] = {}
        self._stream: dict[type, Callable[[Any], Any]] = {}
        self._reactions: dict[type, list[Callable[[Any], Awaitable[None]]]] = defaultdict(list)
        for kind, handler in handlers:
            if kind in self._send or kind in self._stream:
                raise CompositionError(f"{kind.__name__} has a second handler")
            if issubclass(kind, (StreamCommand, StreamQuery)):
                self._stream[kind] = wrap_stream(handler, behaviors)
            elif issubclass(kind, (Command, Query)):
                self._send[kind] = wrap(handler, behaviors)
            else:
                raise CompositionError(f"{kind.__name__} is neither a command nor a query")
        for event, reaction in reactions:
            self._reactions[event].append(reaction)
        missing = [kind.__name__ for kind in expected if kind not in self._send and kind not in self._stream]
        if missing:
            raise CompositionError(f"no handler for {', '.join(sorted(missing))}")

    @overload
    def send(self, message: Command[R]) -> Awaitable[R]: ...
    @overload
    def send(self, message: Query[R]) -> Awaitable[R]: ...
    def send(self, message: Any) -> Awaitable[Any]:
        """The handler's answer."""
        return self._send[type(message)](message)

    @overload
    def stream(self, message: StreamCommand[C]) -> AsyncGenerator[C, None]: ...
    @overload
    def stream(self, message: StreamQuery[C]) -> AsyncGenerator[C, None]: ...
    def stream(self, message: Any) -> AsyncGenerator[Any, None]:
        """The handler's chunks, each as it is made. Consume inside `contextlib.aclosing`."""
        chunks: AsyncGenerator[Any, None] = self._stream[type(message)](message)
        return chunks

    async def publish(self, event: Event) -> None:
        """Runs every reaction, side by side, and waits for all.

        Each runs to its end whatever the others did. Raises BaseExceptionGroup of what they raised.
        """
        reactions = self._reactions.get(type(event), ())
        outcomes = await asyncio.gather(*(reaction(event) for reaction in reactions), return_exceptions=True)
        if raised := [outcome for outcome in outcomes if outcome is not None]:
            raise BaseExceptionGroup(f"reactions to {type(event).__name__} failed", raised)
