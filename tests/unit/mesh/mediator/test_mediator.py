from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest

from mesh.mediator import Command, CompositionError, Event, Mediator, Query, StreamCommand, StreamQuery


@dataclass(frozen=True)
class Rename(Command[str]):
    name: str


@dataclass(frozen=True)
class Count(Query[int]):
    pass


@dataclass(frozen=True)
class Spell(StreamQuery[str]):
    word: str


@dataclass(frozen=True)
class Grow(StreamCommand[int]):
    pass


@dataclass(frozen=True)
class Renamed(Event):
    name: str


async def rename(message: Rename) -> str:
    return message.name.upper()


async def count(message: Count, *, known: int = 0) -> int:
    return known


async def spell(message: Spell) -> AsyncIterator[str]:
    for letter in message.word:
        yield letter


async def test_a_message_is_answered_by_its_one_handler() -> None:
    mediator = Mediator([(Rename, rename), (Count, partial(count, known=7))])
    assert await mediator.send(Rename("a")) == "A"
    assert await mediator.send(Count()) == 7


async def test_a_stream_is_answered_with_its_chunks() -> None:
    mediator = Mediator([(Spell, spell)])
    assert [letter async for letter in mediator.stream(Spell("abc"))] == ["a", "b", "c"]


async def test_a_chunk_is_passed_on_before_the_next_is_made() -> None:
    made: list[int] = []

    async def grow(message: Grow) -> AsyncIterator[int]:
        for number in range(3):
            made.append(number)
            yield number

    taken = []
    async for number in Mediator([(Grow, grow)]).stream(Grow()):
        taken.append(number)
        assert made == taken


async def test_closing_a_stream_closes_its_handler() -> None:
    closed = asyncio.Event()

    async def grow(message: Grow) -> AsyncIterator[int]:
        try:
            while True:
                yield 1
        finally:
            closed.set()

    stream: Any = Mediator([(Grow, grow)]).stream(Grow())
    async with aclosing(stream) as numbers:
        async for _ in numbers:
            break
    assert closed.is_set()


async def test_what_a_handler_raises_reaches_the_sender() -> None:
    async def fails(message: Rename) -> str:
        raise ValueError(message.name)

    with pytest.raises(ValueError, match="bad"):
        await Mediator([(Rename, fails)]).send(Rename("bad"))


def test_a_second_handler_is_refused_at_composition() -> None:
    with pytest.raises(CompositionError, match="Rename has a second handler"):
        Mediator([(Rename, rename), (Rename, rename)])
    with pytest.raises(CompositionError, match="Spell has a second handler"):
        Mediator([(Spell, spell), (Spell, spell)])


def test_a_missing_handler_is_refused_at_composition_by_name() -> None:
    with pytest.raises(CompositionError, match="no handler for Count, Spell"):
        Mediator([(Rename, rename)], expected=[Rename, Spell, Count])


def test_handling_something_that_is_no_message_is_refused() -> None:
    with pytest.raises(CompositionError, match="Renamed is neither a command nor a query"):
        Mediator([(Renamed, rename)])


async def test_an_event_runs_all_its_reactions_side_by_side() -> None:
    together = asyncio.Barrier(2)
    seen: list[str] = []

    async def react(name: str, event: Renamed) -> None:
        await together.wait()
        seen.append(f"{name} {event.name}")

    mediator = Mediator([], reactions=[(Renamed, partial(react, "one")), (Renamed, partial(react, "two"))])
    async with asyncio.timeout(1):
        await mediator.publish(Renamed("a"))
    assert sorted(seen) == ["one a", "two a"]


async def test_an_event_nobody_reacts_to_is_no_error() -> None:
    await Mediator([]).publish(Renamed("a"))


async def test_a_reaction_that_fails_does_not_keep_another_from_its_end() -> None:
    ended = asyncio.Event()

    async def fails(event: Renamed) -> None:
        raise ValueError("bad")

    async def works(event: Renamed) -> None:
        await asyncio.sleep(0)
        ended.set()

    mediator = Mediator([], reactions=[(Renamed, fails), (Renamed, works)])
    with pytest.raises(BaseExceptionGroup, match="reactions to Renamed failed") as raised:
        await mediator.publish(Renamed("a"))
    assert ended.is_set()
    assert [type(error) for error in raised.value.exceptions] == [ValueError]


async def test_cancelling_a_publish_cancels_its_reactions() -> None:
    started, cancelled = asyncio.Event(), asyncio.Event()

    async def waits(event: Renamed) -> None:
        started.set()
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    task = asyncio.create_task(Mediator([], reactions=[(Renamed, waits)]).publish(Renamed("a")))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert cancelled.is_set()
