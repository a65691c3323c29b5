"""One suite of behaviours, on every store. Spans of time are short: where a server is asked, they really pass."""

from __future__ import annotations

import asyncio

import pytest

from mesh.state.store import Draw, Rate, Slot
from tests.unit.mesh.state.conftest import House

DAY = 86_400.0


# -- rates -------------------------------------------------------------------------------------------------------------


async def test_a_limit_lets_itself_through_and_not_one_more(house: House) -> None:
    draw = Draw(house.key("a"), Rate(3, DAY))
    decisions = [await house.store.admit([draw], [], "h") for _ in range(4)]
    assert [decision.allowed for decision in decisions] == [True, True, True, False]
    assert [decision.left[0].remaining for decision in decisions] == [2, 1, 0, 0]
    assert decisions[-1].refused == draw.key
    assert decisions[-1].retry_after == pytest.approx(DAY / 3, abs=5)
    assert decisions[-1].left[0].reset == pytest.approx(DAY, abs=5)


async def test_who_waits_as_long_as_told_is_let_through(house: House) -> None:
    draw = Draw(house.key("a"), Rate(2, 1.0))
    decisions = await asyncio.gather(*(house.store.admit([draw], [], "h") for _ in range(5)))
    wait = decisions[-1].retry_after
    assert wait is not None
    assert 0 < wait <= 0.5
    await house.pass_time(wait)
    assert (await house.store.admit([draw], [], "h")).allowed


async def test_all_doors_lead_to_the_same_state(house: House) -> None:
    draw = Draw(house.key("a"), Rate(10, DAY))
    doors = [house.store, house.other] * 10
    decisions = await asyncio.gather(*(door.admit([draw], [], "h") for door in doors))
    assert sum(decision.allowed for decision in decisions) == 10


async def test_several_draws_pass_together_or_not_at_all(house: House) -> None:
    many, few = Draw(house.key("many"), Rate(100, DAY)), Draw(house.key("few"), Rate(1, DAY))
    assert (await house.store.admit([many, few], [], "h")).allowed
    refused = await house.store.admit([many, few], [], "h")
    assert refused.refused == few.key
    assert [left.remaining for left in refused.left] == [99, 0]
    assert [left.remaining for left in (await house.store.admit([many], [], "h")).left] == [98]


async def test_the_draw_that_takes_longest_is_the_one_that_is_named(house: House) -> None:
    soon, late = Draw(house.key("soon"), Rate(1, 60.0)), Draw(house.key("late"), Rate(1, DAY))
    assert (await house.store.admit([soon, late], [], "h")).allowed
    assert (await house.store.admit([soon, late], [], "h")).refused == late.key
    assert (await house.store.admit([late, soon], [], "h")).refused == late.key


async def test_amounts_are_drawn_as_such(house: House) -> None:
    rate = Rate(1000, DAY)
    assert (await house.store.admit([Draw(house.key("t"), rate, 700)], [], "h")).left[0].remaining == 300
    assert not (await house.store.admit([Draw(house.key("t"), rate, 301)], [], "h")).allowed
    assert (await house.store.admit([Draw(house.key("t"), rate, 300)], [], "h")).allowed


async def test_more_than_the_limit_is_refused_for_ever_and_takes_nothing(house: House) -> None:
    rate = Rate(1000, 60.0)
    refused = await house.store.admit([Draw(house.key("t"), rate, 1001)], [], "h")
    assert (refused.refused, refused.retry_after) == (house.key("t"), None)
    assert (await house.store.admit([Draw(house.key("t"), rate, 1000)], [], "h")).allowed


async def test_an_adjustment_goes_over_and_is_recovered_from(house: House) -> None:
    rate = Rate(100, 1.0)
    await house.store.settle([Draw(house.key("t"), rate, 110)], [], "h")
    refused = await house.store.admit([Draw(house.key("t"), rate)], [], "h")
    assert refused.left[0].remaining == 0
    assert refused.retry_after is not None
    assert 0 < refused.retry_after <= 0.11
    await house.pass_time(refused.retry_after)
    assert (await house.store.admit([Draw(house.key("t"), rate)], [], "h")).allowed


