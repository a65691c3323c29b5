"""Status codes and details, as servicers set them and callers see them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue

Serve = Callable[..., Awaitable[Any]]
NOT_FOUND = grpc.StatusCode.NOT_FOUND


async def failure(call: Awaitable[Any]) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call
    return raised.value


async def collect(call: Any, into: list[str]) -> None:
    async for each in call:
        into.append(each.value)  # noqa: PERF401 - kept one by one: the iteration fails in the end


async def test_abort_ends_the_call_with_code_details_and_trailers(serve: Serve) -> None:
    async def unary(request: StringValue, context: Any) -> StringValue:
        await context.abort(NOT_FOUND, "no such thing", (("x-hint", "look elsewhere"),))
        raise AssertionError("abort returned")

    stub = await serve(unary=unary)
    call = stub.unary(StringValue())
    error = await failure(call)
    assert error.code() is NOT_FOUND
    assert error.details() == "no such thing"
    trailers = error.trailing_metadata()
    assert trailers is not None
    assert trailers["x-hint"] == "look elsewhere"
    assert await call.code() is NOT_FOUND
    assert await call.details() == "no such thing"
    assert isinstance(await call.debug_error_string(), str)
    assert not call.cancelled()


async def test_abort_with_status_carries_rich_details(serve: Serve) -> None:
    async def unary(request: StringValue, context: Any) -> StringValue:
        trailing = (("grpc-status-details-bin", b"\x08\x05"),)
        await context.abort_with_status(SimpleNamespace(code=NOT_FOUND, details="gone", trailing_metadata=trailing))
        return request

    stub = await serve(unary=unary)
    error = await failure(stub.unary(StringValue()))
    trailers = error.trailing_metadata()
    assert trailers is not None
    assert (error.code(), error.details()) == (NOT_FOUND, "gone")
    assert trailers["grpc-status-details-bin"] == b"\x08\x05"


async def test_abort_takes_what_was_set_before_it(serve: Serve) -> None:
    async def unary(request: StringValue, context: Any) -> StringValue:
        context.set_details("set before")
        context.set_trailing_metadata((("x-set", "before"),))
        await context.abort(NOT_FOUND)
        return request

    stub = await serve(unary=unary)
    error = await failure(stub.unary(StringValue()))
    trailers = error.trailing_metadata()
    assert trailers is not None
    assert error.details() == "set before"
    assert trailers["x-set"] == "before"


async def test_messages_before_an_abort_arrive(serve: Serve) -> None:
    async def down(request: StringValue, context: Any) -> AsyncIterator[StringValue]:
        yield StringValue(value="a")
        yield StringValue(value="b")
        await context.abort(NOT_FOUND, "no more")

    stub = await serve(down=down)
    arrived: list[str] = []
    assert (await failure(collect(stub.down(StringValue()), arrived))).code() is NOT_FOUND
    assert arrived == ["a", "b"]
    reading = stub.down(StringValue())
    assert [(await reading.read()).value for _ in range(2)] == ["a", "b"]
    assert (await failure(reading.read())).code() is NOT_FOUND


async def test_an_abort_that_is_swallowed_counts_all_the_same(serve: Serve) -> None:
    async def unary(request: StringValue, context: Any) -> StringValue:
        try:
            await context.abort(NOT_FOUND, "first")
        except grpc.aio.AbortError:
            with pytest.raises(grpc.aio.UsageError):
                await context.abort(NOT_FOUND, "second")
        return request

    async def down(request: StringValue, context: Any) -> AsyncIterator[StringValue]:
        try:
            await context.abort(NOT_FOUND, "first")
        except grpc.aio.AbortError:
            yield request

    stub = await serve(unary=unary, down=down)
    assert (await failure(stub.unary(StringValue()))).details() == "first"
    assert (await failure(stub.down(StringValue()).read())).details() == "first"


async def test_a_code_that_is_set_counts_whatever_is_returned(serve: Serve) -> None:
    async def unary(request: StringValue, context: Any) -> StringValue:
        assert not context.code()
        context.set_code(NOT_FOUND)
        context.set_details("no such thing")
        assert context.code() is NOT_FOUND
        assert context.details() == "no such thing"
        return request

    async def down(request: StringValue, context: Any) -> AsyncIterator[StringValue]:
        yield request
        context.set_code(NOT_FOUND)
        context.set_details("no more")

    stub = await serve(unary=unary, down=down)
    error = await failure(stub.unary(StringValue()))
    assert (error.code(), error.details()) == (NOT_FOUND, "no such thing")
    call = stub.down(StringValue())
    await call.read()
    assert (await failure(call.read())).details() == "no more"


async def test_what_a_servicer_raises_is_unknown_or_the_code_it_had_set(serve: Serve) -> None:
    async def unary(request: StringValue, context: Any) -> StringValue:
        if request.value:
            context.set_code(NOT_FOUND)
        raise ValueError("boom")

    stub = await serve(unary=unary)
    assert (await failure(stub.unary(StringValue()))).code() is grpc.StatusCode.UNKNOWN
    assert (await failure(stub.unary(StringValue(value="a")))).code() is NOT_FOUND


async def test_an_answer_of_none_is_an_error(serve: Serve) -> None:
    async def unary(request: StringValue, context: Any) -> None:
        return None

    stub = await serve(unary=unary)
    assert (await failure(stub.unary(StringValue()))).code() is grpc.StatusCode.UNKNOWN


async def test_a_method_left_out_of_a_servicer_is_unimplemented(serve: Serve) -> None:
    def generated(request: StringValue, context: Any) -> None:
        context.set_code(grpc.StatusCode.UNIMPLEMENTED)
        context.set_details("Method not implemented!")
        raise NotImplementedError("Method not implemented!")

    stub = await serve(unary=generated, down=generated)
    assert (await failure(stub.unary(StringValue()))).code() is grpc.StatusCode.UNIMPLEMENTED
    assert (await failure(stub.down(StringValue()).read())).code() is grpc.StatusCode.UNIMPLEMENTED


async def test_a_servers_cancelled_is_an_error_to_the_caller_not_a_cancellation(serve: Serve) -> None:
    async def unary(request: StringValue, context: Any) -> StringValue:
        await context.abort(grpc.StatusCode.CANCELLED, "we stop here")
        return request

    stub = await serve(unary=unary)
    assert (await failure(stub.unary(StringValue()))).details() == "we stop here"


async def test_the_first_ending_counts(serve: Serve) -> None:
    async def unary(request: StringValue, context: Any) -> StringValue:
        await context.abort(NOT_FOUND, "first")
        return request

    stub = await serve(unary=unary)
    call = stub.unary(StringValue(), timeout=0.3)
    await failure(call)
    assert not call.cancel()
    await asyncio.sleep(0.35)
    assert await call.code() is NOT_FOUND


async def test_a_server_interceptor_may_answer_in_a_handlers_place(serve: Serve) -> None:
    class Refuse(grpc.aio.ServerInterceptor):
        async def intercept_service(self, continuation: Any, details: Any) -> Any:
            if dict(details.invocation_metadata).get("x-let-me") == "in":
                return await continuation(details)

            async def refuse(request: StringValue, context: Any) -> None:
                await context.abort(grpc.StatusCode.PERMISSION_DENIED, details.method)

            return grpc.unary_unary_rpc_method_handler(refuse)

    async def unary(request: StringValue, context: Any) -> StringValue:
        return request

    stub = await serve(unary=unary, interceptors=[Refuse()])
    error = await failure(stub.unary(StringValue()))
    assert (error.code(), error.details()) == (
        grpc.StatusCode.PERMISSION_DENIED,
        "/tollway.test.v1.ScriptedService/Unary",
    )
    assert await stub.unary(StringValue(value="a"), metadata=(("x-let-me", "in"),)) == StringValue(value="a")


async def test_interceptors_run_in_order_the_first_outermost(serve: Serve) -> None:
    order: list[str] = []

    class Note(grpc.aio.ServerInterceptor):
        def __init__(self, name: str) -> None:
            self._name = name

        async def intercept_service(self, continuation: Any, details: Any) -> Any:
            order.append(self._name)
            return await continuation(details)

    async def unary(request: StringValue, context: Any) -> StringValue:
        return request

    stub = await serve(unary=unary, interceptors=[Note("outer"), Note("inner")])
    await stub.unary(StringValue())
    assert order == ["outer", "inner"]
