from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest

from mesh.clock import SystemClock
from mesh.errors import Reason, TollwayError
from mesh.state.redis import RedisStore
from mesh.state.store import Draw, Rate, Slot
from tests.redis_server import ThrowawayServer

DAY = 86_400.0


async def test_a_decision_is_one_script() -> None:
    with ThrowawayServer() as server:
        store = RedisStore(server.url, SystemClock(), 2.0)
        draws = [Draw(str(number), Rate(10, DAY)) for number in range(3)]
        await store.admit(draws, [Slot("s", 5, 60.0)], "h")
        await store._redis.config_resetstat()
        await store.admit(draws, [Slot("s", 5, 60.0)], "h")
        calls = await store._redis.info("commandstats")
        sent = {name.removeprefix("cmdstat_") for name in calls}
        assert calls["cmdstat_evalsha"]["calls"] == 1
        assert "eval" not in sent
        keys = [str(key) for key in await store._redis.keys("*")]
        assert len(keys) == 4
        assert all("tollway:{limits}:" in key for key in keys)
        assert (await store._redis.info("keyspace"))["db0"]["expires"] == 4
        await store.close()


async def test_a_killed_server_is_lost_at_once_and_found_when_it_is_back() -> None:
    with ThrowawayServer() as server:
        store = RedisStore(server.url, SystemClock(), 2.0)
        await store.put("r", b"one", 60.0)
        server.kill()
        for _ in range(2):
            with pytest.raises(TollwayError) as raised:
                await asyncio.wait_for(store.get("r"), 3.0)
            assert raised.value.reason is Reason.SERVICE_UNAVAILABLE
        server.start()
        assert await store.get("r") is None
        draw = Draw("a", Rate(1, DAY))
        assert (await store.admit([draw], [], "h")).allowed  # though the server's scripts are gone
        await store.close()


async def test_a_server_that_says_nothing_more_is_lost_in_bounded_time() -> None:
    with ThrowawayServer() as server:
        store = RedisStore(server.url, SystemClock(), 0.2)
        await store.put("r", b"one", 60.0)
        server.freeze()
        asked = [store.get("r") for _ in range(20)]
        outcomes = await asyncio.wait_for(asyncio.gather(*asked, return_exceptions=True), 3.0)
        assert all(isinstance(outcome, TollwayError) for outcome in outcomes)
        server.thaw()
        assert await store.get("r") == b"one"
        await store.close()


async def test_a_server_that_will_not_write_is_lost() -> None:
    with ThrowawayServer() as server:
        store = RedisStore(server.url, SystemClock(), 2.0)
        await store._redis.config_set("maxmemory", "1")
        with pytest.raises(TollwayError, match="maxmemory"):
            await store.put("r", b"one", 60.0)
        assert await store.get("r") is None
        await store.close()


async def test_what_is_asked_at_once_goes_in_few_trips(redis: str) -> None:
    store = RedisStore(redis, SystemClock(), 5.0)
    draw = Draw(uuid4().hex, Rate(100, DAY))
    decisions = await asyncio.gather(*(store.admit([draw], [], "h") for _ in range(500)))
    assert sum(decision.allowed for decision in decisions) == 100
    await store.close()
