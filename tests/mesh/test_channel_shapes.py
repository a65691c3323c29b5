"""The four shapes of a call, with both ways to write a servicer and both ways to read and write as a client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextvars import ContextVar
from typing import Any

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue

Serve = Callable[..., Awaitable[Any]]


def text(value: str) -> StringValue:
    return StringValue(value=value)


async def echo(request: StringValue, context: Any) -> StringValue:
    return text(request.value.upper())


async def spell(request: StringValue, context: Any) -> AsyncIterator[StringValue]:
    for letter in request.value:
        yield text(letter)


async def spell_by_writing(request: StringValue, context: Any) -> None:
    for letter in request.value:
        await context.write(text(letter))


async def join(requests: AsyncIterator[StringValue], context: Any) -> StringValue:
    return text("".join([request.value async for request in requests]))


async def join_by_reading(requests: Any, context: Any) -> StringValue:
    joined = ""
    while (request := await context.read()) is not grpc.aio.EOF:
        joined += request.value
    return text(joined)


async def shout(requests: AsyncIterator[StringValue], context: Any) -> AsyncIterator[StringValue]:
    async for request in requests:
        yield text(request.value.upper())


async def texts(*values: str) -> AsyncIterator[StringValue]:
    for value in values:
        yield text(value)


async def test_a_unary_call_answers_however_often_it_is_awaited(serve: Serve) -> None:
    stub = await serve(unary=echo)
    call = stub.unary(text("a"))
    assert (await call).value == "A"
    assert (await call).value == "A"
    assert await call.code() is grpc.StatusCode.OK
    assert call.done()
    assert not call.cancelled()
    assert not call.cancel()


async def test_a_call_runs_though_nobody_awaits_it(serve: Serve) -> None:
    ran = asyncio.Event()

    async def handler(request: StringValue, context: Any) -> StringValue:
        ran.set()
        return request

    stub = await serve(unary=handler)
    call = stub.unary(text("a"))
    async with asyncio.timeout(1):
        await ran.wait()
        assert await call.code() is grpc.StatusCode.OK


async def test_a_stream_runs_though_nobody_reads_it(serve: Serve) -> None:
    ran = asyncio.Event()

    async def handler(request: StringValue, context: Any) -> AsyncIterator[StringValue]:
        ran.set()
        yield request

    stub = await serve(down=handler)
    call = stub.down(text("a"))
    async with asyncio.timeout(1):
        await ran.wait()
    assert [each.value async for each in call] == ["a"]


@pytest.mark.parametrize("handler", [spell, spell_by_writing])
async def test_a_stream_of_responses_arrives_whole_and_in_order(serve: Serve, handler: Any) -> None:
    stub = await serve(down=handler)
    word = "abcdefghij" * 20
    call = stub.down(text(word))
    assert "".join([each.value async for each in call]) == word
    assert await call.code() is grpc.StatusCode.OK
    assert [each async for each in call] == []


@pytest.mark.parametrize("handler", [spell, spell_by_writing])
async def test_a_stream_can_be_read_message_by_message(serve: Serve, handler: Any) -> None:
    stub = await serve(down=handler)
    call = stub.down(text("ab"))
    assert (await call.read()).value == "a"
    assert (await call.read()).value == "b"
    assert await call.read() is grpc.aio.EOF
    assert await call.read() is grpc.aio.EOF


async def test_iterating_may_stop_and_go_on(serve: Serve) -> None:
    stub = await serve(down=spell)
    call = stub.down(text("abc"))
    async for each in call:
        assert each.value == "a"
        break
    assert [each.value async for each in call] == ["b", "c"]


async def test_reading_and_iterating_do_not_mix(serve: Serve) -> None:
    stub = await serve(down=spell)
    call = stub.down(text("abc"))
    await call.read()
    with pytest.raises(grpc.aio.UsageError):
        aiter(call)


async def test_an_empty_stream_is_a_stream(serve: Serve) -> None:
    stub = await serve(down=spell)
    call = stub.down(text(""))
    assert [each async for each in call] == []
    assert await call.code() is grpc.StatusCode.OK


@pytest.mark.parametrize("handler", [join, join_by_reading])
@pytest.mark.parametrize("requests", [texts("a", "b"), [text("a"), text("b")]], ids=["async", "sync"])
async def test_requests_may_come_from_an_iterator(serve: Serve, handler: Any, requests: Any) -> None:
    if not isinstance(requests, list):
        requests = texts("a", "b")
    stub = await serve(up=handler)
    assert (await stub.up(requests)).value == "ab"


@pytest.mark.parametrize("handler", [join, join_by_reading])
async def test_requests_may_be_written_one_by_one(serve: Serve, handler: Any) -> None:
    stub = await serve(up=handler)
    call = stub.up()
    await call.write(text("a"))
    await call.write(text("b"))
    await call.done_writing()
    with pytest.raises(asyncio.InvalidStateError):
        await call.write(text("c"))
    assert (await call).value == "ab"
    with pytest.raises(asyncio.InvalidStateError):
        await call.write(text("c"))
    await call.done_writing()


async def test_writing_beside_a_request_iterator_is_refused(serve: Serve) -> None:
    stub = await serve(up=join)
    call = stub.up(texts("a"))
    with pytest.raises(grpc.aio.UsageError):
        await call.write(text("b"))
    with pytest.raises(grpc.aio.UsageError):
        await call.done_writing()
    assert (await call).value == "a"


async def test_a_handler_may_answer_before_it_has_read_every_request(serve: Serve) -> None:
    async def first(requests: AsyncIterator[StringValue], context: Any) -> StringValue:
        async for request in requests:
            return request
        raise AssertionError("no request came")

    async def endless() -> AsyncIterator[StringValue]:
        while True:
            yield text("a")
            await asyncio.sleep(0)

    stub = await serve(up=first)
    async with asyncio.timeout(1):
        assert (await stub.up(endless())).value == "a"


async def test_both_sides_may_stream_at_once(serve: Serve) -> None:
    stub = await serve(both=shout)
    call = stub.both()
    for letter in "ab":
        await call.write(text(letter))
        assert (await call.read()).value == letter.upper()
    await call.done_writing()
    assert await call.read() is grpc.aio.EOF
    assert [each.value async for each in stub.both(texts("x", "y"))] == ["X", "Y"]


async def test_a_handler_is_never_far_ahead_of_its_reader(serve: Serve) -> None:
    made = 0

    async def endless(request: StringValue, context: Any) -> AsyncIterator[StringValue]:
        nonlocal made
        while True:
            made += 1
            yield text("x" * 65536)

    stub = await serve(down=endless)
    call = stub.down(text(""))
    for _ in range(3):
        await call.read()
    ahead = -1
    while ahead != made:
        ahead = made
        await asyncio.sleep(0.02)
    assert made < 1000  # 64 MB; a wire has windows and socket buffers to fill
    call.cancel()


async def test_a_writer_is_never_far_ahead_of_the_handler(serve: Serve) -> None:
    sent = 0

    async def reads_nothing(requests: Any, context: Any) -> StringValue:
        await asyncio.sleep(30)
        raise AssertionError("never cancelled")

    async def endless() -> AsyncIterator[StringValue]:
        nonlocal sent
        while True:
            sent += 1
            yield text("x" * 65536)

    stub = await serve(up=reads_nothing)
    call = stub.up(endless())
    ahead = -1
    while ahead != sent:
        ahead = sent
        await asyncio.sleep(0.02)
    assert 0 < sent < 1000
    call.cancel()


async def test_a_method_nobody_serves_is_unimplemented(serve: Serve) -> None:
    stub = await serve(unary=echo)
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await stub.up(texts("a"))
    assert raised.value.code() is grpc.StatusCode.UNIMPLEMENTED
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await stub.down(text("a")).read()
    assert raised.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_context_variables_do_not_cross(serve: Serve) -> None:
    variable: ContextVar[str] = ContextVar("variable", default="unset")
    seen = []

    async def unary(request: StringValue, context: Any) -> StringValue:
        seen.append(variable.get())
        variable.set("handler's")
        return request

    async def down(request: StringValue, context: Any) -> AsyncIterator[StringValue]:
        seen.append(variable.get())
        variable.set("handler's")
        yield request

    stub = await serve(unary=unary, down=down)
    variable.set("caller's")
    await stub.unary(text(""))
    assert [each async for each in stub.down(text(""))]
    assert seen == ["unset", "unset"]
    assert variable.get() == "caller's"


async def test_a_time_limit_held_across_yields_fires_whichever_task_reads(serve: Serve) -> None:
    async def handler(request: StringValue, context: Any) -> AsyncIterator[StringValue]:
        try:
            async with asyncio.timeout(0.05):
                yield text("a")
                await asyncio.sleep(30)
        except TimeoutError:
            yield text("timed out")

    stub = await serve(down=handler)
    call = stub.down(text(""))
    assert (await asyncio.create_task(call.read())).value == "a"
    async with asyncio.timeout(1):
        assert (await asyncio.create_task(call.read())).value == "timed out"


async def test_many_calls_run_side_by_side(serve: Serve) -> None:
    together = asyncio.Barrier(20)

    async def unary(request: StringValue, context: Any) -> StringValue:
        await together.wait()
        return request

    stub = await serve(unary=unary)
    async with asyncio.timeout(2):
        answers = await asyncio.gather(*(stub.unary(text(str(n))) for n in range(20)))
    assert [answer.value for answer in answers] == [str(n) for n in range(20)]


async def test_what_a_wire_needs_is_accepted(serve: Serve) -> None:
    async def unary(request: StringValue, context: Any) -> StringValue:
        context.set_compression(grpc.Compression.NoCompression)
        context.disable_next_message_compression()
        assert isinstance(context.peer(), str)
        assert context.peer_identities() is None
        assert context.peer_identity_key() is None
        assert isinstance(context.auth_context(), dict)
        return request

    stub = await serve(unary=unary)
    call = stub.unary(text("a"), wait_for_ready=True, compression=grpc.Compression.NoCompression)
    await call.wait_for_connection()
    assert (await call).value == "a"


async def test_a_channel_says_when_it_is_ready_and_when_closed(serve: Serve) -> None:
    stub = await serve(unary=echo)
    async with stub.channel as channel:
        await channel.channel_ready()
        assert channel.get_state() is grpc.ChannelConnectivity.READY
        change = asyncio.create_task(channel.wait_for_state_change(grpc.ChannelConnectivity.READY))
        await asyncio.sleep(0)
    async with asyncio.timeout(1):
        await change
    assert channel.get_state() is grpc.ChannelConnectivity.SHUTDOWN
    with pytest.raises(grpc.aio.UsageError):
        stub.unary(text("a"))
