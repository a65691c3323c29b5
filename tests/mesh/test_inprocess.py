"""What is particular to calls inside a process."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue

from mesh.channels import InProcessChannel, InProcessServer, next_is_here

SERVICE = "tollway.test.v1.ScriptedService"


def served(**handlers: Any) -> tuple[InProcessServer, InProcessChannel]:
    server = InProcessServer()
    server.add_registered_method_handlers(SERVICE, handlers)
    return server, InProcessChannel(server)


async def failure(call: Any) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call
    return raised.value


async def echo(request: StringValue, context: Any) -> StringValue:
    return request


async def spell(request: StringValue, context: Any) -> AsyncIterator[StringValue]:
    for letter in request.value:
        yield StringValue(value=letter)


async def test_messages_are_passed_as_they_are() -> None:
    _, channel = served(Unary=grpc.unary_unary_rpc_method_handler(echo))
    request = StringValue(value="a")
    assert await channel.unary_unary(f"/{SERVICE}/Unary")(request) is request


async def test_a_server_listens_nowhere() -> None:
    server, _ = served()
    await server.start()
    with pytest.raises(grpc.aio.UsageError, match="listens nowhere"):
        server.add_insecure_port("127.0.0.1:0")
    with pytest.raises(grpc.aio.UsageError, match="listens nowhere"):
        server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([(b"", b"")]))
    with pytest.raises(grpc.aio.UsageError, match="ends when it is stopped"):
        await server.wait_for_termination()


async def test_a_call_of_another_shape_than_its_method_is_refused() -> None:
    _, channel = served(
        Unary=grpc.unary_unary_rpc_method_handler(echo), Down=grpc.unary_stream_rpc_method_handler(spell)
    )
    assert (await failure(channel.unary_unary(f"/{SERVICE}/Down")(StringValue()))).code() is grpc.StatusCode.INTERNAL
    stream = channel.unary_stream(f"/{SERVICE}/Unary")(StringValue())
    assert (await failure(stream.read())).code() is grpc.StatusCode.INTERNAL


async def test_a_plain_function_is_refused_as_a_handler() -> None:
    def blocks(request: StringValue, context: Any) -> StringValue:
        return request

    _, channel = served(Unary=grpc.unary_unary_rpc_method_handler(blocks))
    error = await failure(channel.unary_unary(f"/{SERVICE}/Unary")(StringValue()))
    assert "plain function" in (error.details() or "")


async def test_an_abort_needs_an_error() -> None:
    async def unary(request: StringValue, context: Any) -> StringValue:
        with pytest.raises(grpc.aio.UsageError):
            await context.abort(grpc.StatusCode.OK)
        return request

    _, channel = served(Unary=grpc.unary_unary_rpc_method_handler(unary))
    assert await channel.unary_unary(f"/{SERVICE}/Unary")(StringValue(value="a")) == StringValue(value="a")


async def test_a_servicer_knows_when_its_call_has_ended() -> None:
    seen: list[tuple[bool, bool]] = []
    started, told = asyncio.Event(), asyncio.Event()

    async def down(request: StringValue, context: Any) -> None:
        seen.append((context.done(), context.cancelled()))
        started.set()
        try:
            await asyncio.sleep(30)
        finally:
            with pytest.raises(grpc.aio.InternalError, match="has ended"):
                await context.write(request)
            seen.append((context.done(), context.cancelled()))
            told.set()

    _, channel = served(Down=grpc.unary_stream_rpc_method_handler(down))
    call = channel.unary_stream(f"/{SERVICE}/Down")(StringValue())
    await started.wait()
    call.cancel()
    await told.wait()
    assert seen == [(False, False), (True, True)]


async def test_a_method_with_one_response_has_nothing_to_write() -> None:
    async def unary(request: StringValue, context: Any) -> StringValue:
        with pytest.raises(grpc.aio.UsageError, match="answers with one message"):
            await context.write(request)
        assert await context.read() is grpc.aio.EOF
        return request

    _, channel = served(Unary=grpc.unary_unary_rpc_method_handler(unary))
    await channel.unary_unary(f"/{SERVICE}/Unary")(StringValue())


async def test_no_more_than_a_few_messages_wait_for_a_reader() -> None:
    made = 0

    async def endless(request: StringValue, context: Any) -> AsyncIterator[StringValue]:
        nonlocal made
        while True:
            made += 1
            yield request

    _, channel = served(Down=grpc.unary_stream_rpc_method_handler(endless))
    call = channel.unary_stream(f"/{SERVICE}/Down")(StringValue())
    for _ in range(50):
        await asyncio.sleep(0)
    assert made <= 17
    for _ in range(100):
        await call.read()
    assert made <= 117
    call.cancel()


async def test_what_can_be_had_without_waiting_is_known() -> None:
    more = asyncio.Event()

    async def speak(request: StringValue, context: Any) -> AsyncIterator[StringValue]:
        yield request
        yield request
        await more.wait()
        yield request

    _, channel = served(Down=grpc.unary_stream_rpc_method_handler(speak))
    call = channel.unary_stream(f"/{SERVICE}/Down")(StringValue())
    assert not next_is_here(call)
    await call.read()
    assert next_is_here(call)
    await call.read()
    assert not next_is_here(call)
    more.set()
    await call.read()
    assert next_is_here(call)
    assert await call.read() is grpc.aio.EOF


@pytest.mark.parametrize("end", ["read", "cancel", "drop"])
async def test_nothing_is_left_of_a_call_that_has_ended(end: str) -> None:
    server, channel = served(Down=grpc.unary_stream_rpc_method_handler(spell))
    request = StringValue(value="x" * 100)
    call = channel.unary_stream(f"/{SERVICE}/Down")(request)
    rpc = weakref.ref(call._rpc)
    await call.read()
    if end == "read":
        while await call.read() is not grpc.aio.EOF:
            pass
    elif end == "cancel":
        call.cancel()
    del call
    for _ in range(5):
        await asyncio.sleep(0)
    gc.collect()
    assert server.running == set()
    assert rpc() is None


async def test_calls_of_other_channels_outlive_a_channel() -> None:
    released = asyncio.Event()

    async def unary(request: StringValue, context: Any) -> StringValue:
        await released.wait()
        return request

    server, channel = served(Unary=grpc.unary_unary_rpc_method_handler(unary))
    other: Callable[..., Any] = InProcessChannel(server).unary_unary(f"/{SERVICE}/Unary")
    call = other(StringValue(value="a"))
    await asyncio.sleep(0)
    await channel.close()
    with pytest.raises(grpc.aio.UsageError):
        await channel.channel_ready()
    released.set()
    assert await call == StringValue(value="a")


async def test_a_handler_may_be_added_while_others_are_served() -> None:
    server, channel = served(Unary=grpc.unary_unary_rpc_method_handler(echo))
    method = channel.unary_unary(f"/{SERVICE}/Late")
    assert (await failure(method(StringValue()))).code() is grpc.StatusCode.UNIMPLEMENTED
    server.add_registered_method_handlers(SERVICE, {"Late": grpc.unary_unary_rpc_method_handler(echo)})
    assert await method(StringValue(value="a")) == StringValue(value="a")


async def test_two_writers_at_once_are_one_too_many() -> None:
    async def up(requests: Any, context: Any) -> StringValue:
        await asyncio.sleep(30)
        return StringValue()

    _, channel = served(Up=grpc.stream_unary_rpc_method_handler(up))
    call: Any = channel.stream_unary(f"/{SERVICE}/Up")()

    async def write() -> None:
        while True:
            await call.write(StringValue())

    with pytest.raises(grpc.aio.InternalError, match="Another task is writing"):
        await asyncio.gather(write(), write())
    call.cancel()


async def test_readers_that_wait_at_once_get_a_message_each() -> None:
    released = asyncio.Event()

    async def down(request: StringValue, context: Any) -> AsyncIterator[StringValue]:
        await released.wait()
        yield StringValue(value="a")
        yield StringValue(value="b")

    _, channel = served(Down=grpc.unary_stream_rpc_method_handler(down))
    call: Any = channel.unary_stream(f"/{SERVICE}/Down")(StringValue())
    readers = [asyncio.create_task(call.read()) for _ in range(2)]
    await asyncio.sleep(0.02)
    released.set()
    async with asyncio.timeout(1):
        assert sorted([(await reader).value for reader in readers]) == ["a", "b"]
