"""Metadata in both directions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue

Serve = Callable[..., Awaitable[Any]]


@pytest.mark.parametrize(
    "metadata",
    [
        (("x-name", "value"), ("x-raw-bin", b"\x00\xff")),
        grpc.aio.Metadata(("x-name", "value"), ("x-raw-bin", b"\x00\xff")),
    ],
    ids=["tuples", "Metadata"],
)
async def test_a_servicer_reads_what_the_caller_sent(serve: Serve, metadata: Any) -> None:
    seen: list[Any] = []

    async def unary(request: StringValue, context: Any) -> StringValue:
        seen.extend(context.invocation_metadata())
        return request

    stub = await serve(unary=unary)
    await stub.unary(StringValue(), metadata=metadata)
    assert ("x-name", "value") in seen
    assert ("x-raw-bin", b"\x00\xff") in seen
    assert all(each == (each.key, each.value) for each in seen)


async def test_initial_metadata_arrives_before_the_first_message(serve: Serve) -> None:
    released = asyncio.Event()

    async def down(request: StringValue, context: Any) -> AsyncIterator[StringValue]:
        await context.send_initial_metadata((("x-early", "yes"),))
        await released.wait()
        yield request

    stub = await serve(down=down)
    call = stub.down(StringValue())
    async with asyncio.timeout(1):
        assert (await call.initial_metadata())["x-early"] == "yes"
    released.set()
    assert await call.read() == StringValue()


async def test_initial_metadata_is_empty_where_none_was_sent(serve: Serve) -> None:
    async def unary(request: StringValue, context: Any) -> StringValue:
        return request

    stub = await serve(unary=unary)
    call = stub.unary(StringValue())
    assert "x-early" not in await call.initial_metadata()
    await call


async def test_initial_metadata_is_sent_once(serve: Serve) -> None:
    refused = []

    async def down(request: StringValue, context: Any) -> AsyncIterator[StringValue]:
        yield request
        try:
            await context.send_initial_metadata((("x-late", "yes"),))
        except grpc.aio.UsageError as error:
            refused.append(error)

    stub = await serve(down=down)
    call = stub.down(StringValue())
    assert [each async for each in call] == [StringValue()]
    assert "x-late" not in await call.initial_metadata()
    assert refused


async def test_trailing_metadata_arrives_at_the_end(serve: Serve) -> None:
    async def unary(request: StringValue, context: Any) -> StringValue:
        context.set_trailing_metadata((("x-cost", "1"), ("x-raw-bin", b"\x00")))
        assert tuple(context.trailing_metadata()) == (("x-cost", "1"), ("x-raw-bin", b"\x00"))
        return request

    async def down(request: StringValue, context: Any) -> AsyncIterator[StringValue]:
        yield request
        context.set_trailing_metadata((("x-cost", "2"),))

    stub = await serve(unary=unary, down=down)
    call = stub.unary(StringValue())
    await call
    assert dict(await call.trailing_metadata()) == {"x-cost": "1", "x-raw-bin": b"\x00"}
    stream = stub.down(StringValue())
    assert [each async for each in stream] == [StringValue()]
    assert dict(await stream.trailing_metadata()) == {"x-cost": "2"}


@pytest.mark.parametrize(
    "entry",
    [
        ("Upper", "x"),
        ("with space", "x"),
        ("x-name", "no\nline"),
        ("x-name", "é"),
        ("x-bin", "text"),
    ],
    ids=repr,
)
async def test_what_http2_cannot_carry_is_refused(serve: Serve, entry: Any) -> None:
    async def unary(request: StringValue, context: Any) -> StringValue:
        return request

    stub = await serve(unary=unary)
    with pytest.raises((grpc.aio.InternalError, TypeError)):
        await stub.unary(StringValue(), metadata=(entry,))
