"""Behaviors: what is wrapped around every handler, and how the wrapping is done."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

Next = Callable[[Any], Awaitable[Any]]
NextStream = Callable[[Any], AsyncIterator[Any]]


class Behavior:
    """Something done around handlers, in both shapes; what is not overridden passes through at no cost.

    `handle` is a coroutine that awaits `next(message)` for the answer, or, where nothing is left to do once the message
    was looked at, a function that hands on `next(message)` and adds no frame to it. `handle_stream` is an async
    generator, or returns an async iterator, over `next(message)`; it must not buffer, and closes what it iterates
    (`contextlib.aclosing`).
    """

    def handle(self, message: Any, next: Next) -> Awaitable[Any]:
        return next(message)

    def handle_stream(self, message: Any, next: NextStream) -> AsyncIterator[Any]:
        return next(message)


def when(condition: Callable[[Any], bool], behavior: Behavior) -> Behavior:
    """The behavior, for the messages the condition holds for; the others pass it by."""
    return _When(condition, behavior)


class _When(Behavior):
    def __init__(self, condition: Callable[[Any], bool], behavior: Behavior) -> None:
        self._condition, self._behavior = condition, behavior

    def handle(self, message: Any, next: Next) -> Awaitable[Any]:
        return self._behavior.handle(message, next) if self._condition(message) else next(message)

    def handle_stream(self, message: Any, next: NextStream) -> AsyncIterator[Any]:
        if self._condition(message):
            return self._behavior.handle_stream(message, next)
        return next(message)


def wrap(handler: Next, behaviors: Sequence[Behavior]) -> Next:
    """The handler inside the behaviors, the first of them outermost."""
    for behavior in reversed(behaviors):
        if isinstance(behavior, _When) or type(behavior).handle is not Behavior.handle:
            handler = _around(behavior.handle, handler)
    return handler


def wrap_stream(handler: NextStream, behaviors: Sequence[Behavior]) -> NextStream:
    """As `wrap`, for handlers that are async generators."""
    for behavior in reversed(behaviors):
        if isinstance(behavior, _When) or type(behavior).handle_stream is not Behavior.handle_stream:
            handler = _around(behavior.handle_stream, handler)
    return handler


def _around(outer: Callable[[Any, Any], Any], inner: Callable[[Any], Any]) -> Callable[[Any], Any]:
    # A plain function: it hands on the coroutine or iterator and adds no frame of its own to it.
    return lambda message: outer(message, inner)
