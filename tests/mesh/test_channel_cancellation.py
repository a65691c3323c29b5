"""Cancellation: whoever leaves, and however, the handler is stopped at once."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue

Serve = Callable[..., Awaitable[Any]]


class Waiter:
    """Handlers that wait for ever once they have read all requests and sent one response."""

    def __init__(self) -> None:
        self.started = asyncio.Event()
        self.stopped = asyncio.Event()
        self.by: type[BaseException] | None = None

    async def wait(self) -> None:
        self.started.set()
        try:
            await asyncio.sleep(30)
        except BaseException as error:
            self.by = type(error)
            raise
        finally:
            self.stopped.set()

    async def unary(self, request: StringValue, context: Any) -> StringValue:
        await self.wait()
        return request

    async def down(self, request: StringValue, context: Any) -> AsyncIterator[StringValue]:
        yield request
        await self.wait()

    async def up(self, requests: AsyncIterator[StringValue], context: Any) -> StringValue:
        await self.wait()
        return StringValue()

    async def both(self, requests: AsyncIterator[StringValue], context: Any) -> None:
        await context.write(StringValue())
        await self.wait()

    async def serve(self, serve: Serve) -> Any:
        return await serve(unary=self.unary, down=self.down, up=self.up, both=self.both)

    async def stops(self) -> None:
        """Passes when the handler is cancelled at once (a busy machine needs some slack)."""
        async with asyncio.timeout(0.5):
            await self.stopped.wait()
        assert self.by in (asyncio.CancelledError, GeneratorExit)


def start(stub: Any, shape: str) -> Any:
    return (
        {"unary": stub.unary, "down": stub.down}[shape](StringValue())
        if shape in ("unary", "down")
        else ({"up": stub.up, "both": stub.both}[shape]())
    )


async def receive(call: Any, shape: str) -> None:
    if shape in ("unary", "up"):
        await call
    else:
        async for _ in call:
            pass


SHAPES = ["unary", "down", "up", "both"]


@pytest.mark.parametrize("shape", SHAPES)
async def test_cancelling_a_call_stops_its_handler(serve: Serve, shape: str) -> None:
    waiter = Waiter()
    stub = await waiter.serve(serve)
    call = start(stub, shape)
    await waiter.started.wait()
    assert call.cancel()
    assert not call.cancel()
    await waiter.stops()
    assert call.done()
    assert call.cancelled()
    assert await call.code() is grpc.StatusCode.CANCELLED
    assert await call.details() == "Locally cancelled by application!"
    assert list(await call.trailing_metadata()) == []
    with pytest.raises(asyncio.CancelledError):
        await receive(call, shape)


@pytest.mark.parametrize("shape", SHAPES)
async def test_cancelling_the_task_that_waits_stops_the_handler(serve: Serve, shape: str) -> None:
    waiter = Waiter()
    stub = await waiter.serve(serve)
    task = asyncio.create_task(receive(start(stub, shape), shape))
    await waiter.started.wait()
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await waiter.stops()


async def test_cancelling_a_task_that_reads_stops_the_handler(serve: Serve) -> None:
    waiter = Waiter()
    stub = await waiter.serve(serve)
    call = stub.down(StringValue())
    await call.read()
    await waiter.started.wait()
    task = asyncio.create_task(call.read())
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await waiter.stops()


async def test_a_time_limit_of_the_callers_own_stops_the_handler(serve: Serve) -> None:
    waiter = Waiter()
    stub = await waiter.serve(serve)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await stub.unary(StringValue())
    await waiter.stops()


async def test_a_call_cancelled_at_once_never_runs_or_is_stopped(serve: Serve) -> None:
    waiter = Waiter()
    stub = await waiter.serve(serve)
    call = stub.unary(StringValue())
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await asyncio.sleep(0.05)
    assert waiter.started.is_set() == waiter.stopped.is_set()


async def test_a_call_that_is_dropped_half_read_stops_its_handler(serve: Serve) -> None:
    waiter = Waiter()
    stub = await waiter.serve(serve)

    async def read_one() -> None:
        async for _ in stub.down(StringValue()):
            await waiter.started.wait()
            return

    await read_one()
    gc.collect()
    await waiter.stops()


async def test_a_call_that_is_dropped_unawaited_stops_its_handler(serve: Serve) -> None:
    waiter = Waiter()
    stub = await waiter.serve(serve)
    call = stub.unary(StringValue())
    await waiter.started.wait()
    del call
    gc.collect()
    await waiter.stops()


async def test_a_handler_suspended_at_a_yield_is_closed(serve: Serve) -> None:
    closed = asyncio.Event()

    async def endless(request: StringValue, context: Any) -> AsyncIterator[StringValue]:
        try:
            while True:
                yield StringValue(value="x" * 65536)
        finally:
            closed.set()

    stub = await serve(down=endless)
    call = stub.down(StringValue())
    await call.read()
    await asyncio.sleep(0.02)
    call.cancel()
    async with asyncio.timeout(1):
        await closed.wait()


async def test_the_caller_does_not_wait_for_a_handler_to_clean_up(serve: Serve) -> None:
    started, released = asyncio.Event(), asyncio.Event()

    async def tidy(request: StringValue, context: Any) -> StringValue:
        started.set()
        try:
            await asyncio.sleep(30)
        finally:
            await released.wait()
        return request

    stub = await serve(unary=tidy)
    task = asyncio.create_task(receive(stub.unary(StringValue()), "unary"))
    await started.wait()
    task.cancel()
    async with asyncio.timeout(0.5):
        with pytest.raises(asyncio.CancelledError):
            await task
    released.set()


async def test_what_a_handler_says_after_its_caller_left_goes_nowhere(serve: Serve, caplog: Any) -> None:
    stopped = asyncio.Event()

    async def deaf(request: StringValue, context: Any) -> AsyncIterator[StringValue]:
        try:
            yield request
            try:
                await asyncio.sleep(30)
            except asyncio.CancelledError:
                yield request
                await asyncio.sleep(0)
                yield request
        finally:
            stopped.set()

    stub = await serve(down=deaf)
    call = stub.down(StringValue())
    await call.read()
    await asyncio.sleep(0.02)
    call.cancel()
    async with asyncio.timeout(1):
        await stopped.wait()


async def test_a_request_iterator_that_fails_cancels_the_call(serve: Serve) -> None:
    async def broken() -> AsyncIterator[StringValue]:
        yield StringValue()
        raise ValueError("broken")

    waiter = Waiter()
    stub = await waiter.serve(serve)
    call = stub.up(broken())
    with pytest.raises(asyncio.CancelledError):
        await call
    assert await call.code() is grpc.StatusCode.CANCELLED


async def test_a_writer_that_is_cancelled_cancels_the_call(serve: Serve) -> None:
    waiter = Waiter()
    stub = await waiter.serve(serve)
    call = stub.up()

    async def write_for_ever() -> None:
        while True:
            await call.write(StringValue(value="x" * 65536))

    task = asyncio.create_task(write_for_ever())
    await waiter.started.wait()
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await waiter.stops()
    assert call.cancelled()


async def test_closing_the_channel_cancels_its_calls(serve: Serve) -> None:
    waiter = Waiter()
    stub = await waiter.serve(serve)
    call = stub.unary(StringValue())
    await waiter.started.wait()
    await stub.channel.close()
    with pytest.raises(asyncio.CancelledError):
        await call
    await waiter.stops()


async def test_closing_the_channel_with_grace_lets_calls_end(serve: Serve) -> None:
    released = asyncio.Event()

    async def unary(request: StringValue, context: Any) -> StringValue:
        await released.wait()
        return request

    stub = await serve(unary=unary)
    call = stub.unary(StringValue(value="a"))
    closing = asyncio.create_task(stub.channel.close(5))
    await asyncio.sleep(0.02)
    released.set()
    await closing
    assert (await call).value == "a"


async def test_done_callbacks_run_on_both_sides_once_a_call_has_ended(serve: Serve) -> None:
    ended: list[str] = []
    both = asyncio.Event()

    def note(side: str) -> None:
        ended.append(side)
        if len(ended) == 3:
            both.set()

    async def unary(request: StringValue, context: Any) -> StringValue:
        context.add_done_callback(lambda _: note(f"server {context.done()}"))
        return request

    stub = await serve(unary=unary)
    call = stub.unary(StringValue())
    call.add_done_callback(lambda done: note(f"client {done is call}"))
    await call
    call.add_done_callback(lambda done: note(f"late {done.done()}"))
    async with asyncio.timeout(1):
        await both.wait()
    assert sorted(ended) == ["client True", "late True", "server True"]


async def test_done_callbacks_run_when_a_call_is_cancelled(serve: Serve) -> None:
    waiter = Waiter()
    stub = await waiter.serve(serve)
    call = stub.down(StringValue())
    done = asyncio.Event()
    call.add_done_callback(lambda _: done.set())
    await waiter.started.wait()
    call.cancel()
    async with asyncio.timeout(1):
        await done.wait()


async def test_stopping_a_server_waits_for_its_calls_and_then_cancels_them(serve: Serve, topology: Any) -> None:
    waiter = Waiter()
    stub = await waiter.serve(serve)
    call = stub.unary(StringValue())
    await waiter.started.wait()
    stopping = asyncio.create_task(topology.servers[0].stop(0.5))
    await asyncio.sleep(0.03)
    assert not call.done()
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await stub.unary(StringValue())
    assert raised.value.code() is grpc.StatusCode.UNAVAILABLE
    await stopping
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call
    assert raised.value.code() is grpc.StatusCode.UNAVAILABLE
    await waiter.stops()


async def test_stopping_a_server_lets_a_call_end_that_ends_in_time(serve: Serve, topology: Any) -> None:
    started, released = asyncio.Event(), asyncio.Event()

    async def unary(request: StringValue, context: Any) -> StringValue:
        started.set()
        await released.wait()
        return request

    stub = await serve(unary=unary)
    call = stub.unary(StringValue(value="a"))
    await started.wait()
    stopping = asyncio.create_task(topology.servers[0].stop(10))
    await asyncio.sleep(0.02)
    released.set()
    async with asyncio.timeout(2):
        assert (await call).value == "a"
        await stopping
