"""Deadlines: the caller is told in time, and the handler is stopped."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue

Serve = Callable[..., Awaitable[Any]]
EXCEEDED = grpc.StatusCode.DEADLINE_EXCEEDED


class Sleeper:
    """Handlers that never end by themselves, and say how they were ended."""

    def __init__(self) -> None:
        self.started = asyncio.Event()
        self.ended = asyncio.Event()
        self.by: type[BaseException] | None = None
        self.remaining: dict[str, float | None] = {}

    async def unary(self, request: StringValue, context: Any) -> StringValue:
        self.remaining[request.value] = context.time_remaining()
        await self._sleep()
        return request

    async def down(self, request: StringValue, context: Any) -> AsyncIterator[StringValue]:
        yield request
        await self._sleep()

    async def up(self, requests: AsyncIterator[StringValue], context: Any) -> StringValue:
        async for _ in requests:
            pass
        await self._sleep()
        return StringValue()

    async def both(self, requests: AsyncIterator[StringValue], context: Any) -> AsyncIterator[StringValue]:
        async for request in requests:
            yield request
        await self._sleep()

    async def _sleep(self) -> None:
        self.started.set()
        try:
            await asyncio.sleep(30)
        except BaseException as error:
            self.by = type(error)
            raise
        finally:
            self.ended.set()

    async def serve(self, serve: Serve) -> Any:
        return await serve(unary=self.unary, down=self.down, up=self.up, both=self.both)


async def drain(call: Any) -> None:
    async for _ in call:
        pass


CALLS: dict[str, Callable[[Any, float | None], Awaitable[Any]]] = {
    "unary": lambda stub, timeout: stub.unary(StringValue(), timeout=timeout),
    "down": lambda stub, timeout: drain(stub.down(StringValue(), timeout=timeout)),
    "up": lambda stub, timeout: stub.up([StringValue()], timeout=timeout),
    "both": lambda stub, timeout: drain(stub.both([StringValue()], timeout=timeout)),
}


@pytest.mark.parametrize("shape", CALLS)
async def test_the_deadline_ends_the_call_and_stops_the_handler(serve: Serve, shape: str) -> None:
    sleeper = Sleeper()
    stub = await sleeper.serve(serve)
    async with asyncio.timeout(2):
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await CALLS[shape](stub, 0.3)
        assert raised.value.code() is EXCEEDED
        await sleeper.ended.wait()
    assert sleeper.by is asyncio.CancelledError


async def test_the_handler_sees_how_much_time_is_left(serve: Serve) -> None:
    sleeper = Sleeper()
    stub = await sleeper.serve(serve)
    forever = stub.unary(StringValue(value="forever"))
    await sleeper.started.wait()
    sleeper.started.clear()
    call = stub.unary(StringValue(value="limited"), timeout=10)
    await sleeper.started.wait()
    assert sleeper.remaining["forever"] is None
    limited = sleeper.remaining["limited"]
    assert limited is not None
    assert 8 < limited < 10.5  # a wire rounds
    assert 8 < call.time_remaining() <= 10
    assert forever.time_remaining() is None
    call.cancel()
    forever.cancel()


@pytest.mark.parametrize("timeout", [0, -1])
async def test_time_that_has_run_out_before_the_call_never_reaches_a_handler(serve: Serve, timeout: float) -> None:
    sleeper = Sleeper()
    stub = await sleeper.serve(serve)
    for call in (stub.unary(StringValue(), timeout=timeout), stub.down(StringValue(), timeout=timeout).read()):
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await call
        assert raised.value.code() is EXCEEDED
    assert not sleeper.started.is_set()


async def test_a_caller_does_not_wait_for_a_handler_that_is_slow_to_stop(serve: Serve) -> None:
    released = asyncio.Event()

    async def stubborn(request: StringValue, context: Any) -> StringValue:
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            await released.wait()
        return request

    stub = await serve(unary=stubborn)
    async with asyncio.timeout(1):
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await stub.unary(StringValue(), timeout=0.3)
    assert raised.value.code() is EXCEEDED
    released.set()


async def test_messages_before_the_deadline_arrive(serve: Serve) -> None:
    sleeper = Sleeper()
    stub = await sleeper.serve(serve)
    call = stub.down(StringValue(value="a"), timeout=0.3)
    arrived = [(await call.read()).value]
    with pytest.raises(grpc.aio.AioRpcError):
        await call.read()
    assert arrived == ["a"]


async def test_a_call_that_ends_in_time_is_not_touched_by_its_deadline(serve: Serve) -> None:
    async def quick(request: StringValue, context: Any) -> StringValue:
        return request

    stub = await serve(unary=quick)
    call = stub.unary(StringValue(value="a"), timeout=0.3)
    assert (await call).value == "a"
    await asyncio.sleep(0.35)
    assert await call.code() is grpc.StatusCode.OK
