"""Channels to other processes: what they tell, and that nothing outlives its caller."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue

from mesh.channels import dial
from mesh.channels.observation import Observation
from mesh.tracing import TraceContext

SAMPLED = (("traceparent", TraceContext("a" * 32, "b" * 16, sampled=True).traceparent),)
METHOD = "/tollway.test.v1.ScriptedService/Unary"


def unary(channel: grpc.aio.Channel) -> Any:
    return channel.unary_unary(METHOD, StringValue.SerializeToString, StringValue.FromString)


@pytest.mark.parametrize(
    ("target", "server"),
    [
        ("router:50051", {"server.address": "router", "server.port": 50051}),
        ("dns:///router.internal:50051", {"server.address": "router.internal", "server.port": 50051}),
        ("[::1]:50051", {"server.address": "::1", "server.port": 50051}),
        ("unix:/run/tollway/r.sock", {"server.address": "/run/tollway/r.sock"}),
        ("xds:///router", {"server.address": "xds:///router"}),
    ],
)
async def test_calls_name_where_they_went(recorder: Any, target: str, server: dict[str, Any]) -> None:
    observation = Observation(target, recorder, recorder, METHOD)
    observation.open(SAMPLED)
    (span,) = recorder.spans
    told = {key: value for key, value in span.attributes.items() if key.startswith("server.")}
    assert told == server


async def test_nobody_at_the_other_end_is_unavailable(recorder: Any, socket_folder: Path) -> None:
    async with dial(f"unix:{socket_folder}/nobody.sock", tracer=recorder, metrics=recorder) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await unary(channel)(StringValue(), metadata=SAMPLED, timeout=2)
    assert raised.value.code() is grpc.StatusCode.UNAVAILABLE
    (span,) = recorder.spans
    assert (span.error, span.ended) == ("UNAVAILABLE", 1)


async def test_a_channel_finds_a_service_that_comes_back(recorder: Any, socket_folder: Path) -> None:
    async def echo(request: StringValue, context: Any) -> StringValue:
        return request

    address = f"unix:{socket_folder}/s.sock"
    async with dial(address, tracer=recorder, metrics=recorder) as channel:
        with pytest.raises(grpc.aio.AioRpcError):
            await unary(channel)(StringValue(), timeout=2)
        server = grpc.aio.server()
        handler = grpc.unary_unary_rpc_method_handler(echo, StringValue.FromString, StringValue.SerializeToString)
        service = grpc.method_handlers_generic_handler("tollway.test.v1.ScriptedService", {"Unary": handler})
        server.add_generic_rpc_handlers((service,))
        server.add_insecure_port(address)
        await server.start()
        answer = await unary(channel)(StringValue(value="a"), timeout=5, wait_for_ready=True)
        assert answer == StringValue(value="a")
        await server.stop(None)


async def test_a_call_on_a_closed_channel_leaves_no_span_open(recorder: Any, socket_folder: Path) -> None:
    channel = dial(f"unix:{socket_folder}/s.sock", tracer=recorder, metrics=recorder)
    call = unary(channel)
    await channel.close()
    with pytest.raises(grpc.aio.UsageError):
        call(StringValue(), metadata=SAMPLED)
    assert [span.ended for span in recorder.spans] == [1]


async def test_a_dropped_call_ends_its_span(serve: Any, topology: Any, recorder: Any) -> None:
    started = asyncio.Event()

    async def down(request: StringValue, context: Any) -> AsyncIterator[StringValue]:
        started.set()
        yield request
        await asyncio.sleep(30)

    stub = await serve(down=down)
    call = stub.down(StringValue(), metadata=SAMPLED)
    await call.read()
    del call
    gc.collect()
    wires = 0 if topology.name == "one process" else 1
    await recorder.until(ended=wires)
    assert [span.attributes["tollway.outcome"] for span in recorder.spans] == ["cancelled"] * wires


async def test_closing_the_iterator_cancels_the_call(serve: Any) -> None:
    stopped = asyncio.Event()

    async def down(request: StringValue, context: Any) -> AsyncIterator[StringValue]:
        try:
            yield request
            await asyncio.sleep(30)
        finally:
            stopped.set()

    stub = await serve(down=down)
    call = stub.down(StringValue())
    async for _ in call:
        await aiter(call).aclose()
        break
    async with asyncio.timeout(1):
        await stopped.wait()
    assert call.cancelled()
