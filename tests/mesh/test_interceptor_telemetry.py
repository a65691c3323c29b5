"""Telemetry: one SERVER span a call, a CLIENT span above it where a wire is crossed, and nothing where unsampled."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue

from mesh import tracing
from mesh.errors import Reason, TollwayError
from mesh.interceptors.errors import Errors
from mesh.interceptors.telemetry import Telemetry
from mesh.tracing import Kind, TraceContext

Serve = Callable[..., Awaitable[Any]]
METHOD = "tollway.test.v1.ScriptedService"
ORIGIN = TraceContext("a" * 32, "b" * 16, sampled=True)
SAMPLED = (("traceparent", ORIGIN.traceparent), ("tracestate", "vendor=1"), ("x-other", "kept"))
UNSAMPLED = (("traceparent", TraceContext("a" * 32, "b" * 16, sampled=False).traceparent),)


class Handlers:
    """Handlers of every shape that note where in the trace they are."""

    def __init__(self) -> None:
        self.places: list[TraceContext | None] = []
        self.metadata: dict[str, Any] = {}

    def note(self, context: Any) -> None:
        self.places.append(tracing.current())
        self.metadata = dict(context.invocation_metadata())

    async def unary(self, request: StringValue, context: Any) -> StringValue:
        self.note(context)
        return request

    async def down(self, request: StringValue, context: Any) -> AsyncIterator[StringValue]:
        self.note(context)
        yield request

    async def up(self, requests: AsyncIterator[StringValue], context: Any) -> StringValue:
        self.note(context)
        async for request in requests:
            return request
        return StringValue()

    async def both(self, requests: AsyncIterator[StringValue], context: Any) -> AsyncIterator[StringValue]:
        self.note(context)
        async for request in requests:
            yield request

    async def serve(self, serve: Serve, recorder: Any) -> Any:
        interceptors = [Telemetry(recorder, recorder), Errors()]
        return await serve(unary=self.unary, down=self.down, up=self.up, both=self.both, interceptors=interceptors)


async def drain(call: Any) -> None:
    async for _ in call:
        pass


CALLS: dict[str, Callable[..., Awaitable[Any]]] = {
    "Unary": lambda stub, **rest: stub.unary(StringValue(), **rest),
    "Down": lambda stub, **rest: drain(stub.down(StringValue(), **rest)),
    "Up": lambda stub, **rest: stub.up([StringValue()], **rest),
    "Both": lambda stub, **rest: drain(stub.both([StringValue()], **rest)),
}


@pytest.mark.parametrize("shape", CALLS)
async def test_the_callers_trace_goes_on(serve: Serve, recorder: Any, shape: str) -> None:
    handlers = Handlers()
    stub = await handlers.serve(serve, recorder)
    await CALLS[shape](stub, metadata=SAMPLED)
    wire = stub.topology == "unix sockets"
    await recorder.until(2 if wire else 1)
    (server,) = recorder.of(Kind.SERVER)
    assert server.name == f"{METHOD}/{shape}"
    assert server.attributes["rpc.system.name"] == "grpc"
    assert server.attributes["rpc.method"] == f"{METHOD}/{shape}"
    assert server.attributes["rpc.response.status_code"] == "OK"
    assert (server.error, server.ended) == (None, 1)
    assert handlers.places == [server.context]
    assert server.context.state == "vendor=1"
    assert handlers.metadata["x-other"] == "kept"
    if wire:
        (client,) = recorder.of(Kind.CLIENT)
        assert client.name == f"{METHOD}/{shape}"
        assert client.parent == TraceContext(ORIGIN.trace_id, ORIGIN.span_id, sampled=True, state="vendor=1")
        assert client.attributes["rpc.response.status_code"] == "OK"
        assert (client.error, client.ended) == (None, 1)
        assert server.parent == client.context
    else:
        assert recorder.of(Kind.CLIENT) == []
        assert server.parent == TraceContext(ORIGIN.trace_id, ORIGIN.span_id, sampled=True, state="vendor=1")


@pytest.mark.parametrize("shape", CALLS)
async def test_a_trace_that_is_not_sampled_makes_no_spans_and_is_still_known(
    serve: Serve, recorder: Any, shape: str
) -> None:
    handlers = Handlers()
    stub = await handlers.serve(serve, recorder)
    await CALLS[shape](stub, metadata=UNSAMPLED)
    assert recorder.spans == []
    assert [place and (place.trace_id, place.sampled) for place in handlers.places] == [("a" * 32, False)]
    assert handlers.metadata["traceparent"] == UNSAMPLED[0][1]


@pytest.mark.parametrize("metadata", [None, (("traceparent", "nonsense"),)])
async def test_a_call_without_a_trace_starts_one(serve: Serve, recorder: Any, metadata: Any) -> None:
    handlers = Handlers()
    stub = await handlers.serve(serve, recorder)
    await stub.unary(StringValue(), metadata=metadata)
    await recorder.until(served=1)
    (server,) = recorder.of(Kind.SERVER)
    assert server.parent is None
    assert recorder.of(Kind.CLIENT) == []
    assert handlers.places == [server.context]


async def test_a_failure_marks_the_spans_it_is_a_failure_of(serve: Serve, recorder: Any) -> None:
    async def unary(request: StringValue, context: Any) -> StringValue:
        raise TollwayError(Reason[request.value], "no")

    stub = await serve(unary=unary, interceptors=[Telemetry(recorder, recorder), Errors()])
    wire = stub.topology == "unix sockets"
    for reason in ("MODEL_NOT_FOUND", "UPSTREAM_CUT"):
        with pytest.raises(grpc.aio.AioRpcError):
            await stub.unary(StringValue(value=reason), metadata=SAMPLED)
    await recorder.until(4 if wire else 2)
    mine, ours = recorder.of(Kind.SERVER)
    assert (mine.attributes["rpc.response.status_code"], mine.error) == ("NOT_FOUND", None)
    assert (ours.attributes["rpc.response.status_code"], ours.error) == ("UNAVAILABLE", "UNAVAILABLE")
    if wire:
        assert [span.error for span in recorder.of(Kind.CLIENT)] == ["NOT_FOUND", "UNAVAILABLE"]


async def test_what_is_not_caught_shows_as_internal(serve: Serve, recorder: Any) -> None:
    async def unary(request: StringValue, context: Any) -> StringValue:
        raise ValueError("boom")

    stub = await serve(unary=unary, interceptors=[Telemetry(recorder, recorder), Errors()])
    with pytest.raises(grpc.aio.AioRpcError):
        await stub.unary(StringValue(), metadata=SAMPLED)
    await recorder.until(served=1)
    (server,) = recorder.of(Kind.SERVER)
    assert (server.attributes["rpc.response.status_code"], server.error) == ("INTERNAL", "INTERNAL")


async def test_without_the_error_interceptor_it_shows_as_unknown(serve: Serve, recorder: Any) -> None:
    async def unary(request: StringValue, context: Any) -> StringValue:
        raise ValueError("boom")

    stub = await serve(unary=unary, interceptors=[Telemetry(recorder, recorder)])
    with pytest.raises(grpc.aio.AioRpcError):
        await stub.unary(StringValue(), metadata=SAMPLED)
    await recorder.until(served=1)
    assert recorder.of(Kind.SERVER)[0].error == "UNKNOWN"


async def test_a_cancelled_call_ends_its_spans_and_is_no_error(serve: Serve, recorder: Any) -> None:
    started = asyncio.Event()

    async def down(request: StringValue, context: Any) -> AsyncIterator[StringValue]:
        yield request
        started.set()
        await asyncio.sleep(30)

    stub = await serve(down=down, interceptors=[Telemetry(recorder, recorder), Errors()])
    call = stub.down(StringValue(), metadata=SAMPLED)
    await call.read()
    await started.wait()
    call.cancel()
    await recorder.until(2 if stub.topology == "unix sockets" else 1)
    for span in recorder.spans:
        assert span.error is None
        assert span.ended == 1
        assert span.attributes["rpc.response.status_code"] == "CANCELLED"
        assert span.attributes["tollway.outcome"] == "cancelled"


async def test_a_call_past_its_deadline_ends_its_spans_as_a_failure(serve: Serve, recorder: Any) -> None:
    async def unary(request: StringValue, context: Any) -> StringValue:
        await asyncio.sleep(30)
        return request

    stub = await serve(unary=unary, interceptors=[Telemetry(recorder, recorder), Errors()])
    with pytest.raises(grpc.aio.AioRpcError):
        await stub.unary(StringValue(), metadata=SAMPLED, timeout=0.3)
    await recorder.until(2 if stub.topology == "unix sockets" else 1)
    assert {span.error for span in recorder.spans} == {"DEADLINE_EXCEEDED"}


async def test_only_calls_over_a_wire_are_measured(serve: Serve, recorder: Any) -> None:
    async def unary(request: StringValue, context: Any) -> StringValue:
        if request.value:
            raise TollwayError(Reason.INTERNAL, "no")
        return request

    stub = await serve(unary=unary, interceptors=[Telemetry(recorder, recorder), Errors()])
    await stub.unary(StringValue(), metadata=UNSAMPLED)
    with pytest.raises(grpc.aio.AioRpcError):
        await stub.unary(StringValue(value="fail"), metadata=UNSAMPLED)
    if stub.topology == "one process":
        assert recorder.measured == []
        return
    await recorder.until(measured=4)
    for name in ("rpc.client.call.duration", "rpc.server.call.duration"):
        good, bad = ((value, labels) for each, value, labels in recorder.measured if each == name)
        assert 0 < good[0] < 1
        assert good[1]["rpc.method"] == f"{METHOD}/Unary"
        assert good[1]["rpc.response.status_code"] == "OK"
        assert "error.type" not in good[1]
        assert bad[1]["rpc.response.status_code"] == bad[1]["error.type"] == "INTERNAL"
