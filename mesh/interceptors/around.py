"""Doing something around calls, written once and adapted to the four shapes of a handler."""

from __future__ import annotations

import inspect
from abc import abstractmethod
from collections.abc import Callable
from typing import Any, Protocol
from weakref import WeakKeyDictionary

import grpc

from mesh.interceptors.method import Behaviour, Handler, MethodInterceptor, behaviour_of, with_behaviour
from mesh.interceptors.reading import UNREADABLE, reading, unreadable
from mesh.interceptors.writing import write_all

Context = grpc.aio.ServicerContext[Any, Any]


class Started(Protocol):
    """What was begun when a call started, and waits for its end."""

    def on_end(self) -> None:
        """The handler came to its end (under a code of its own choice, perhaps)."""

    async def on_error(self, error: BaseException, context: Context) -> bool:
        """The handler, or an interceptor inside this one, raised. True: that is no error, and the call ends well.

        Raising something else puts that in the error's place.
        """


OnStart = Callable[[Context], Started | None]
"""Begins something with a call. None: its end does not matter."""

_layers: WeakKeyDictionary[Behaviour, tuple[tuple[OnStart, ...], Behaviour]] = WeakKeyDictionary()
"""What stands around what, for the behaviours made here: one more layer joins those, and costs no coroutine."""


class AroundCalls(MethodInterceptor):
    """Does something at the start and at the end of each call.

    A handler that yields becomes one that writes, so that the generator is closed before the call has ended, and no
    message goes through a generator of each interceptor. A call whose request cannot be read ends here, inside whatever
    is around it and outside its handler.
    """

    @abstractmethod
    def around(self, method: str) -> OnStart | None:
        """What to call when a call of the method starts. None: nothing."""

    def wrap(self, method: str, handler: Handler) -> Handler:
        on_start = self.around(method)
        if on_start is None:
            return handler
        behaviour = behaviour_of(handler)
        inner = _writing(behaviour) if inspect.isasyncgenfunction(behaviour) else behaviour
        layers, innermost = _layers.get(inner, ((), inner))
        readable = handler if layers else reading(handler)
        return with_behaviour(readable, _around((on_start, *layers), innermost))


def _around(layers: tuple[OnStart, ...], behaviour: Behaviour) -> Behaviour:
    """The behaviour inside the layers, the first outermost."""

    async def serve(request: Any, context: Context) -> Any:
        running: list[Started] = []
        try:
            for on_start in layers:
                started = on_start(context)
                if started is not None:
                    running.append(started)
            if request is UNREADABLE:
                raise unreadable()
            response = await behaviour(request, context)
        except BaseException as error:
            if await _unwind(running, error, context):
                return None
            raise
        while running:
            running.pop().on_end()
        return response

    _layers[serve] = layers, behaviour
    return serve


async def _unwind(running: list[Started], error: BaseException, context: Context) -> bool:
    """Tells each what came out of what is inside it: True if the call ends well, False if with `error` itself.

    Raises what one of them put in its place.
    """
    raised = error
    while running:
        try:
            if await running.pop().on_error(raised, context):
                while running:
                    running.pop().on_end()
                return True
        except BaseException as another:  # noqa: BLE001 - it is raised once all know of it
            raised = another
    if raised is error:
        return False
    try:
        raise raised
    finally:
        del raised  # it holds this frame


def _writing(behaviour: Behaviour) -> Behaviour:
    async def serve(request: Any, context: Context) -> None:
        await write_all(behaviour(request, context), context)

    return serve
