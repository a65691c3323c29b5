from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import nullcontext
from dataclasses import dataclass, field

import pytest

from mesh.clock import VirtualClock
from mesh.errors import Reason, TollwayError
from mesh.metrics import Labels
from mesh.state.lost import ASK_AGAIN, GuardedStore
from mesh.state.replicas import BEAT_EVERY, SECOND_BEAT, Replicas
from mesh.state.store import Draw, Rate, Slot
from tests.unit.mesh.state.scripted_store import ScriptedStore

DAY = 86_400.0


class Gauge:
    """Sees what is measured."""

    def __init__(self) -> None:
        self.values: list[float] = []

    def gauge(self, name: str, value: float, labels: Labels) -> None:
        assert name == "tollway.state.lost"
        self.values.append(value)

    def count(self, name: str, value: int, labels: Labels) -> None:
        raise AssertionError(name)

    def record(self, name: str, value: float, labels: Labels) -> None:
        raise AssertionError(name)


@dataclass
class Town:
    """Replicas around one store."""

    clock: VirtualClock = field(default_factory=VirtualClock)
    gauge: Gauge = field(default_factory=Gauge)

    def __post_init__(self) -> None:
        self.store = ScriptedStore(self.clock)
        self.replicas: list[GuardedStore] = []

    async def replica(self, *, local: bool = True) -> GuardedStore:
        own = Replicas(self.store, f"r{len(self.replicas)}", self.clock)
        replica = GuardedStore(self.store, own, local=local, clock=self.clock, metrics=self.gauge)
        self.replicas.append(replica)
        await replica.start()
        return replica

    async def lose(self) -> None:
        """The store goes, and each replica notices."""
        self.store.down = True
        for replica in self.replicas:
            with pytest.raises(TollwayError) if not replica._local else nullcontext():
                await replica.get("anything")

    async def find(self) -> None:
        self.store.down = False
        await self.clock.advance(ASK_AGAIN)


@pytest.fixture
async def town() -> AsyncIterator[Town]:
    town = Town()
    yield town
    for replica in town.replicas:
        await replica.close()


async def let_through(store: GuardedStore, draw: Draw, asked: int = 200) -> int:
    return sum([(await store.admit([draw], [], "h")).allowed for _ in range(asked)])


async def test_while_the_store_is_there_it_decides(town: Town) -> None:
    one, two = await town.replica(), await town.replica()
    draw = Draw("a", Rate(100, DAY))
    assert await let_through(one, draw, 60) + await let_through(two, draw, 60) == 100
    assert not one.lost
    assert town.gauge.values == [0, 0]


async def test_when_it_is_lost_each_replica_has_its_share(town: Town) -> None:
    replicas = [await town.replica() for _ in range(4)]
    await town.clock.advance(BEAT_EVERY)
    await town.lose()
    assert [replica.lost for replica in replicas] == [True] * 4
    assert [await let_through(replica, Draw("a", Rate(100, DAY))) for replica in replicas] == [25] * 4


async def test_replicas_that_were_started_together_know_of_each_other_a_second_later(town: Town) -> None:
    replicas = [await town.replica() for _ in range(4)]
    await town.clock.advance(SECOND_BEAT)
    await town.lose()
    assert [await let_through(replica, Draw("a", Rate(100, DAY))) for replica in replicas] == [25] * 4


async def test_a_share_is_never_nothing(town: Town) -> None:
    replicas = [await town.replica() for _ in range(3)]
    await town.clock.advance(BEAT_EVERY)
    await town.lose()
    assert [await let_through(replica, Draw("a", Rate(1, DAY))) for replica in replicas] == [1] * 3


async def test_what_the_whole_limit_allows_the_share_allows_too(town: Town) -> None:
    one, _ = await town.replica(), await town.replica()
    await town.clock.advance(BEAT_EVERY)
    await town.lose()
    rate = Rate(1000, DAY)
    assert (await one.admit([Draw("t", rate, 800)], [], "h")).allowed
    never = await one.admit([Draw("u", rate, 1001)], [], "h")
    assert (never.refused, never.retry_after) == ("u", None)


async def test_places_are_shared_out_too(town: Town) -> None:
    one, _ = await town.replica(), await town.replica()
    await town.clock.advance(BEAT_EVERY)
    await town.lose()
    slot = Slot("s", 4, 60.0)
    assert [(await one.admit([], [slot], str(n))).allowed for n in range(3)] == [True, True, False]
    await one.settle([], [slot], "0")
    assert (await one.admit([], [slot], "3")).allowed


async def test_a_replica_that_has_gone_is_not_counted(town: Town) -> None:
    one, two = await town.replica(), await town.replica()
    await town.clock.advance(BEAT_EVERY)
    await two.close()
    town.replicas.remove(two)
    await town.clock.advance(BEAT_EVERY)
    await town.lose()
    assert await let_through(one, Draw("a", Rate(100, DAY))) == 100