async def test_what_is_given_back_may_be_drawn_again(house: House) -> None:
    rate = Rate(100, DAY)
    assert (await house.store.admit([Draw(house.key("t"), rate, 100)], [], "h")).allowed
    await house.store.settle([Draw(house.key("t"), rate, -40)], [], "h")
    assert (await house.store.admit([Draw(house.key("t"), rate, 40)], [], "h")).allowed
    await house.store.settle([Draw(house.key("t"), rate, -1_000_000)], [], "h")
    assert (await house.store.admit([Draw(house.key("t"), rate, 100)], [], "h")).allowed
    assert not (await house.store.admit([Draw(house.key("t"), rate)], [], "h")).allowed


async def test_large_limits_are_counted_to_the_last_token(house: House) -> None:
    rate = Rate(999_999_937, DAY)  # whose share of the period no float holds
    assert (await house.store.admit([Draw(house.key("t"), rate, rate.limit - 7)], [], "h")).allowed
    for _ in range(7):
        assert (await house.store.admit([Draw(house.key("t"), rate)], [], "h")).left
    assert (await house.store.admit([Draw(house.key("t"), rate, 500_000)], [], "h")).refused


async def test_a_limit_that_was_changed_goes_on_from_what_was_drawn(house: House) -> None:
    key = house.key("a")
    assert (await house.store.admit([Draw(key, Rate(3, DAY), 3)], [], "h")).allowed
    assert not (await house.store.admit([Draw(key, Rate(7, DAY))], [], "h")).allowed
    await house.store.settle([Draw(key, Rate(7, DAY), -7)], [], "h")
    assert (await house.store.admit([Draw(key, Rate(7, DAY), 7)], [], "h")).allowed


async def test_asking_for_nothing_is_let_through(house: House) -> None:
    assert (await house.store.admit([], [], "h")).allowed
    await house.store.settle([], [], "h")


# -- slots -------------------------------------------------------------------------------------------------------------


async def test_places_are_as_many_as_there_are(house: House) -> None:
    slot = Slot(house.key("s"), 2, 60.0)
    assert (await house.store.admit([], [slot], "one")).allowed
    assert (await house.other.admit([], [slot], "two")).allowed
    refused = await house.store.admit([], [slot], "three")
    assert (refused.refused, refused.retry_after) == (slot.key, None)
    await house.store.settle([], [slot], "one")
    assert (await house.other.admit([], [slot], "three")).allowed
    assert not (await house.other.admit([], [slot], "one")).allowed


async def test_who_holds_a_place_may_ask_again_and_holds_it_longer(house: House) -> None:
    slot = Slot(house.key("s"), 1, 1.0)
    assert (await house.store.admit([], [slot], "one")).allowed
    await house.pass_time(0.6)
    assert (await house.store.admit([], [slot], "one")).allowed
    await house.pass_time(0.6)
    assert not (await house.store.admit([], [slot], "two")).allowed


async def test_a_place_is_free_once_its_lease_is_over(house: House) -> None:
    slot = Slot(house.key("s"), 1, 0.3)
    assert (await house.store.admit([], [slot], "one")).allowed
    assert not (await house.store.admit([], [slot], "two")).allowed
    await house.pass_time(0.35)
    assert (await house.store.admit([], [slot], "two")).allowed
    assert not (await house.store.admit([], [slot], "one")).allowed


async def test_places_that_are_not_held_are_passed_over(house: House) -> None:
    slot = Slot(house.key("s"), 1, 60.0)
    await house.store.settle([], [slot], "nobody")
    assert (await house.store.admit([], [slot], "one")).allowed
    await house.store.settle([], [slot], "two")
    assert not (await house.store.admit([], [slot], "two")).allowed


async def test_amounts_and_places_are_given_back_together(house: House) -> None:
    draws = [Draw(house.key(name), Rate(10, DAY), 10) for name in ("a", "b")]
    slots = [Slot(house.key(name), 1, 60.0) for name in ("s", "t")]
    assert (await house.store.admit(draws, slots, "one")).allowed
    await house.other.settle([Draw(draw.key, draw.rate, -10) for draw in draws], slots, "one")
    assert (await house.store.admit(draws, slots, "two")).allowed


