from __future__ import annotations

from mesh.clock import VirtualClock
from mesh.state.memory import MemoryStore
from mesh.state.store import Draw, Rate, Slot


async def test_what_has_lapsed_does_not_pile_up() -> None:
    clock = VirtualClock()
    store = MemoryStore(clock)
    for number in range(3000):
        key = str(number)
        await store.admit([Draw(key, Rate(10, 1.0))], [Slot(key, 1, 1.0)], "h")
        await store.put(key, b"", 1.0)
        await store.append(key, [b""], 1.0)
        clock._now += 0.01
    # One draw of ten is there again after 0.1 s, ten later; the others after a second, a hundred later.
    assert len(store._rates) <= 2 * 10 + 2
    assert len(store._holders) <= 2 * 100 + 2
    assert len(store._records) <= 2 * 100 + 2
    assert len(store._logs) <= 2 * 100 + 2


async def test_places_given_back_leave_nothing() -> None:
    store = MemoryStore(VirtualClock())
    slot = Slot("s", 1, 60.0)
    await store.admit([], [slot], "h")
    await store.settle([], [slot], "h")
    assert not len(store._holders)
