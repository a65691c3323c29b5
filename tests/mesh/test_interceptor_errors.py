"""Errors: what a handler raises reaches the caller as the row of the error table, and nothing else leaks."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue

from mesh.errors import FieldViolation, Reason, TollwayError
from mesh.interceptors.errors import Errors
from mesh.status import from_rpc_error
from mesh.tracing import TraceContext, set_current

Serve = Callable[..., Awaitable[Any]]
LIMITED = TollwayError(
    Reason.RATE_LIMITED,
    "slow down",
    {"limit": "600/m"},
    retry_after=1.5,
    violations=(FieldViolation("messages[0].content", "is too much"),),
)


class Failing:
    """Handlers of every shape that raise one error, the streaming ones after one message."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    async def unary(self, request: StringValue, context: Any) -> StringValue:
        raise self._error

    async def down(self, request: StringValue, context: Any) -> AsyncIterator[StringValue]:
        yield request
        raise self._error

    async def up(self, requests: AsyncIterator[StringValue], context: Any) -> StringValue:
        async for _ in requests:
            raise self._error
        raise AssertionError("no request came")

    async def both(self, requests: AsyncIterator[StringValue], context: Any) -> None:
        await context.write(StringValue())
        raise self._error

    async def serve(self, serve: Serve) -> Any:
        return await serve(unary=self.unary, down=self.down, up=self.up, both=self.both, interceptors=[Errors()])


async def drain(call: Any) -> None:
    async for _ in call:
        pass


CALLS: dict[str, Callable[[Any], Awaitable[Any]]] = {
    "unary": lambda stub: stub.unary(StringValue()),
    "down": lambda stub: drain(stub.down(StringValue())),
    "up": lambda stub: stub.up([StringValue()]),
    "both": lambda stub: drain(stub.both([StringValue()])),
}


async def failure(call: Awaitable[Any]) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call
    return raised.value


@pytest.mark.parametrize("shape", CALLS)
async def test_an_error_crosses_whole(serve: Serve, shape: str, caplog: pytest.LogCaptureFixture) -> None:
    stub = await Failing(LIMITED).serve(serve)
    error = await failure(CALLS[shape](stub))
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert error.details() == "slow down"
    again = from_rpc_error(error)
    assert again.reason is Reason.RATE_LIMITED
    assert again.message == "slow down"
    assert again.metadata == {"limit": "600/m"}
    assert again.retry_after == 1.5
    assert again.violations == LIMITED.violations
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


@pytest.mark.parametrize("shape", CALLS)
async def test_anything_else_is_internal_and_told_to_the_log_alone(
    serve: Serve, shape: str, caplog: pytest.LogCaptureFixture
) -> None:
    stub = await Failing(ValueError("the password is hunter2")).serve(serve)
    error = from_rpc_error(await failure(CALLS[shape](stub)))
    assert error.reason is Reason.INTERNAL
    assert "hunter2" not in error.message + str(error.metadata)
    (record,) = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], ValueError)
    assert record.__dict__["rpc_method"].startswith("/tollway.test.v1.ScriptedService/")


async def test_an_internal_error_names_the_trace_that_explains_it(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    async def unary(request: StringValue, context: Any) -> StringValue:
        set_current(TraceContext("a" * 32, "b" * 16, sampled=False))
        raise ValueError("boom")

    stub = await serve(unary=unary, interceptors=[Errors()])
    error = from_rpc_error(await failure(stub.unary(StringValue())))
    assert error.metadata["trace_id"] == "a" * 32
    assert caplog.records[-1].__dict__["trace_id"] == "a" * 32


async def test_an_abort_passes_as_it_is(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    async def unary(request: StringValue, context: Any) -> StringValue:
        await context.abort(grpc.StatusCode.NOT_FOUND, "gone")
        return request

    stub = await serve(unary=unary, interceptors=[Errors()])
    error = await failure(stub.unary(StringValue()))
    assert (error.code(), error.details()) == (grpc.StatusCode.NOT_FOUND, "gone")
    assert not caplog.records


async def test_a_method_left_out_of_a_servicer_stays_unimplemented(serve: Serve) -> None:
    def generated(request: StringValue, context: Any) -> None:
        context.set_code(grpc.StatusCode.UNIMPLEMENTED)
        context.set_details("Method not implemented!")
        raise NotImplementedError("Method not implemented!")

    stub = await serve(unary=generated, interceptors=[Errors()])
    error = await failure(stub.unary(StringValue()))
    assert (error.code(), error.details()) == (grpc.StatusCode.UNIMPLEMENTED, "Method not implemented!")


async def test_a_handler_whose_own_work_was_cancelled_answers_all_the_same(serve: Serve) -> None:
    async def unary(request: StringValue, context: Any) -> StringValue:
        work = asyncio.create_task(asyncio.sleep(30))
        asyncio.get_running_loop().call_later(0.01, work.cancel)
        await work
        return request

    stub = await serve(unary=unary, interceptors=[Errors()])
    async with asyncio.timeout(1):
        error = await failure(stub.unary(StringValue()))
    assert from_rpc_error(error).reason is Reason.CANCELLED


@pytest.mark.parametrize("leave", ["cancel", "deadline"])
async def test_a_caller_who_leaves_is_no_error(serve: Serve, leave: str, caplog: pytest.LogCaptureFixture) -> None:
    closed, started = asyncio.Event(), asyncio.Event()

    async def down(request: StringValue, context: Any) -> AsyncIterator[StringValue]:
        try:
            started.set()
            while True:
                yield StringValue(value="x" * 65536)
        finally:
            closed.set()

    stub = await serve(down=down, interceptors=[Errors()])
    call = stub.down(StringValue(), timeout=0.3 if leave == "deadline" else None)
    await started.wait()
    await asyncio.sleep(0.02)
    if leave == "cancel":
        call.cancel()
    async with asyncio.timeout(1):
        await closed.wait()
    await asyncio.sleep(0.02)
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


async def test_an_error_raised_for_a_caller_who_left_is_no_error(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    started, ended = asyncio.Event(), asyncio.Event()

    async def unary(request: StringValue, context: Any) -> StringValue:
        started.set()
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            ended.set()
            raise LIMITED from None
        return request

    stub = await serve(unary=unary, interceptors=[Errors()])
    call = stub.unary(StringValue())
    await started.wait()
    call.cancel()
    async with asyncio.timeout(1):
        await ended.wait()
    await asyncio.sleep(0.02)
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]
