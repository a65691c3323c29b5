from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import pytest

from mesh.mediator import Behavior, Command, Mediator, Next, NextStream, StreamCommand, when
from mesh.mediator.pipeline import wrap, wrap_stream


@dataclass(frozen=True)
class Say(Command[str]):
    word: str


@dataclass(frozen=True)
class Chant(StreamCommand[str]):
    word: str


async def say(message: Say) -> str:
    return message.word


async def chant(message: Chant) -> AsyncIterator[str]:
    for letter in message.word:
        yield letter


class Around(Behavior):
    """Puts marks around answers and chunks, and notes the order it runs in."""

    def __init__(self, mark: str, order: list[str]) -> None:
        self._mark, self._order = mark, order

    async def handle(self, message: Any, next: Next) -> Any:
        self._order.append(f"before {self._mark}")
        try:
            return f"{self._mark}{await next(message)}{self._mark}"
        finally:
            self._order.append(f"after {self._mark}")

    async def handle_stream(self, message: Any, next: NextStream) -> AsyncIterator[Any]:
        self._order.append(f"before {self._mark}")
        try:
            stream: Any = next(message)
            async with aclosing(stream) as chunks:
                async for chunk in chunks:
                    yield f"{self._mark}{chunk}{self._mark}"
        finally:
            self._order.append(f"after {self._mark}")


def composed(*behaviors: Behavior) -> Mediator:
    return Mediator([(Say, say), (Chant, chant)], behaviors=behaviors)


async def test_the_first_behavior_is_outermost_in_both_shapes() -> None:
    order: list[str] = []
    mediator = composed(Around("1", order), Around("2", order))
    nested = ["before 1", "before 2", "after 2", "after 1"]
    assert await mediator.send(Say("a")) == "12a21"
    assert order == nested
    order.clear()
    assert [chunk async for chunk in mediator.stream(Chant("ab"))] == ["12a21", "12b21"]
    assert order == nested


async def test_a_behavior_sees_what_the_handler_raises() -> None:
    class Translate(Behavior):
        async def handle(self, message: Any, next: Next) -> Any:
            try:
                return await next(message)
            except KeyError:
                return "translated"

    async def fails(message: Say) -> str:
        raise KeyError(message.word)

    assert await Mediator([(Say, fails)], behaviors=[Translate()]).send(Say("a")) == "translated"


async def test_a_behavior_may_change_the_message_or_answer_itself() -> None:
    class Shout(Behavior):
        async def handle(self, message: Any, next: Next) -> Any:
            return "cached" if message.word == "known" else await next(Say(message.word.upper()))

    mediator = composed(Shout())
    assert await mediator.send(Say("a")) == "A"
    assert await mediator.send(Say("known")) == "cached"


def test_a_behavior_that_overrides_nothing_costs_nothing() -> None:
    assert wrap(say, [Behavior()]) is say
    assert wrap_stream(chant, [Behavior()]) is chant


async def test_a_behavior_of_one_shape_leaves_the_other_alone() -> None:
    class OnlyUnary(Behavior):
        async def handle(self, message: Any, next: Next) -> Any:
            return "handled"

    mediator = composed(OnlyUnary())
    assert await mediator.send(Say("a")) == "handled"
    assert [chunk async for chunk in mediator.stream(Chant("a"))] == ["a"]


async def test_a_conditional_behavior_holds_for_the_messages_it_is_meant_for() -> None:
    order: list[str] = []
    mediator = composed(when(lambda message: message.word == "a", Around("*", order)))
    assert await mediator.send(Say("a")) == "*a*"
    assert await mediator.send(Say("b")) == "b"
    assert [chunk async for chunk in mediator.stream(Chant("a"))] == ["*a*"]
    assert [chunk async for chunk in mediator.stream(Chant("b"))] == ["b"]
    assert order == ["before *", "after *"] * 2


async def test_a_stream_inside_behaviors_is_not_buffered() -> None:
    made: list[str] = []

    async def makes(message: Chant) -> AsyncIterator[str]:
        for letter in message.word:
            made.append(letter)
            yield letter

    order: list[str] = []
    mediator = Mediator([(Chant, makes)], behaviors=[Around("", order), when(lambda _: True, Around("", order))])
    taken = []
    async for chunk in mediator.stream(Chant("abc")):
        taken.append(chunk)
        assert made == taken


@pytest.mark.parametrize("leave", ["close", "cancel"])
async def test_leaving_a_stream_unwinds_every_behavior(leave: str) -> None:
    order: list[str] = []
    waiting = asyncio.Event()

    async def waits(message: Chant) -> AsyncIterator[str]:
        try:
            yield "first"
            waiting.set()
            await asyncio.sleep(30)
        finally:
            order.append("handler")

    stream: Any = Mediator([(Chant, waits)], behaviors=[Around("1", order), Around("2", order)]).stream(Chant(""))

    async def read() -> None:
        async with aclosing(stream) as chunks:
            async for _ in chunks:
                if leave == "close":
                    return

    task = asyncio.create_task(read())
    if leave == "cancel":
        await waiting.wait()
        task.cancel()
    await asyncio.wait((task,))
    assert order == ["before 1", "before 2", "handler", "after 2", "after 1"]