async def test_no_place_no_draw_and_no_draw_no_place(house: House) -> None:
    slot, draw = Slot(house.key("s"), 1, 60.0), Draw(house.key("d"), Rate(2, DAY))
    assert (await house.store.admit([draw], [slot], "one")).allowed
    assert (await house.store.admit([draw], [slot], "two")).refused == slot.key
    await house.store.settle([], [slot], "one")
    assert (await house.store.admit([draw], [slot], "two")).left[0].remaining == 0
    await house.store.settle([], [slot], "two")
    assert (await house.store.admit([draw], [slot], "three")).refused == draw.key
    assert (await house.store.admit([], [slot], "four")).allowed


# -- records -----------------------------------------------------------------------------------------------------------


async def test_a_record_is_there_until_its_time_is_over(house: House) -> None:
    key = house.key("r")
    assert await house.store.get(key) is None
    await house.store.put(key, b"\x00one", 0.3)
    assert await house.other.get(key) == b"\x00one"
    await house.store.put(key, b"", 0.3)
    assert await house.other.get(key) == b""
    await house.pass_time(0.35)
    assert await house.store.get(key) is None


async def test_one_of_many_adds_a_record(house: House) -> None:
    key, doors = house.key("r"), [house.store, house.other] * 5
    added = await asyncio.gather(*(door.add(key, str(n).encode(), 0.3) for n, door in enumerate(doors)))
    assert sum(added) == 1
    assert await house.store.get(key) == str(added.index(True)).encode()
    await house.pass_time(0.35)
    assert await house.store.add(key, b"again", 60.0)


async def test_a_record_is_swapped_for_what_was_expected_alone(house: House) -> None:
    key = house.key("r")
    assert not await house.store.swap(key, b"old", b"new", 60.0)
    await house.store.put(key, b"old", 60.0)
    assert not await house.other.swap(key, b"other", b"new", 60.0)
    assert await house.other.swap(key, b"old", b"new", 0.3)
    assert await house.store.get(key) == b"new"
    await house.pass_time(0.35)
    assert not await house.store.swap(key, b"new", b"newer", 60.0)


async def test_records_are_found_by_how_their_keys_begin(house: House) -> None:
    for name in ("a_1", "a_2", "aX3", "b*1", "B*2"):
        await house.store.put(house.key(name), name.encode(), 60.0)
    assert await house.other.scan(house.key("a_")) == {house.key("a_1"): b"a_1", house.key("a_2"): b"a_2"}
    assert await house.other.scan(house.key("b*")) == {house.key("b*1"): b"b*1"}
    assert await house.other.scan(house.key("c")) == {}


async def test_what_was_deleted_is_gone(house: House) -> None:
    key = house.key("r")
    await house.store.delete(key)
    await house.store.put(key, b"one", 60.0)
    await house.store.append(key, [b"piece"], 60.0)
    await house.other.delete(key)
    assert await house.store.get(key) is None
    assert list(await house.store.pieces(key, 0)) == []


# -- logs --------------------------------------------------------------------------------------------------------------


async def test_a_log_grows_while_others_read_it(house: House) -> None:
    key = house.key("l")
    assert list(await house.store.pieces(key, 0)) == []
    await house.store.append(key, [b"a", b"b"], 60.0)
    assert list(await house.other.pieces(key, 0)) == [b"a", b"b"]
    await house.other.append(key, [b"", b"c"], 60.0)
    assert list(await house.store.pieces(key, 1)) == [b"b", b"", b"c"]
    assert list(await house.store.pieces(key, 9)) == []


async def test_a_log_is_there_until_its_time_is_over(house: House) -> None:
    key = house.key("l")
    await house.store.append(key, [b"a"], 0.5)
    await house.pass_time(0.3)
    await house.store.append(key, [b"b"], 0.5)
    await house.pass_time(0.3)
    assert list(await house.store.pieces(key, 0)) == [b"a", b"b"]
    await house.pass_time(0.3)
    assert list(await house.store.pieces(key, 0)) == []
    await house.store.append(key, [b"c"], 60.0)
    assert list(await house.store.pieces(key, 0)) == [b"c"]


async def test_pieces_keep_their_order_however_many_are_added(house: House) -> None:
    key = house.key("l")
    await asyncio.gather(*(house.store.append(key, [b"%d" % n], 60.0) for n in range(300)))
    assert [int(piece) for piece in await house.other.pieces(key, 0)] == list(range(300))
