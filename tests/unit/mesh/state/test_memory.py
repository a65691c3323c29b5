from __future__ import annotations

import pytest

from mesh.clock import VirtualClock
from mesh.state.memory import MemoryStore
from mesh.state.store import Draw, Rate, Slot

DRAW = Draw("requests", Rate(4, 60.0))
SLOT = Slot("running", 1, 10.0)


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def store(clock: VirtualClock) -> MemoryStore:
    return MemoryStore(clock)


async def test_a_record_is_there_until_it_lapses(store: MemoryStore, clock: VirtualClock) -> None:
    assert await store.add("a", b"1", 10.0)
    assert not await store.add("a", b"2", 10.0)
    assert await store.scan("") == {"a": b"1"}
    await clock.advance(10)
    assert await store.get("a") is None
    assert await store.add("a", b"2", 10.0)
    assert not await store.swap("a", b"1", b"3", 10.0)
    assert await store.swap("a", b"2", b"3", 10.0)
    await store.put("b", b"4", 5.0)
    await store.delete("a")
    assert await store.scan("") == {"b": b"4"}


async def test_a_log_grows_and_lapses_after_its_last_piece(store: MemoryStore, clock: VirtualClock) -> None:
    await store.append("a", [b"1", b"2"], 10.0)
    await clock.advance(6)
    await store.append("a", [b"3"], 10.0)
    await clock.advance(6)
    assert list(await store.pieces("a", 1)) == [b"2", b"3"]
    assert list(await store.pieces("a", 3)) == list(await store.pieces("b", 0)) == []
    await clock.advance(4)
    assert list(await store.pieces("a", 0)) == []
    await store.append("a", [b"4"], 10.0)
    assert list(await store.pieces("a", 0)) == [b"4"]
    await store.delete("a")
    assert list(await store.pieces("a", 0)) == []


async def test_what_lapsed_does_not_pile_up(store: MemoryStore, clock: VirtualClock) -> None:
    for number in range(100):
        await store.put(f"old-{number}", b"", 1.0)
    await clock.advance(1)
    for number in range(100):
        await store.put(f"new-{number}", b"", 1.0)
    assert len(store._records) == 100


async def test_a_rate_lets_through_what_it_has_and_says_when_more_is_there(
    store: MemoryStore, clock: VirtualClock
) -> None:
    decisions = [await store.admit([DRAW], [], "x") for _ in range(5)]
    assert [decision.allowed for decision in decisions] == [True] * 4 + [False]
    assert (decisions[-1].refused, decisions[-1].retry_after) == ("requests", 15.0)
    assert [decision.left[0].remaining for decision in decisions] == [3, 2, 1, 0, 0]
    await clock.advance(15)
    assert (await store.admit([DRAW], [], "x")).allowed
    await store.adjust([Draw("requests", DRAW.rate, -1)])
    assert (await store.admit([DRAW], [], "x")).allowed


async def test_places_are_held_until_they_are_given_back_or_their_lease_is_over(
    store: MemoryStore, clock: VirtualClock
) -> None:
    assert (await store.admit([], [SLOT], "x")).allowed
    refused = await store.admit([DRAW], [SLOT], "y")
    assert (refused.refused, refused.retry_after, refused.left[0].remaining) == ("running", None, 4)
    await store.release([SLOT], "x")
    assert (await store.admit([], [SLOT], "y")).allowed
    await clock.advance(10)
    assert (await store.admit([], [SLOT], "x")).allowed
    await store.close()