async def test_a_replica_that_was_killed_is_not_counted_for_long(town: Town) -> None:
    one, two = await town.replica(), await town.replica()
    await town.clock.advance(BEAT_EVERY)
    assert two._watching is not None
    two._watching.cancel()
    await town.clock.advance(4 * BEAT_EVERY)
    town.store.down = True
    assert await let_through(one, Draw("a", Rate(100, DAY))) == 100


async def test_with_deny_nothing_is_let_through(town: Town) -> None:
    one = await town.replica(local=False)
    await town.lose()
    with pytest.raises(TollwayError, match="deny") as raised:
        await one.admit([Draw("a", Rate(100, DAY))], [], "h")
    assert raised.value.reason is Reason.SERVICE_UNAVAILABLE
    assert raised.value.retry_after == 1.0
    for refused in (one.put("r", b"", 1), one.add("r", b"", 1), one.swap("r", b"", b"", 1), one.scan("r"),
                    one.append("r", [b""], 1), one.pieces("r", 0), one.delete("r")):  # fmt: skip
        with pytest.raises(TollwayError):
            await refused


async def test_what_is_given_back_raises_nothing_in_either_mode(town: Town) -> None:
    for replica in (await town.replica(local=False), await town.replica()):
        town.store.down = True
        await replica.settle([Draw("a", Rate(100, DAY), -1)], [Slot("s", 1, 60.0)], "h")
        await town.clock.advance(0)
        assert replica.lost


async def test_a_lost_store_is_left_alone_for_a_second(town: Town) -> None:
    one = await town.replica()
    await town.lose()
    asked = town.store.asked
    await let_through(one, Draw("a", Rate(100, DAY)))
    assert town.store.asked == asked
    await town.clock.advance(ASK_AGAIN)
    assert town.store.asked == asked + 1
    assert one.lost


async def test_it_is_found_again_without_a_request(town: Town) -> None:
    one = await town.replica()
    draw = Draw("a", Rate(100, DAY))
    assert await let_through(one, draw, 90) == 90
    await town.lose()
    assert await let_through(one, draw, 5) == 5
    await town.find()
    assert not one.lost
    assert await let_through(one, draw) == 10
    assert town.gauge.values == [0, 1, 0]


async def test_a_second_loss_begins_with_a_fresh_share(town: Town) -> None:
    one = await town.replica()
    draw = Draw("a", Rate(100, DAY))
    await town.lose()
    assert await let_through(one, draw) == 100
    await town.find()
    await town.lose()
    assert await let_through(one, draw) == 100


async def test_places_given_back_during_a_loss_are_free_after_it(town: Town) -> None:
    one = await town.replica()
    slot = Slot("s", 1, DAY)
    assert (await one.admit([], [slot], "held")).allowed
    await town.lose()
    await one.settle([], [slot], "held")
    await town.find()
    assert (await one.admit([], [slot], "next")).allowed


async def test_a_place_whose_return_was_lost_is_free_after_it(town: Town) -> None:
    one = await town.replica()
    slot = Slot("s", 1, DAY)
    assert (await one.admit([], [slot], "held")).allowed
    town.store.down = True
    await one.settle([], [slot], "held")
    await town.clock.advance(0)
    await town.find()
    assert (await one.admit([], [slot], "next")).allowed


async def test_records_and_logs_are_this_replicas_own_meanwhile(town: Town) -> None:
    one = await town.replica()
    await one.put("r", b"shared", DAY)
    await town.lose()
    assert await one.get("r") is None
    assert await one.add("r", b"own", DAY)
    assert await one.swap("r", b"own", b"mine", DAY)
    assert await one.scan("r") == {"r": b"mine"}
    await one.append("l", [b"a"], DAY)
    assert list(await one.pieces("l", 0)) == [b"a"]
    await one.delete("l")
    await town.find()
    assert await one.get("r") == b"shared"


async def test_the_log_says_once_that_it_is_lost_and_once_that_it_is_back(
    town: Town, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "mesh.state.lost")
    one = await town.replica()
    await town.lose()
    await let_through(one, Draw("a", Rate(100, DAY)), 5)
    await town.clock.advance(5 * ASK_AGAIN)
    await town.find()
    said = [record.getMessage() for record in caplog.records]
    assert said == [
        "the shared state cannot be reached: somebody pulled the plug; until it is back, 1/1 of each limit holds here",
        "the shared state is back after 6.0 s",
    ]


async def test_a_replica_that_finds_no_store_starts_without_it(town: Town) -> None:
    town.store.down = True
    one = await town.replica()
    assert one.lost
    assert await let_through(one, Draw("a", Rate(100, DAY))) == 100
    await town.find()
    assert not one.lost


async def test_closing_closes_the_store(town: Town) -> None:
    one = await town.replica()
    await one.close()
    town.replicas.clear()
    assert town.store.closed
    assert await town.store.get("replicas") == b"{}"
